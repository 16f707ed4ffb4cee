#include <algorithm>
#include <array>
#include <cstddef>

#include "autodiff/kernels/portable/kernels.h"

namespace autodiff::kernels::portable {
namespace {

// c [m, n] += a [m, k] b [k, n]; a(i, p) = a[i row + p column], b has `stride` elements a row. For every i
// and j the products are added in the order of p. `n` is short enough for b's rows to stay in the first-level
// cache.
void accumulate(int m, int n, int k, const float* a, std::ptrdiff_t row, std::ptrdiff_t column,
                const float* b, std::ptrdiff_t stride, float* c, std::ptrdiff_t c_stride) {
  for (std::ptrdiff_t i = 0; i < m; ++i) {
    float* __restrict out = c + i * c_stride;
    const float* factor = a + i * row;
    const float* in = b;
    std::ptrdiff_t p = 0;
    for (; p + 4 <= k;
         p += 4, factor += 4 * column, in += 4 * stride) {  // one load and store for four products
      const float f0 = factor[0], f1 = factor[column], f2 = factor[2 * column], f3 = factor[3 * column];
      const float *in1 = in + stride, *in2 = in1 + stride, *in3 = in2 + stride;
      for (std::ptrdiff_t j = 0; j < n; ++j) {
        out[j] = out[j] + f0 * in[j] + f1 * in1[j] + f2 * in2[j] + f3 * in3[j];
      }
    }
    for (; p < k; ++p, factor += column, in += stride) {
      for (std::ptrdiff_t j = 0; j < n; ++j) out[j] += factor[0] * in[j];
    }
  }
}

}  // namespace

void matmul(const MatmulDims& d, const float* a, const float* b, float* c) {
  const std::ptrdiff_t n = d.row_of_b(), c_row = d.row_of_c();
  const std::ptrdiff_t row = d.transpose_a ? 1 : d.row_of_a(), column = d.transpose_a ? d.row_of_a() : 1;
  for (std::ptrdiff_t i = 0; i < d.m; ++i) std::fill_n(c + i * c_row, d.n, 0.0f);
  constexpr int block_k = 64, block_n = 128;
  for (int p = 0; p < d.k; p += block_k) {
    const int k = std::min(block_k, d.k - p);
    const float* a_block = a + p * column;
    for (int j = 0; j < d.n; j += block_n) {
      const int cols = std::min(block_n, d.n - j);
      if (!d.transpose_b) {
        accumulate(d.m, cols, k, a_block, row, column, b + p * n + j, n, c + j, c_row);
      } else {  // turn a block of b around first
        std::array<float, block_k * block_n> block;
        for (std::ptrdiff_t y = 0; y < cols; ++y) {
          for (std::ptrdiff_t x = 0; x < k; ++x) {
            block[static_cast<std::size_t>(x * cols + y)] = b[(j + y) * n + p + x];
          }
        }
        accumulate(d.m, cols, k, a_block, row, column, block.data(), cols, c + j, c_row);
      }
    }
  }
}

}  // namespace autodiff::kernels::portable
