#include "ev3/cli/config.h"

namespace ev3::cli {

const char* const digits_toml =
    R"toml(# EV3 on 1,797 handwritten digits of 8 x 8 pixels: what `ev3 run` does without a config.
seed = 1
rounds = 20
history_limit = 5

[data]
name = "digits"
batch = 32

[pools]  # no sample is in two of them; no decision looks at the test pool
explore = 0.64
assess = 0.06
adapt = 0.15
test = 0.15

[model]
family = "mlp"
hidden = [8]

# One candidate a round for every pair of a loss and an optimizer.
[[loss]]
kind = "cross_entropy"
multipliers = [0.5]

[[loss]]
kind = "cross_entropy"
multipliers = [1.0]

[[loss]]
kind = "cross_entropy"
multipliers = [1.5]

[[optimizer]]
kind = "sgd"
learning_rate = 0.1

[[optimizer]]
kind = "adamw"
learning_rate = 0.003

[explore]
trajectory_length = 300

[assess]  # 96 of the pool's 108 samples a round
batches = 3
alpha = 0.5

[adapt]  # 256 of 269 samples
batches = 8
alpha = 1.0
rounds_before_growth = 2
growth = {kind = "widen", factor = 2.0}
)toml";

}  // namespace ev3::cli
