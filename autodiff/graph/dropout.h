// Dropout.
#pragma once

#include "autodiff/graph/graph.h"

namespace autodiff {

struct DropoutOptions {
  /// The probability with which an element becomes 0, in [0, 1).
  double rate = 0.5;
  /// Tells the dropouts of one network apart, so that their masks are independent; at least 0.
  int layer = 0;
};

/// x [n, ...] with each element set to 0 with probability `rate`, and those kept divided by 1 - rate. Who is
/// kept is a pure function of (the sample's key, layer, index of the element in its sample), so it depends
/// neither on the rest of the batch nor on threads; keys int32 [n], any numbers, are bound anew for every
/// step: graph.labels(n, "keys"). With rate 0 it is x itself. Throws Error for other shapes and rates.
Value dropout(Value x, Value keys, const DropoutOptions& options = {});

}  // namespace autodiff
