// The blas row: matmul by OpenBLAS, on one thread (parallel_for knows better where to cut, and results may not
// depend on the number of threads).
#include <cblas.h>

#include <algorithm>
#include <array>
#include <string_view>

#include "autodiff/kernels/backend.h"
#include "autodiff/kernels/cpu.h"

namespace autodiff::kernels {
namespace {

void matmul(const MatmulDims& d, const float* a, const float* b, float* c) {
  if (d.m == 0 || d.n == 0) return;
  if (d.k == 0) {  // leading dimensions may not be 0
    std::fill(c, c + static_cast<std::ptrdiff_t>(d.m) * d.n, 0.0f);
    return;
  }
  cblas_sgemm(CblasRowMajor, d.transpose_a ? CblasTrans : CblasNoTrans,
              d.transpose_b ? CblasTrans : CblasNoTrans, d.m, d.n, d.k, 1.0f, a, d.transpose_a ? d.m : d.k, b,
              d.transpose_b ? d.k : d.n, 0.0f, c, d.n);
}

}  // namespace

const Backend* blas_backend() {
  static const Backend row = [] {
    openblas_set_num_threads(1);
    return Backend{.name = "blas", .matmul = {matmul}};
  }();
  return &row;
}

}  // namespace autodiff::kernels
