// The portable kernels: plain C++ for any CPU. Each keeps the summation order of its reference, so that both
// give the same bits; what is gained comes from the order of the memory accesses, which lets compilers
// vectorize.
#pragma once

#include "autodiff/kernels/backend.h"

namespace autodiff::kernels::portable {

void matmul(const MatmulDims& d, const float* a, const float* b, float* c);
void unary(const UnaryDims& d, const float* x, float* y);
void binary(const BinaryDims& d, const float* a, const float* b, float* y);
void reduce(const ReduceDims& d, const float* x, float* y);
void copy(const CopyDims& d, const float* x, float* y);
void conv2d(const Conv2dDims& d, const float* x, const float* w, float* y);
void conv2d_filter_grad(const Conv2dDims& d, const float* x, const float* dy, float* dw);
void moments(const MomentsDims& d, const float* x, float* m);
void dropout(const DropoutDims& d, const float* x, const std::int32_t* keys, float* y);

}  // namespace autodiff::kernels::portable
