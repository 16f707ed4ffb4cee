// The layers of a sequential network in their places.
#pragma once

#include <string>
#include <vector>

#include "nn/sequential.h"

namespace nn {

/// A layer, the name of its parameters ("conv1", or none), and the shapes of a sample before and after it.
struct Placed {
  const Layer* layer;
  std::string name;
  autodiff::Shape in, out;
  std::vector<Placed> inside = {};  ///< of a residual layer
};

/// All of them; they look into `net`. Throws Error, with the number and kind of the layer, for what does not
/// fit (see layout() of a Sequential).
std::vector<Placed> place_layers(const Sequential& net);

}  // namespace nn
