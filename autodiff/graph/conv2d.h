// Two-dimensional convolution.
#pragma once

#include <optional>

#include "autodiff/graph/graph.h"

namespace autodiff {

/// Rows and columns of zeros around an image.
struct Padding {
  int top = 0, bottom = 0, left = 0, right = 0;
  bool operator==(const Padding&) const = default;
};
/// "VALID". For Conv2dOptions::padding, where {} means that none is given.
inline constexpr Padding no_padding{};
/// The same number on all sides.
constexpr Padding pad_all(int size) { return {size, size, size, size}; }

struct Conv2dOptions {
  int stride = 1;
  /// None given: "SAME", as TensorFlow and JAX have it: the output has ceil(size / stride) rows, and of the
  /// zeros that this takes the smaller half goes above: max((ceil(h / stride) - 1) stride + window - h, 0).
  std::optional<Padding> padding = {};
  /// Distance between the elements of the filter.
  int dilation = 1;
  /// Channels are cut into so many groups; as many as inputs: depthwise.
  int groups = 1;
};

/// The padding that "SAME" means for images of h x w under windows of kh x kw (dilation included).
Padding same_padding(int h, int w, int kh, int kw, int stride);

/// Images x [n, h, w, c] under filters w [kh, kw, c / groups, o]: [n, oh, ow, o]. No bias. Throws Error for
/// other shapes, channels that groups do not divide, options below 1 (padding below 0), and windows larger
/// than the padded image.
Value conv2d(Value x, Value w, const Conv2dOptions& options = {});

}  // namespace autodiff
