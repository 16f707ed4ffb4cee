#include "ev3/cli/config.h"

namespace ev3::cli {

const char* const digits_toml = R"toml(# EV3 on 1,797 handwritten digits of 8 x 8 pixels: what `ev3 run` does without a config.
seed = 1
rounds = 40
history_limit = 5

[data]
name = "digits"
batch = 32

[pools]  # no sample is in two of them; the test pool is only reported on
explore = 0.48
assess = 0.16
adapt = 0.16
test = 0.20

[model]
family = "mlp"
hidden = [8]

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
learning_rate = 0.001

[explore]
trajectory_length = 100

[assess]
batches = 8
alpha = 0.5

[adapt]
batches = 16
alpha = 1.96
rounds_before_growth = 3
growth = {kind = "widen", factor = 2.0}
)toml";

}  // namespace ev3::cli
