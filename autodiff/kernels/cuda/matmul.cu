// Matrix products by cuBLAS, which counts columns first: c = a b row by row is c^T = b^T a^T column by
// column. Small ones, for which cuBLAS takes longer to begin than to multiply, by a thread for each element.
#include <cublas_v2.h>

#include <memory>
#include <mutex>

#include "autodiff/kernels/cuda/cuda.h"
#include "autodiff/tensor/error.h"

namespace autodiff::kernels::cuda {
namespace {

void check(cublasStatus_t status, const char* what) {
  if (status != CUBLAS_STATUS_SUCCESS) fail("cuda: ", what, ": ", cublasGetStatusString(status));
}

// One for each thread of the host: a handle belongs to a stream at a time. Its own memory would be one more
// allocation while a step is recorded; the stream's partial results are not in use then.
cublasHandle_t handle() {
  struct Destroy {
    void operator()(cublasContext* h) const { cublasDestroy(h); }
  };
  thread_local const std::unique_ptr<cublasContext, Destroy> own = [] {
    cublasHandle_t h = nullptr;
    check(cublasCreate(&h), "cublasCreate");
    return std::unique_ptr<cublasContext, Destroy>(h);
  }();
  return own.get();
}

cublasComputeType_t compute_type() {
  switch (device_precision()) {
    case Precision::float32:
      return CUBLAS_COMPUTE_32F;
    case Precision::tf32:
      return CUBLAS_COMPUTE_32F_FAST_TF32;
    case Precision::bf16:
      return CUBLAS_COMPUTE_32F_FAST_16BF;
  }
  return CUBLAS_COMPUTE_32F;
}

// Every `lanes` threads of a warp share an element.
template <int lanes>
__global__ void small_kernel(MatmulDims d, const float* a, const float* b, float* c) {
  await_previous();
  const int index = static_cast<int>(thread_index()), at = min(index / lanes, d.m * d.n - 1),
            part = index % lanes;
  const int i = at / d.n, j = at % d.n;
  const int a_step = d.transpose_a ? d.row_of_a() : 1, b_step = d.transpose_b ? 1 : d.row_of_b();
  a += d.transpose_a ? i : static_cast<std::ptrdiff_t>(i) * d.row_of_a();
  b += d.transpose_b ? static_cast<std::ptrdiff_t>(j) * d.row_of_b() : j;
  float sum = 0;
#pragma unroll 8
  for (int p = part; p < d.k; p += lanes) {
    sum = fmaf(a[static_cast<std::ptrdiff_t>(p) * a_step], b[static_cast<std::ptrdiff_t>(p) * b_step], sum);
  }
  for (int step = lanes / 2; step > 0; step /= 2) sum += __shfl_xor_sync(~0u, sum, step);
  if (index < lanes * d.m * d.n && part == 0) c[static_cast<std::ptrdiff_t>(i) * d.row_of_c() + j] = sum;
}

void matmul(const MatmulDims& d, const float* a, const float* b, Scratch, float* c) {
  if (d.m == 0 || d.n == 0) return;
  if (d.k == 0) {
    cuda::check(cudaMemset2DAsync(c, static_cast<std::size_t>(d.row_of_c()) * sizeof(float), 0,
                                  static_cast<std::size_t>(d.n) * sizeof(float),
                                  static_cast<std::size_t>(d.m), stream()),
                "matmul");
    return;
  }
  if (d.k <= 256 && static_cast<double>(d.m) * d.n * d.k <= 1 << 18) {
    const auto elements = static_cast<std::size_t>(d.m) * static_cast<std::size_t>(d.n);
    if (d.k < 32) return launch("matmul", blocks(elements, 64), 64, 0, small_kernel<1>, d, a, b, c);
    return launch("matmul", blocks(elements, 16), 64, 0, small_kernel<4>, d, a, b, c);
  }
  cublasHandle_t h = handle();
  check(cublasSetStream(h, stream()), "cublasSetStream");
  check(cublasSetWorkspace(h, partials(), most_partial_bytes), "cublasSetWorkspace");
  const float one = 1, zero = 0;
  const auto op = [](bool transposed) { return transposed ? CUBLAS_OP_T : CUBLAS_OP_N; };
  check(cublasGemmEx(h, op(d.transpose_b), op(d.transpose_a), d.n, d.m, d.k, &one, b, CUDA_R_32F,
                     d.row_of_b(), a, CUDA_R_32F, d.row_of_a(), &zero, c, CUDA_R_32F, d.row_of_c(),
                     compute_type(), CUBLAS_GEMM_DEFAULT),
        "cublasGemmEx");
}

}  // namespace

void make_ready() { handle(); }

void add_matmul(Backend& row) { row.matmul = {matmul}; }

}  // namespace autodiff::kernels::cuda
