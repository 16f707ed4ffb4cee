// Convolutions of images of few channels, up to 64 products for each element of the result: too few for
// products of matrices. The filters lie in shared memory; a thread has one pixel and 16 filters, or one tap
// and channel of a filter.
#include "autodiff/kernels/cuda/conv2d_inl.h"

namespace autodiff::kernels::cuda {
namespace {

constexpr int threads = 128, filters = 16, most_depth = 64;

__global__ void __launch_bounds__(threads)
    forward_kernel(const Conv2dDims d, bool aligned, const float* __restrict__ x, const float* __restrict__ w,
                   float* __restrict__ y) {
  __shared__ float filter[most_depth * filters];
  const int depth = d.kh * d.kw * d.in, first = static_cast<int>(blockIdx.y) * filters;
  for (int q = static_cast<int>(threadIdx.x); q < depth * filters; q += threads) {
    filter[q] = first + q % filters < d.out ? w[q / filters * d.out + first + q % filters] : 0.0f;
  }
  __syncthreads();
  const int m = static_cast<int>(blockIdx.x) * threads + static_cast<int>(threadIdx.x);
  const Pixel p = pixel(d, m);
  if (p.n < 0) return;
  float sum[filters] = {};
  int k = 0;
  for (int a = 0; a < d.kh; ++a) {
    for (int b = 0; b < d.kw; ++b) {
      const long long at = find(d, p, a, b);
      for (int c = 0; c < d.in; ++c, ++k) {
        const float v = at < 0 ? 0.0f : x[at + c];
#pragma unroll
        for (int o = 0; o < filters; ++o) sum[o] = fmaf(v, filter[k * filters + o], sum[o]);
      }
    }
  }
  float* to = y + static_cast<long long>(m) * d.out + first;
  if (aligned && first + filters <= d.out && d.out % 4 == 0) {
#pragma unroll
    for (int o = 0; o < filters; o += 4)
      *reinterpret_cast<float4*>(to + o) = {sum[o], sum[o + 1], sum[o + 2], sum[o + 3]};
  } else {
    for (int o = 0; o < filters; ++o) {
      if (first + o < d.out) to[o] = sum[o];
    }
  }
}

// Part blockIdx.x of the pixels, 32 at a time: the pixels' windows and slopes in shared memory, a thread for
// each product of depth and filters.
constexpr int some = 32;
__global__ void filters_kernel(const Conv2dDims d, int pixels_each, const float* __restrict__ x,
                               const float* __restrict__ dy, float* __restrict__ partial) {
  __shared__ float window[some][most_depth], slope[some][filters];
  const int depth = d.kh * d.kw * d.in, first = static_cast<int>(blockIdx.y) * filters;
  const int tid = static_cast<int>(threadIdx.x), count = static_cast<int>(blockDim.x);
  const int begin = static_cast<int>(blockIdx.x) * pixels_each,
            end = min(begin + pixels_each, d.n * d.oh * d.ow);
  const int k = tid / filters, o = tid % filters;
  float sum = 0;
  for (int m = begin; m < end; m += some) {
    for (int q = tid; q < some * d.kh * d.kw; q += count) {
      const int p = q / (d.kh * d.kw), tap = q % (d.kh * d.kw);
      const long long at = m + p < end ? find(d, pixel(d, m + p), tap / d.kw, tap % d.kw) : -1;
      for (int c = 0; c < d.in; ++c) window[p][tap * d.in + c] = at < 0 ? 0.0f : x[at + c];
    }
    for (int q = tid; q < some * filters; q += count) {
      const bool inside = m + q / filters < end && first + q % filters < d.out;
      slope[q / filters][q % filters] =
          inside ? dy[static_cast<long long>(m + q / filters) * d.out + first + q % filters] : 0.0f;
    }
    __syncthreads();
    if (k < depth) {
#pragma unroll 8
      for (int p = 0; p < some; ++p) sum = fmaf(window[p][k], slope[p][o], sum);
    }
    __syncthreads();
  }
  if (k < depth && first + o < d.out) {
    partial[(static_cast<long long>(blockIdx.x) * depth + k) * d.out + first + o] = sum;
  }
}

}  // namespace

bool thin_supports(const Conv2dDims& d) {
  return d.groups == 1 && d.in <= 4 && d.kh * d.kw * d.in <= most_depth;
}

int thin_parts(const Conv2dDims& d) { return std::clamp(d.n * d.oh * d.ow / some, 1, 512); }

void conv2d_thin(const Conv2dDims& d, const float* x, const float* w, float* y) {
  const dim3 grid(blocks(static_cast<std::size_t>(d.n * d.oh * d.ow), threads),
                  blocks(static_cast<std::size_t>(d.out), filters));
  launch("conv2d", grid, threads, 0, forward_kernel, d, is_aligned(y), x, w, y);
}

void filters_thin(const Conv2dDims& d, const float* x, const float* dy, float* partial) {
  const int parts = thin_parts(d), each = (d.n * d.oh * d.ow + parts - 1) / parts;
  const dim3 grid(static_cast<unsigned>(parts), blocks(static_cast<std::size_t>(d.out), filters));
  const int products = (d.kh * d.kw * d.in * filters + 31) / 32 * 32;
  launch("conv2d_filter_grad", grid, static_cast<unsigned>(products), 0, filters_kernel, d, each, x, dy,
         partial);
}

}  // namespace autodiff::kernels::cuda
