// What tests of convolutions together with chains share: chains of patterns, and sizes.
#pragma once

#include "autodiff/kernels/conv2d.h"
#include "autodiff/kernels/cuda/chain_patterns.h"

namespace tests {

/// The chain of a pattern, of so many columns; `spent`: the array that a convolution gives.
inline autodiff::kernels::PointwiseDims chain_of(const autodiff::kernels::cuda::Pattern& pattern, int columns,
                                                 int spent = -1) {
  autodiff::kernels::PointwiseDims d{.columns = static_cast<std::size_t>(columns),
                                     .full = pattern.full,
                                     .repeated = pattern.repeated,
                                     .local = 4,
                                     .spent = spent};
  for (std::size_t s = 0; s < pattern.steps.size(); ++s) d.steps.push_back(pattern.steps[s]);
  for (std::size_t k = 0; k < pattern.sums.size(); ++k)
    d.sums.push_back({.step = pattern.sums[k].step, .divisor = k == 0 ? 1.0 : 8.0});
  return d;
}

/// With half of the window above and left of the first pixel.
inline autodiff::kernels::Conv2dDims centred(int n, int h, int w, int in, int out, int window,
                                             int stride = 1) {
  const auto size = [&](int x) { return (x + stride - 1) / stride; };
  return {.n = n,
          .h = h,
          .w = w,
          .in = in,
          .kh = window,
          .kw = window,
          .oh = size(h),
          .ow = size(w),
          .out = out,
          .stride = stride,
          .top = window / 2,
          .left = window / 2};
}

/// A convolution, and whether one kernel is to do it together with a chain.
struct ConvolutionCase {
  int n, h, w, in, out, window, stride = 1;
  bool at_once = true;
  /// Else the images are read as if zeros stood between rows and columns, `spread` above them.
  int spread = -1;
  int top = -9, left = -9, oh = 0, ow = 0;  ///< unless they are those of "same"

  autodiff::kernels::Conv2dDims dims() const {
    autodiff::kernels::Conv2dDims d = centred(n, h, w, in, out, window, stride);
    if (stride == 2 && window == 3) d.top = h % 2, d.left = w % 2;  // as networks have it
    if (spread >= 0) {
      const auto size = [](int x) { return 2 * x - (x > 6 ? 0 : 1); };
      d.up = 2, d.top = d.left = spread, d.oh = size(h), d.ow = size(w);
    }
    if (oh > 0) d.top = top, d.left = left, d.oh = oh, d.ow = ow;
    return d;
  }
};

}  // namespace tests
