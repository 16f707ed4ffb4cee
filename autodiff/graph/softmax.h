// Softmax along the last axis.
#pragma once

#include "autodiff/graph/graph.h"

namespace autodiff {

/// exp(x_c) / sum over c of exp(x_c), along the last axis, which has at least one entry.
Value softmax(Value x);
/// Its logarithm, computed without forming the softmax.
Value log_softmax(Value x);

}  // namespace autodiff
