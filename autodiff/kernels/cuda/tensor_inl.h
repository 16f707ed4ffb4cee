// What kernels for tensor cores share. The cores multiply numbers of 10 bits after the point (tf32) and add
// in float32.
//
//     tf32      factors are rounded to it
//     bf16      factors are rounded to bf16, whose numbers tf32 holds exactly
//     float32   factors are split into two numbers of tf32, x = big + rest, of which three products are
//     formed:
//               a b = big big + rest big + big rest. What is left out is below 2^-22 of a product, so that
//               results stay inside the bounds of sums in float32; it takes three times the multiplications
#pragma once

#include <type_traits>

#include "autodiff/kernels/cuda/cuda.h"

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wshadow"  // in the toolkit's own headers
#include <cuda_pipeline.h>
#pragma GCC diagnostic pop

namespace autodiff::kernels::cuda {

/// Whether the device has such cores: from compute capability 8.0 on.
bool has_tensor_cores();

/// Calls body with the device's precision as a constant.
template <class Body>
void by_precision(const Body& body) {
  switch (device_precision()) {
    case Precision::float32:
      return body(std::integral_constant<Precision, Precision::float32>{});
    case Precision::tf32:
      return body(std::integral_constant<Precision, Precision::tf32>{});
    case Precision::bf16:
      return body(std::integral_constant<Precision, Precision::bf16>{});
  }
}

#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800
struct Parts2 {
  unsigned big, rest;
};

// x to the nearest number of 24 - bits binary digits: those of tf32 with 13, of bf16 with 16. 2^bits x + x
// keeps no more of x, and x - 2^bits x is exact. (cvt.rna.tf32 is four instructions.) Infinities become NaN.
template <int bits>
__device__ float rounded(float x) {
  constexpr auto scale = static_cast<float>(1 << bits);
  return fmaf(x, -scale, fmaf(x, scale, x));
}

// The cores leave the last 13 bits of `rest` unread.
template <Precision precision>
__device__ Parts2 split(float x) {
  if constexpr (precision == Precision::bf16) return {__float_as_uint(rounded<16>(x)), 0};
  const float big = rounded<13>(x);
  return {__float_as_uint(big), precision == Precision::float32 ? __float_as_uint(x - big) : 0u};
}

/// Elements of a factor, as the cores take them.
template <int size>
struct Factor {
  unsigned big[size], rest[size];
  template <Precision precision>
  __device__ void set(int i, float x) {
    const Parts2 parts = split<precision>(x);
    big[i] = parts.big;
    rest[i] = parts.rest;
  }
};

// By the lanes of a warp together; see below.
__device__ inline void multiply(float* c, const unsigned* a, const unsigned* b) {
#if EV3_CUDA_EMULATED
  emulated::multiply(c, a, b);
#else
  asm("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, "
      "%1, %2, %3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#endif
}

/// c [16, 8] += a [16, 8] b [8, 8]. With g = lane / 4 and t = lane % 4 a lane has a at (g, t), (g + 8, t),
/// (g, t + 4), (g + 8, t + 4); b at (t, g), (t + 4, g); c at (g, 2t), (g, 2t + 1), (g + 8, 2t), (g + 8, 2t +
/// 1).
template <Precision precision>
__device__ void multiply(float* c, const Factor<4>& a, const Factor<2>& b) {
  if constexpr (precision == Precision::float32) {
    multiply(c, a.rest, b.big);
    multiply(c, a.big, b.rest);
  }
  multiply(c, a.big, b.big);
}

/// a [16, 8] as multiply() takes it, from shared memory: lane l knows where four neighbouring elements are,
/// of row l % 16 and from column l / 16 * 4 on, on a boundary of 16 bytes.
__device__ inline void load_factor(unsigned* to, const float* from) {
#if EV3_CUDA_EMULATED
  emulated::load_matrices(to, from);
#else
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
               : "r"(static_cast<unsigned>(__cvta_generic_to_shared(from))));
#endif
}

/// 16 bytes to shared memory, on their way until the pipeline is waited for; zeros unless inside.
__device__ inline void send(float* to, const float* from, bool inside) {
  __pipeline_memcpy_async(to, from, 16, inside ? 0 : 16);
}
#endif

}  // namespace autodiff::kernels::cuda
