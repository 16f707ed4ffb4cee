// Mean and variance over samples and positions.
#pragma once

#include "autodiff/graph/graph.h"

namespace autodiff {

/// Mean and biased variance of every channel over all other axes, formed in double: [n, ..., c] -> [2, c],
/// the means first. A reduction over samples: programs put the moments of chunks together without loss.
/// Throws Error for a scalar and for an x without elements.
Value moments(Value x);

}  // namespace autodiff
