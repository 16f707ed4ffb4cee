// Convolution without a copy of the image: for every output position, the products of one group's filters
// are added up in a small array of outputs, in the order of the reference, so that the bits are the same.
#include <algorithm>
#include <array>

#include "autodiff/kernels/portable/kernels.h"

namespace autodiff::kernels::portable {
namespace {

constexpr int block = 32;  // outputs whose sums are held at a time

const float* pixel(const Conv2dDims& d, const float* x, int n, int row, int column) {
  return x + (static_cast<std::ptrdiff_t>(n * d.h + row) * d.w + column) * d.in;
}

// Calls visit(x of the pixel, offset of the filter's row for (a, b)) for all filter positions that lie on the
// image.
template <class Visit>
void for_each_tap(const Conv2dDims& d, const float* x, int n, int i, int j, Visit visit) {
  const std::ptrdiff_t filter = static_cast<std::ptrdiff_t>(d.in / d.groups) * d.out;
  for (int a = 0; a < d.kh; ++a) {
    const int row = d.source_row(i, a);
    if (row < 0) continue;
    for (int b = 0; b < d.kw; ++b) {
      const int column = d.source_column(j, b);
      if (column >= 0) visit(pixel(d, x, n, row, column), filter * (a * d.kw + b));
    }
  }
}

// sums[o] += sum over c of x[c] w[c, o] for o < width
void accumulate(const float* x, const float* w, int in, std::ptrdiff_t stride, int width, float* sums) {
  for (int c = 0; c < in; ++c, w += stride) {
    const float factor = x[c];
    for (int o = 0; o < width; ++o) sums[o] += factor * w[o];
  }
}

}  // namespace

void conv2d(const Conv2dDims& d, const float* x, const float* w, float* y) {
  const int in = d.in / d.groups, out = d.out / d.groups;
  for (int n = 0; n < d.n; ++n) {
    for (int i = 0; i < d.oh; ++i) {
      for (int j = 0; j < d.ow; ++j, y += d.out) {
        for (int g = 0; g < d.groups; ++g) {
          for (int first = 0; first < out; first += block) {
            const int width = std::min(block, out - first), o = g * out + first;
            std::array<float, block> sums{};
            for_each_tap(d, x, n, i, j, [&](const float* source, std::ptrdiff_t filter) {
              const float *from = source + g * in, *weights = w + filter + o;
              if (width == block) {  // a length that the compiler knows
                accumulate(from, weights, in, d.out, block, sums.data());
              } else {
                accumulate(from, weights, in, d.out, width, sums.data());
              }
            });
            std::copy_n(sums.begin(), width, y + o);
          }
        }
      }
    }
  }
}

void conv2d_filter_grad(const Conv2dDims& d, const float* x, const float* dy, float* dw) {
  const int in = d.in / d.groups, out = d.out / d.groups;
  std::fill_n(dw, d.w_size(), 0.0f);
  for (int n = 0; n < d.n; ++n) {
    for (int i = 0; i < d.oh; ++i) {
      for (int j = 0; j < d.ow; ++j, dy += d.out) {
        for_each_tap(d, x, n, i, j, [&](const float* source, std::ptrdiff_t filter) {
          for (int g = 0; g < d.groups; ++g) {
            for (int c = 0; c < in; ++c) {
              const float factor = source[g * in + c];
              float* to = dw + filter + std::ptrdiff_t{c} * d.out + g * out;
              const float* from = dy + g * out;
              for (int o = 0; o < out; ++o) to[o] += factor * from[o];
            }
          }
        });
      }
    }
  }
}

}  // namespace autodiff::kernels::portable
