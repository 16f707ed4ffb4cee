// What the kernels of conv2d.cu and conv2d_filters.cu share. Both are matrix products whose left factor is
// never formed (implicit GEMM): row m is a pixel of the result, column k = (a, b, c) a tap and a channel of
// the image under it.
//
//     forward:   y [m, o]  = sum over k of x[m, k] w[k, o]       of dy, spread out, it is the data gradient
//     filters:   dw [k, o] = sum over m of x[m, k] dy[m, o]      in parts, added in their order
//
// A block forms a tile of the result, a thread rows x columns of it in registers; both factors pass through
// shared memory in slices, the next one on its way while this one is multiplied.
#pragma once

#include "autodiff/kernels/cuda/conv2d_inl.h"

namespace autodiff::kernels::cuda {

__device__ inline float4 load4(const float* p) { return *reinterpret_cast<const float4*>(p); }

// rows x columns products of a thread: its rows are 4 and 4 far apart, as are its columns, so that the
// threads of a warp read shared memory side by side.
template <int rows, int columns>
struct Tile {
  float sum[rows][columns] = {};
  __device__ void add(const float* a, const float* b, int a_half, int b_half) {
    float av[rows], bv[columns];
#pragma unroll
    for (int r = 0; r < rows; r += 4) {
      const float4 v = load4(a + (r ? a_half : 0));
      av[r] = v.x, av[r + 1] = v.y, av[r + 2] = v.z, av[r + 3] = v.w;
    }
#pragma unroll
    for (int c = 0; c < columns; c += 4) {
      const float4 v = load4(b + (c ? b_half : 0));
      bv[c] = v.x, bv[c + 1] = v.y, bv[c + 2] = v.z, bv[c + 3] = v.w;
    }
#pragma unroll
    for (int r = 0; r < rows; ++r) {
#pragma unroll
      for (int c = 0; c < columns; ++c) sum[r][c] = fmaf(av[r], bv[c], sum[r][c]);
    }
  }
};

/// Whether channels come in multiples of `slice` and filters in multiples of 4, so that all may be read four
/// by four.
inline bool by_fours(const Conv2dDims& d) {
  return d.in / d.groups % slice == 0 && d.out / d.groups % 4 == 0;
}

}  // namespace autodiff::kernels::cuda
