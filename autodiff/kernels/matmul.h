// Matrix product: c = op(a) op(b), op being nothing or the transpose.
#pragma once

#include <cstddef>

#include "autodiff/kernels/scalar.h"

namespace autodiff::kernels {

/// c [m, n] = op(a) [m, k] times op(b) [k, n]; a is stored [m, k], or [k, m] when transposed; b likewise. The
/// leading dimensions (as in BLAS) say how many elements a stored row is from the next one, where the
/// matrices are parts of larger ones; 0: they are not.
struct MatmulDims {
  int m, n, k;
  bool transpose_a = false, transpose_b = false;
  int lda = 0, ldb = 0, ldc = 0;

  constexpr int row_of_a() const { return lda ? lda : transpose_a ? m : k; }
  constexpr int row_of_b() const { return ldb ? ldb : transpose_b ? k : n; }
  constexpr int row_of_c() const { return ldc ? ldc : n; }
};

/// Multiplications and additions.
inline double flops(const MatmulDims& d) { return 2.0 * d.m * d.n * d.k; }

/// c[i, j] = sum over p of a[i, p] b[p, j], summed from p = 0 up in T itself.
template <class T>
void matmul_reference(const MatmulDims& d, const T* a, const T* b, T* c) {
  const std::ptrdiff_t row_of_a = d.row_of_a(), row_of_b = d.row_of_b();
  const std::ptrdiff_t a_i = d.transpose_a ? 1 : row_of_a, a_p = d.transpose_a ? row_of_a : 1;
  const std::ptrdiff_t b_p = d.transpose_b ? 1 : row_of_b, b_j = d.transpose_b ? row_of_b : 1;
  for (int i = 0; i < d.m; ++i) {
    for (int j = 0; j < d.n; ++j) {
      T sum{};
      for (int p = 0; p < d.k; ++p) sum += a[i * a_i + p * a_p] * b[p * b_p + j * b_j];
      c[static_cast<std::ptrdiff_t>(i) * d.row_of_c() + j] = sum;
    }
  }
}

}  // namespace autodiff::kernels
