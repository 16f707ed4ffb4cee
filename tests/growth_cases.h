// What the tests of growth share: random networks of every family, and what a growth must leave alone.
#pragma once

#include <string>

#include "ev3/growth.h"
#include "tests/catch.h"
#include "tests/network_outputs.h"

namespace tests {

/// A whole number from `least` to `most`.
inline int between(const autodiff::Random& random, std::uint64_t index, int least, int most) {
  return least + static_cast<int>(random.below(index, static_cast<std::uint64_t>(most - least + 1)));
}

inline std::vector<int> random_widths(const autodiff::Random& random, std::uint64_t first, int least,
                                      int most, int widest) {
  std::vector<int> widths(static_cast<std::size_t>(between(random, first, least, most)));
  for (std::size_t i = 0; i < widths.size(); ++i) widths[i] = between(random, first + 1 + i, 1, widest);
  return widths;
}

/// One to four hidden layers.
inline nn::Mlp random_mlp(const autodiff::Random& random) {
  return {.inputs = {between(random, 0, 1, 6)},
          .hidden = random_widths(random, 10, 1, 4, 9),
          .classes = between(random, 1, 2, 6)};
}

/// One or two stages of one or two convolutions, no to two hidden layers behind them, sides that need not be
/// even.
inline nn::Cnn random_cnn(const autodiff::Random& random) {
  nn::Cnn net{.inputs = {between(random, 0, 4, 9), between(random, 1, 4, 9), between(random, 2, 1, 3)},
              .stages = {},
              .hidden = random_widths(random, 10, 0, 2, 9),
              .classes = between(random, 3, 2, 6)};
  const int stages = between(random, 4, 1, 2);
  for (int s = 0; s < stages; ++s) {
    net.stages.push_back(random_widths(random, 20 + 10 * static_cast<std::uint64_t>(s), 1, 2, 5));
  }
  return net;
}

/// One to three stages of one or two blocks, of both forms, with bottlenecks or without.
inline nn::ResNet random_resnet(const autodiff::Random& random) {
  using Form = nn::ResNet::Form;
  const int least = 8;  // the imagenet form halves them twice before the first stage
  return {.inputs = {between(random, 0, least, 13), between(random, 1, least, 13), between(random, 2, 1, 3)},
          .filters = between(random, 3, 1, 5),
          .blocks = random_widths(random, 10, 1, 3, 2),
          .classes = between(random, 4, 2, 6),
          .form = between(random, 5, 0, 1) == 0 ? Form::cifar : Form::imagenet,
          .bottleneck = between(random, 6, 0, 1) == 0};
}

/// How large the relative difference of the outputs may be after a growth that preserves the function. New
/// channels add terms that are exactly 0, so that only the order of summation may change.
inline constexpr double preserved = 1e-5;

/// Checks that the growth of this network leaves its outputs alone, in evaluation mode and, where it has
/// batch norms, in training mode, with random parameters and statistics. Where `initialized`, what is new is
/// initialized, as the growth relies on scales that start at 0; else it is as random as what is old.
inline void check_preserved(const ev3::GrowthPlan& plan, const nn::Network& net, autodiff::Seed seed,
                            bool initialized) {
  INFO(plan.kind << " " << nn::describe(net) << " of " << nn::input_shape(net) << " to "
                 << nn::describe(plan.larger));
  const nn::Parameters params = random_parameters(net, seed.stream("params"));
  const nn::Parameters fresh = initialized ? nn::initialize(plan.larger, seed.stream("fresh"))
                                           : random_parameters(plan.larger, seed.stream("fresh"));
  const nn::Parameters larger = ev3::grow(plan, net, params, fresh);
  CHECK(larger.size() > params.size());
  const std::vector<float> x = normal_samples(net, 6, seed.stream("x"));
  for (const bool training : {false, true}) {
    if (training && !nn::has_statistics(net)) continue;
    INFO(training << " training, seed " << seed.value);
    const nn::Pass pass{.training = training};
    const std::vector<float> before = run_forward(net, params, x, pass).outputs;
    CHECK(relative_difference(run_forward(plan.larger, larger, x, pass).outputs, before) <= preserved);
  }
}

/// 100 random networks of a family, each grown in every way that `growths_of` lists for it.
template <class Family, class GrowthsOf>
void check_random_networks(Family (*random_net)(const autodiff::Random&), GrowthsOf growths_of,
                           bool initialized) {
  for (std::uint64_t i = 0; i < 100; ++i) {
    const autodiff::Seed seed = autodiff::Seed{11}.stream(i);
    const Family net = random_net(autodiff::Random(seed));
    for (const ev3::Growth& growth : growths_of(net)) {
      check_preserved(ev3::plan(growth, net, seed.stream("plan")), net, seed, initialized);
    }
  }
}

}  // namespace tests
