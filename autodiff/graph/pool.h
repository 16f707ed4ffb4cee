// Pooling over windows of images.
#pragma once

#include <optional>

#include "autodiff/graph/conv2d.h"
#include "autodiff/graph/graph.h"

namespace autodiff {

struct PoolOptions {
  int window = 2;
  /// Distance of neighbouring windows; none: as far as they are wide.
  std::optional<int> stride = {};
  /// {} is "VALID": rows and columns that fill no window are dropped.
  Padding padding = {};
};

/// The maximum over every window: [n, h, w, c] -> [n, oh, ow, c]. What is outside the image never counts. The
/// derivative goes to the first of several equal maxima, in the order of rows and columns. Throws Error for
/// x of other ranks, options below 1 (padding below 0, or not below the window), and windows larger than the
/// padded image.
Value max_pool(Value x, const PoolOptions& options = {});
/// The mean over every window, in which elements outside the image count as zeros. Throws Error as max_pool.
Value avg_pool(Value x, const PoolOptions& options = {});
/// The mean over all positions: [n, h, w, c] -> [n, c].
Value global_avg_pool(Value x);

}  // namespace autodiff
