// The blas row: matmul by OpenBLAS, on one thread (parallel_for knows better where to cut, and results may
// not depend on the number of threads).
//
// Measured on a Zen 4 (AVX-512, core Cooperlake, OpenBLAS 0.3.21), 21 products of dense layers, thread time,
// each the best of 15 interleaved runs: our vector kernel takes 0.94 to 1.07 times the time of sgemm from 32
// x 64 x 64 to 512^3, 1.06 to 1.18 for one large row, 0.3 to 1.3 for the smallest. So the simd row is
// asked first; where there is none, this row wins 5 to 8 times against portable.
#include <cblas.h>

#include <algorithm>
#include <cstddef>

#include "autodiff/kernels/backend.h"
#include "autodiff/kernels/cpu.h"

namespace autodiff::kernels {
namespace {

void matmul(const MatmulDims& d, const float* a, const float* b, float* c) {
  if (d.m == 0 || d.n == 0) return;
  if (d.k == 0) {  // leading dimensions may not be 0
    for (std::ptrdiff_t i = 0; i < d.m; ++i) std::fill_n(c + i * d.row_of_c(), d.n, 0.0f);
    return;
  }
  cblas_sgemm(CblasRowMajor, d.transpose_a ? CblasTrans : CblasNoTrans,
              d.transpose_b ? CblasTrans : CblasNoTrans, d.m, d.n, d.k, 1.0f, a, d.row_of_a(), b,
              d.row_of_b(), 0.0f, c, d.row_of_c());
}

bool supports(const MatmulDims& d) {
  static const bool wanted = !blas_info().older_than_cpu;
  return wanted && flops(d) >= 2000;  // below, a call costs more than the work
}

}  // namespace

const Backend* blas_backend() {
  static const Backend row = [] {
    openblas_set_num_threads(1);
    return Backend{.name = "blas", .matmul = {without_scratch<matmul>, supports}};
  }();
  return &row;
}

BlasInfo blas_info() {
  blas_backend();  // sets the number of threads
  BlasInfo info{.core = openblas_get_corename(),
                .config = openblas_get_config(),
                .threads = openblas_get_num_threads(),
                .warning = ""};
  info.older_than_cpu = is_older_core(info.core, cpu_features());
  if (info.older_than_cpu) {
    const bool wide = cpu_features().find("AVX-512") != std::string::npos;
    info.warning = "OpenBLAS took this CPU (" + cpu_features() + ") for a " + info.core +
                   ", which is several times slower; it will not be used. Set the environment variable "
                   "OPENBLAS_CORETYPE=" +
                   (wide ? "SkylakeX" : "Haswell") + ", or install a newer OpenBLAS.";
  }
  return info;
}

}  // namespace autodiff::kernels
