// The small run on which the loop is tested.
#pragma once

#include "ev3/evolution.h"
#include "tests/synthetic_batches.h"

namespace tests {

using namespace ev3;

/// Small enough for a test, noisy enough that candidates are kept and refused.
inline Settings small_settings() {
  return {.model = nn::Mlp{.inputs = {2}, .hidden = {4}, .classes = 3},
          .losses = {nn::CrossEntropy{{0.5f}}, nn::CrossEntropy{{2.0f}}},
          .optimizers = {nn::Sgd{.learning_rate = 0.3}, nn::AdamW{.learning_rate = 0.02}},
          .explore = {.trajectory_length = 6},
          .assess = {.batches = 2, .alpha = 0.5},
          .adapt = {.batches = 4, .alpha = 1.0}};
}

inline Streams small_streams() { return synthetic_streams({.features = 2, .classes = 3, .batch = 16}); }

/// The same, growing after two rounds without significance, of which there are many.
inline Settings growing_settings() {
  Settings settings = small_settings();
  settings.adapt.alpha = 3;
  settings.adapt.rounds_before_growth = 1;
  settings.adapt.growth = Expand{};
  return settings;
}

}  // namespace tests
