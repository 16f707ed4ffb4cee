// Two-dimensional convolution of images [N, H, W, C] with filters [KH, KW, C / groups, O], and its adjoint
// with respect to the filters. The adjoint with respect to the images is a convolution again: of dy, spread
// out by `stride`, with the filters turned around (graph/conv2d.cpp).
#pragma once

#include <cstddef>

#include "autodiff/kernels/scalar.h"

namespace autodiff::kernels {

/// x [n, h, w, in], w [kh, kw, in / groups, out], y [n, oh, ow, out].
///
///     y[n, i, j, o] = sum over a, b, c of x[n, (i stride + a dilation - top) / up, (j stride + b dilation -
///     left) / up, c] w[a, b, c, o]
///
/// where only positions inside x count, and with `up` > 1 only those that `up` divides: x is read as if
/// up - 1 zeros stood between its rows and columns. Group g connects inputs g in / groups ... with outputs
/// g out / groups ...; padding beyond the right and lower edge follows from oh and ow.
struct Conv2dDims {
  int n = 0, h = 0, w = 0, in = 0;
  int kh = 1, kw = 1, oh = 0, ow = 0, out = 0;
  int stride = 1, dilation = 1, up = 1;
  int top = 0, left = 0;
  int groups = 1;

  std::size_t x_size() const { return image(h, w) * static_cast<std::size_t>(in); }
  std::size_t y_size() const { return image(oh, ow) * static_cast<std::size_t>(out); }
  std::size_t w_size() const {
    return static_cast<std::size_t>(kh) * static_cast<std::size_t>(kw) *
           static_cast<std::size_t>(in / groups) * static_cast<std::size_t>(out);
  }
  /// The row or column of x that lies under position `at` of the filter's window, or -1 where there is none.
  int source(int at, int size) const {
    if (up == 1) return at >= 0 && at < size ? at : -1;  // without a division
    if (at < 0 || at % up != 0) return -1;
    return at / up < size ? at / up : -1;
  }
  int source_row(int i, int a) const { return source(i * stride + a * dilation - top, h); }
  int source_column(int j, int b) const { return source(j * stride + b * dilation - left, w); }

 private:
  std::size_t image(int rows, int columns) const {
    return static_cast<std::size_t>(n) * static_cast<std::size_t>(rows) * static_cast<std::size_t>(columns);
  }
};

/// For filters that were brought into another form before: output channels [first_out, first_out + outs)
/// only, for threads that share an image.
struct PackedConv2dDims : Conv2dDims {
  int first_out = 0, outs = 0;
};

/// Multiplications and additions, those with the padding counted.
inline double flops(const Conv2dDims& d) {
  return 2.0 * d.n * d.oh * d.ow * d.out * d.kh * d.kw * d.in / d.groups;
}

/// Calls meet(x index, w index, y index) for every product of the convolution, in the order n, i, j, a, b, c,
/// o: the walk that it and its adjoints share.
template <class Meet>
void conv2d_walk(const Conv2dDims& d, Meet meet) {
  const int in = d.in / d.groups, out = d.out / d.groups;
  for (int n = 0; n < d.n; ++n) {
    for (int i = 0; i < d.oh; ++i) {
      for (int j = 0; j < d.ow; ++j) {
        const std::size_t y = (static_cast<std::size_t>(n * d.oh + i) * static_cast<std::size_t>(d.ow) +
                               static_cast<std::size_t>(j)) *
                              static_cast<std::size_t>(d.out);
        for (int a = 0; a < d.kh; ++a) {
          for (int b = 0; b < d.kw; ++b) {
            const int row = d.source_row(i, a), column = d.source_column(j, b);
            if (row < 0 || column < 0) continue;
            const std::size_t x = (static_cast<std::size_t>(n * d.h + row) * static_cast<std::size_t>(d.w) +
                                   static_cast<std::size_t>(column)) *
                                  static_cast<std::size_t>(d.in);
            for (int g = 0; g < d.groups; ++g) {
              for (int c = 0; c < in; ++c) {
                const std::size_t w =
                    static_cast<std::size_t>((a * d.kw + b) * in + c) * static_cast<std::size_t>(d.out);
                for (int o = 0; o < out; ++o) {
                  const auto at = static_cast<std::size_t>(g * out + o);
                  meet(x + static_cast<std::size_t>(g * in + c), w + at, y + at);
                }
              }
            }
          }
        }
      }
    }
  }
}

/// y as above, summed in the order of the walk in T itself.
template <class T>
void conv2d_reference(const Conv2dDims& d, const T* x, const T* w, T* y) {
  for (std::size_t i = 0; i < d.y_size(); ++i) y[i] = T{};
  conv2d_walk(d, [&](std::size_t xi, std::size_t wi, std::size_t yi) { y[yi] += x[xi] * w[wi]; });
}

/// dw[a, b, c, o] = sum over n, i, j of x[...] dy[n, i, j, o]: how the filters enter.
template <class T>
void conv2d_filter_grad_reference(const Conv2dDims& d, const T* x, const T* dy, T* dw) {
  for (std::size_t i = 0; i < d.w_size(); ++i) dw[i] = T{};
  conv2d_walk(d, [&](std::size_t xi, std::size_t wi, std::size_t yi) { dw[wi] += x[xi] * dy[yi]; });
}

}  // namespace autodiff::kernels
