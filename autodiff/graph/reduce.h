// Sums, means and maxima over axes.
#pragma once

#include <initializer_list>
#include <span>

#include "autodiff/graph/graph.h"

namespace autodiff {

struct ReduceOptions {
  /// Which axes; negative ones count from the end. Empty: all of them.
  std::vector<int> axes = {};
  /// Whether reduced axes stay, with size 1.
  bool keep_axes = false;
};

/// Sums are formed in double. Throws Error for an axis that is not there or named twice.
Value sum(Value x, const ReduceOptions& options = {});
/// The mean of nothing is not a number.
Value mean(Value x, const ReduceOptions& options = {});
/// The derivative is shared equally among all elements that attain the maximum.
Value max(Value x, const ReduceOptions& options = {});

/// Sums x over the axes along which `like` was repeated to get x's shape: the adjoint of broadcasting.
Value sum_to(Value x, Value like);

}  // namespace autodiff
