// What evolves: a network, its current parameters, and the best ones met so far.
#pragma once

#include "ev3/history.h"
#include "nn/network.h"

namespace ev3 {

/// docs/algorithm.md, section 1 [the reference's ModelState]. A value: copying it is a snapshot.
struct Model {
  nn::Network network = nn::Mlp{};
  nn::Parameters params, stable;
  History history = History();
  /// True between a growth and the next applied update: optimizers start anew.
  bool just_expanded = false;
  /// Growths so far; growth g draws from the seed's stream "growth", g [the reference splits a key].
  int growths = 0;
};

}  // namespace ev3
