// Matrix product: c = op(a) op(b), op being nothing or the transpose.
#pragma once

#include <cstddef>

#include "autodiff/kernels/scalar.h"

namespace autodiff::kernels {

/// c [m, n] = op(a) [m, k] times op(b) [k, n]; a is stored [m, k], or [k, m] when transposed; b likewise.
struct MatmulDims {
  int m, n, k;
  bool transpose_a = false, transpose_b = false;
};

/// Multiplications and additions.
inline double flops(const MatmulDims& d) { return 2.0 * d.m * d.n * d.k; }

/// c[i, j] = sum over p of a[i, p] b[p, j], summed from p = 0 up in T itself.
template <class T>
void matmul_reference(const MatmulDims& d, const T* a, const T* b, T* c) {
  const auto at = [](const T* x, bool transposed, int rows, int cols, int i, int j) {
    return transposed ? x[static_cast<std::ptrdiff_t>(j) * rows + i]
                      : x[static_cast<std::ptrdiff_t>(i) * cols + j];
  };
  for (int i = 0; i < d.m; ++i) {
    for (int j = 0; j < d.n; ++j) {
      T sum{};
      for (int p = 0; p < d.k; ++p) {
        sum += at(a, d.transpose_a, d.m, d.k, i, p) * at(b, d.transpose_b, d.k, d.n, p, j);
      }
      c[static_cast<std::ptrdiff_t>(i) * d.n + j] = sum;
    }
  }
}

}  // namespace autodiff::kernels
