// The matrix product of cuBLAS: see cuda_runtime.h of this folder.
#pragma once

#include "autodiff/kernels/cuda/emulated/cuda_runtime.h"

struct cublasContext {
  cudaStream_t stream = nullptr;
};
using cublasHandle_t = cublasContext*;
enum cublasStatus_t { CUBLAS_STATUS_SUCCESS };
enum cublasOperation_t { CUBLAS_OP_N, CUBLAS_OP_T };
enum cublasComputeType_t { CUBLAS_COMPUTE_32F, CUBLAS_COMPUTE_32F_FAST_TF32, CUBLAS_COMPUTE_32F_FAST_16BF };
enum cudaDataType { CUDA_R_32F };
enum cublasGemmAlgo_t { CUBLAS_GEMM_DEFAULT };

inline const char* cublasGetStatusString(cublasStatus_t) { return "success"; }
inline cublasStatus_t cublasCreate(cublasHandle_t* out) {
  *out = new cublasContext;
  return CUBLAS_STATUS_SUCCESS;
}
inline cublasStatus_t cublasDestroy(cublasHandle_t handle) {
  delete handle;
  return CUBLAS_STATUS_SUCCESS;
}
inline cublasStatus_t cublasSetStream(cublasHandle_t handle, cudaStream_t stream) {
  handle->stream = stream;
  return CUBLAS_STATUS_SUCCESS;
}
inline cublasStatus_t cublasSetWorkspace(cublasHandle_t, void*, std::size_t) { return CUBLAS_STATUS_SUCCESS; }
/// c [m, n] = a b, columns first; alpha is 1 and beta 0.
inline cublasStatus_t cublasGemmEx(cublasHandle_t handle, cublasOperation_t op_a, cublasOperation_t op_b,
                                   int m, int n, int k, const float*, const float* a, cudaDataType,
                                   int a_column, const float* b, cudaDataType, int b_column, const float*,
                                   float* c, cudaDataType, int c_column, cublasComputeType_t,
                                   cublasGemmAlgo_t) {
  emulated::enqueue(handle->stream, [=] {
    const auto at = [](cublasOperation_t op, int row, int column, int step) {
      return op == CUBLAS_OP_N ? row + static_cast<std::ptrdiff_t>(column) * step
                               : column + static_cast<std::ptrdiff_t>(row) * step;
    };
    for (int j = 0; j < n; ++j) {
      for (int i = 0; i < m; ++i) {
        float sum = 0;
        for (int p = 0; p < k; ++p) sum += a[at(op_a, i, p, a_column)] * b[at(op_b, p, j, b_column)];
        c[at(CUBLAS_OP_N, i, j, c_column)] = sum;
      }
    }
  });
  return CUBLAS_STATUS_SUCCESS;
}
