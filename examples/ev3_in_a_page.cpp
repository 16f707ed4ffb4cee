// EV3 on handwritten digits: explore, assess, adapt, and growth when nothing better is found.
// Claim: from 8 hidden units the network grows, and the stable model reads more than 93 % of unseen images.
#include <iostream>

#include "datasets/digits.h"
#include "datasets/split.h"
#include "ev3/evolution.h"
#include "nn/evaluate.h"

int main() {
  // No image is in two pools. The test pool is read once, at the end.
  const auto [explore, assess, adapt, test] = datasets::split<4>(
      datasets::digits(), {.fractions = {0.48, 0.16, 0.16, 0.2}, .seed = 1, .stratified = true});

  const ev3::Settings settings{
      .model = nn::Mlp{.inputs = {8, 8, 1}, .hidden = {8}, .classes = 10},
      .losses = {nn::CrossEntropy{{0.5f}}, nn::CrossEntropy{{1.0f}}, nn::CrossEntropy{{1.5f}}},
      .optimizers = {nn::Sgd{.learning_rate = 0.1}, nn::AdamW{.learning_rate = 1e-3}},
      .metric = ev3::accuracy(),  // what counts: any number per sample, no gradient asked
      .explore = {.trajectory_length = 100},
      .assess = {.batches = 9, .alpha = 0.5},
      .adapt = {.batches = 9, .alpha = 1, .rounds_before_growth = 3, .growth = ev3::Widen{.factor = 2}},
  };
  ev3::Evolution evolution(settings, {explore, assess, adapt});

  while (evolution.round() < 30) std::cout << evolution.step() << '\n';

  const ev3::Model& model = evolution.model();
  const nn::Evaluation result = nn::evaluate(model.network, evolution.stable(), test);
  std::cout << nn::describe(model.network) << ": " << result << '\n';
  return model.growths > 0 && result.accuracy() > 0.93 ? 0 : 1;
}
