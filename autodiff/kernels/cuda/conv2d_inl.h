// What convolution kernels share: where a tap of a window is, what is done with a result before it is
// written, and how filter gradients are cut into parts.
#pragma once

#include <algorithm>

#include "autodiff/kernels/cuda/cuda.h"
#include "autodiff/kernels/cuda/small.h"

namespace autodiff::kernels::cuda {

constexpr int slice = 16;  // taps and channels, or pixels, at a time

// A pixel of the result, as the rows and columns of the image that its window begins at.
struct Pixel {
  int n = -1, row = 0, column = 0;
};

__device__ inline Pixel pixel(const Conv2dDims& d, int m) {
  const int j = m % d.ow, i = m / d.ow % d.oh, n = m / (d.ow * d.oh);
  if (n >= d.n) return {};
  return {n, i * d.stride - d.top, j * d.stride - d.left};
}

// The offset in x of channel 0 under tap (a, b) of a pixel's window, or -1 where there is none.
__device__ inline long long find(const Conv2dDims& d, const Pixel& p, int a, int b) {
  int row = p.row + a * d.dilation, column = p.column + b * d.dilation;
  if (p.n < 0 || row < 0 || column < 0) return -1;
  if (d.up > 1) {
    if (row % d.up != 0 || column % d.up != 0) return -1;
    row /= d.up;
    column /= d.up;
  }
  if (row >= d.h || column >= d.w) return -1;
  return ((static_cast<long long>(p.n) * d.h + row) * d.w + column) * d.in;
}

// An epilogue for four neighbouring filters, from number `filter` on. What others() gives of a pixel, at `at`
// in y, write() wants with the pixel's result: so that those of several pixels are on their way together.
struct Finish {
  const Epilogue& e;
  float4 row = {}, array_row = {};

  __device__ Finish(const Epilogue& epilogue, int filter) : e(epilogue) {
    if (e.row) row = load(e.row + filter);
    if (e.array_row) array_row = load(e.array_row + filter);
  }
  __device__ float4 others(long long at) const { return e.array ? load(e.array + at) : float4{}; }
  __device__ void write(long long at, float4 v, float4 other) const {
    if (e.row) v = add(v, row);
    if (e.array_row) other = add(other, array_row);
    if (e.array) v = add(v, other);
    if (e.relu) v = {relu(v.x), relu(v.y), relu(v.z), relu(v.w)};
    *reinterpret_cast<float4*>(e.y + at) = v;
  }

 private:
  __device__ static float4 load(const float* p) { return *reinterpret_cast<const float4*>(p); }
  __device__ static float4 add(const float4& a, const float4& b) {
    return {a.x + b.x, a.y + b.y, a.z + b.z, a.w + b.w};
  }
  __device__ static float relu(float x) { return unary_reference(Unary::relu, x, 0); }
};

// Into how many parts the pixels are cut: by the sizes alone, so that sums have the same bits on every
// device.
struct Parts {
  int count, pixels_each;
};

inline Parts parts_of(const Conv2dDims& d) {
  const int pixels = d.n * d.oh * d.ow;
  const int tiles = (d.kh * d.kw * (d.in / d.groups) + 63) / 64 * ((d.out / d.groups + 31) / 32) * d.groups;
  const int count = std::clamp(pixels / 256, 1, std::max(1, 512 / tiles));
  const int each = (pixels + count - 1) / count;
  return {std::max(1, (pixels + each - 1) / std::max(1, each)), std::max(1, each)};
}

// By tensor cores (conv2d_tensor.cu): channels in multiples of 16, and enough pixels.
bool tensor_supports(const Conv2dDims& d, const float* x, const float* w, const float* y);
void conv2d_tensor(const Conv2dDims& d, const float* x, const float* w, float* y);
void filters_tensor(const Conv2dDims& d, const float* x, const float* dy, float* partial);

// Forward with windows of 3 x 3 and 1 x 1 (conv2d_forward.cu). No launch where they need more shared memory
// than there is, or images are huge.
bool forward_supports(const Conv2dDims& d);
// `first`: what gives x, and writes it, where that is to be done; no launch where the kernel cannot.
Conv2dLaunch conv2d_forward(const Conv2dDims& d, const float* x, const float* w, const Prologue& first);

// For images of few channels, such as those that a network begins with (conv2d_thin.cu).
bool thin_supports(const Conv2dDims& d);
void conv2d_thin(const Conv2dDims& d, const float* x, const float* w, float* y);
// Nothing where it is for conv2d_thin.
Conv2dLaunch conv2d_thin3(const Conv2dDims& d, const float* x, const float* w);
int thin_parts(const Conv2dDims& d);
void filters_thin(const Conv2dDims& d, const float* x, const float* dy, float* partial);

// Filter gradients that need no other kernel to add their parts (conv2d_window_filters.cu,
// conv2d_thin_filters.cu), with a scratch of so many floats.
bool window_filters_supports(const Conv2dDims& d);
std::size_t window_filters_scratch(const Conv2dDims& d);
void filters_window(const Conv2dDims& d, const float* x, const float* dy, float* partial, float* dw);
bool thin_filters_supports(const Conv2dDims& d);
std::size_t thin_filters_scratch(const Conv2dDims& d);
void filters_thin_tensor(const Conv2dDims& d, const float* x, const float* dy, float* partial, float* dw);

}  // namespace autodiff::kernels::cuda
