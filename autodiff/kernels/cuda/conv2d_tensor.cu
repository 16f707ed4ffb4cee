// Convolutions by tensor cores, which multiply tiles of 16 x 8 by 8 x 16 elements: the implicit products of
// conv2d_tile_inl.h, with slices of both factors on their way to shared memory while earlier ones are
// multiplied (cp.async). Most convolutions have better kernels, in conv2d_forward.cu and
// conv2d_window_filters.cu. What becomes of the factors is said in tensor_inl.h.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wshadow"  // in the toolkit's own headers
#include <mma.h>
#pragma GCC diagnostic pop

#include "autodiff/kernels/cuda/conv2d_inl.h"
#include "autodiff/kernels/cuda/tensor_inl.h"

namespace autodiff::kernels::cuda {
namespace {

// Before compute capability 8.0 the kernels are empty, and never called.
#pragma nv_diag_suppress 177

namespace wmma = nvcuda::wmma;
constexpr int stages = 3, tile = 16, step = 8;
constexpr int pad = 4;  // of rows in shared memory, against bank conflicts

#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800
// A fragment as what the cores multiply, and what is left of it.
template <Precision precision, class Fragment>
__device__ void split_fragment(Fragment& f, Fragment& rest) {
#pragma unroll
  for (int i = 0; i < f.num_elements; ++i) {
    const Parts2 parts = split<precision>(f.x[i]);
    f.x[i] = __uint_as_float(parts.big);
    rest.x[i] = __uint_as_float(parts.rest);
  }
}
#endif

// A warp has 32 pixels and all filters of the block.
template <int pixels, int filters, Precision precision>
__global__ void __launch_bounds__(pixels)
    forward_kernel(const Conv2dDims d, const float* x, const float* w, float* y) {
#if __CUDA_ARCH__ >= 800
  await_previous();
  constexpr int threads = pixels, row = slice + pad, filter_row = filters + pad;
  __shared__ __align__(32) float image[stages][pixels * row], filter[stages][slice * filter_row];
  const int tid = static_cast<int>(threadIdx.x), warp = tid / 32;
  const int in = d.in / d.groups, out = d.out / d.groups, group = static_cast<int>(blockIdx.z);
  const int depth = d.kh * d.kw * in, first = static_cast<int>(blockIdx.x) * pixels,
            first_filter = static_cast<int>(blockIdx.y) * filters;
  x += group * in;
  w += group * out + first_filter;
  y += group * out + first_filter;

  constexpr int loads = pixels * slice / 4 / threads,
                filter_loads = (slice * filters / 4 + threads - 1) / threads;
  Pixel mine[loads];
#pragma unroll
  for (int l = 0; l < loads; ++l) mine[l] = pixel(d, first + (tid + l * threads) / 4);
  const auto fetch = [&](int k0) {
    if (k0 < depth) {
      const int slot = k0 / slice % stages, tap = k0 / in, c = k0 % in + tid % 4 * 4;
#pragma unroll
      for (int l = 0; l < loads; ++l) {
        const int q = tid + l * threads;
        const long long at = find(d, mine[l], tap / d.kw, tap % d.kw);
        send(image[slot] + q / 4 * row + q % 4 * 4, at < 0 ? x : x + at + c, at >= 0);
      }
#pragma unroll
      for (int l = 0; l < filter_loads; ++l) {
        const int q = tid + l * threads, k = q / (filters / 4), o = q % (filters / 4) * 4;
        if (k < slice)
          send(filter[slot] + k * filter_row + o, w + static_cast<long long>(k0 + k) * d.out + o, true);
      }
    }
    __pipeline_commit();
  };

  wmma::fragment<wmma::accumulator, tile, tile, step, float> sum[2][filters / tile];
#pragma unroll
  for (int r = 0; r < 2; ++r) {
#pragma unroll
    for (int c = 0; c < filters / tile; ++c) wmma::fill_fragment(sum[r][c], 0.0f);
  }
#pragma unroll
  for (int s = 0; s < stages - 1; ++s) fetch(s * slice);
  for (int k0 = 0; k0 < depth; k0 += slice) {
    __pipeline_wait_prior(stages - 2);
    sync_block();
    fetch(k0 + (stages - 1) * slice);
    const int slot = k0 / slice % stages;
#pragma unroll
    for (int k = 0; k < slice; k += step) {
      wmma::fragment<wmma::matrix_a, tile, tile, step, wmma::precision::tf32, wmma::row_major> a[2],
          a_rest[2];
      wmma::fragment<wmma::matrix_b, tile, tile, step, wmma::precision::tf32, wmma::row_major> b, b_rest;
#pragma unroll
      for (int r = 0; r < 2; ++r) {
        wmma::load_matrix_sync(a[r], image[slot] + (warp * 32 + r * tile) * row + k, row);
        split_fragment<precision>(a[r], a_rest[r]);
      }
#pragma unroll
      for (int c = 0; c < filters / tile; ++c) {
        wmma::load_matrix_sync(b, filter[slot] + k * filter_row + c * tile, filter_row);
        split_fragment<precision>(b, b_rest);
#pragma unroll
        for (int r = 0; r < 2; ++r) {
          if constexpr (precision == Precision::float32) {
            wmma::mma_sync(sum[r][c], a_rest[r], b, sum[r][c]);
            wmma::mma_sync(sum[r][c], a[r], b_rest, sum[r][c]);
          }
          wmma::mma_sync(sum[r][c], a[r], b, sum[r][c]);
        }
      }
    }
  }
#pragma unroll
  for (int r = 0; r < 2; ++r) {
#pragma unroll
    for (int c = 0; c < filters / tile; ++c) {
      float* to = y + static_cast<long long>(first + warp * 32 + r * tile) * d.out + c * tile;
      wmma::store_matrix_sync(to, sum[r][c], static_cast<unsigned>(d.out), wmma::mem_row_major);
    }
  }
#endif
}

// A warp has 16 of the block's taps and channels, and all its filters.
template <int depths, int filters, Precision precision>
__global__ void __launch_bounds__(depths * 2)
    filters_kernel(const Conv2dDims d, int pixels_each, const float* x, const float* dy, float* partial) {
#if __CUDA_ARCH__ >= 800
  await_previous();
  constexpr int threads = depths * 2, row = depths + pad, slope_row = filters + pad;
  __shared__ __align__(32) float image[stages][slice * row], slope[stages][slice * slope_row];
  const int tid = static_cast<int>(threadIdx.x), warp = tid / 32;
  const int in = d.in / d.groups, out = d.out / d.groups, group = static_cast<int>(blockIdx.z) % d.groups,
            part = static_cast<int>(blockIdx.z) / d.groups;
  const int depth = d.kh * d.kw * in, first = static_cast<int>(blockIdx.x) * depths,
            first_filter = static_cast<int>(blockIdx.y) * filters;
  const int begin = part * pixels_each, end = min(begin + pixels_each, d.n * d.oh * d.ow);
  x += group * in;
  dy += group * out + first_filter;
  partial += static_cast<long long>(part) * depth * d.out + group * out + first_filter;

  constexpr int across = depths / 4, loads = slice * across / threads,
                slope_loads = (slice * filters / 4 + threads - 1) / threads;
  const int k = first + tid % across * 4, tap = k / in, c = k % in, a = tap / d.kw, b = tap % d.kw;
  const auto fetch = [&](int m0) {
    if (m0 < end) {
      const int slot = (m0 - begin) / slice % stages;
#pragma unroll
      for (int l = 0; l < loads; ++l) {
        const int p = (tid + l * threads) / across;
        const bool inside = m0 + p < end && k < depth;
        const long long at = inside ? find(d, pixel(d, m0 + p), a, b) : -1;
        send(image[slot] + p * row + tid % across * 4, at < 0 ? x : x + at + c, at >= 0);
      }
#pragma unroll
      for (int l = 0; l < slope_loads; ++l) {
        const int q = tid + l * threads, p = q / (filters / 4), o = q % (filters / 4) * 4;
        if (p >= slice) continue;
        const bool inside = m0 + p < end;
        send(slope[slot] + p * slope_row + o, inside ? dy + static_cast<long long>(m0 + p) * d.out + o : dy,
             inside);
      }
    }
    __pipeline_commit();
  };

  wmma::fragment<wmma::accumulator, tile, tile, step, float> sum[filters / tile];
#pragma unroll
  for (int f = 0; f < filters / tile; ++f) wmma::fill_fragment(sum[f], 0.0f);
#pragma unroll
  for (int s = 0; s < stages - 1; ++s) fetch(begin + s * slice);
  for (int m0 = begin; m0 < end; m0 += slice) {
    __pipeline_wait_prior(stages - 2);
    sync_block();
    fetch(m0 + (stages - 1) * slice);
    const int slot = (m0 - begin) / slice % stages;
#pragma unroll
    for (int p = 0; p < slice; p += step) {
      wmma::fragment<wmma::matrix_a, tile, tile, step, wmma::precision::tf32, wmma::col_major> left,
          left_rest;
      wmma::fragment<wmma::matrix_b, tile, tile, step, wmma::precision::tf32, wmma::row_major> right,
          right_rest;
      wmma::load_matrix_sync(left, image[slot] + p * row + warp * tile, row);
      split_fragment<precision>(left, left_rest);
#pragma unroll
      for (int f = 0; f < filters / tile; ++f) {
        wmma::load_matrix_sync(right, slope[slot] + p * slope_row + f * tile, slope_row);
        split_fragment<precision>(right, right_rest);
        if constexpr (precision == Precision::float32) {
          wmma::mma_sync(sum[f], left_rest, right, sum[f]);
          wmma::mma_sync(sum[f], left, right_rest, sum[f]);
        }
        wmma::mma_sync(sum[f], left, right, sum[f]);
      }
    }
  }
  const int k_of_warp = first + warp * tile;
  if (k_of_warp >= depth) return;  // depth is a multiple of 16
#pragma unroll
  for (int f = 0; f < filters / tile; ++f) {
    float* to = partial + static_cast<long long>(k_of_warp) * d.out + f * tile;
    wmma::store_matrix_sync(to, sum[f], static_cast<unsigned>(d.out), wmma::mem_row_major);
  }
#endif
}

template <int pixels, int filters>
void forward(const Conv2dDims& d, const float* x, const float* w, float* y) {
  const dim3 grid(static_cast<unsigned>(d.n * d.oh * d.ow / pixels),
                  static_cast<unsigned>(d.out / d.groups / filters), static_cast<unsigned>(d.groups));
  by_precision([&](auto precision) {
    launch("conv2d", grid, pixels, 0, forward_kernel<pixels, filters, precision()>, d, x, w, y);
  });
}

template <int depths, int filters>
void filters_grad(const Conv2dDims& d, const float* x, const float* dy, float* partial) {
  const Parts parts = parts_of(d);
  const dim3 grid(blocks(static_cast<std::size_t>(d.kh * d.kw * (d.in / d.groups)), depths),
                  static_cast<unsigned>(d.out / d.groups / filters),
                  static_cast<unsigned>(parts.count * d.groups));
  by_precision([&](auto precision) {
    launch("conv2d_filter_grad", grid, depths * 2, 0, filters_kernel<depths, filters, precision()>, d,
           parts.pixels_each, x, dy, partial);
  });
}

bool is_aligned32(const float* p) { return reinterpret_cast<std::size_t>(p) % 32 == 0; }

}  // namespace

bool has_tensor_cores() {
  static const bool once = [] {
    int device = 0, major = 0;
    return cudaGetDevice(&device) == cudaSuccess &&
           cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device) == cudaSuccess &&
           major >= 8;
  }();
  return once;
}

bool tensor_supports(const Conv2dDims& d, const float* x, const float* w, const float* y) {
  return has_tensor_cores() && d.in / d.groups % 16 == 0 && d.out / d.groups % 16 == 0 &&
         d.n * d.oh * d.ow % 64 == 0 && is_aligned(x) && is_aligned(w) && is_aligned32(y);
}

void conv2d_tensor(const Conv2dDims& d, const float* x, const float* w, float* y) {
  const int out = d.out / d.groups, pixels = d.n * d.oh * d.ow;
  const auto fits = [&](int tile_pixels, int tile_filters) {
    return out % tile_filters == 0 && pixels % tile_pixels == 0 &&
           pixels / tile_pixels * (out / tile_filters) * d.groups >= 2 * multiprocessors();
  };
  if (fits(128, 64)) return forward<128, 64>(d, x, w, y);
  if (fits(128, 32)) return forward<128, 32>(d, x, w, y);
  if (fits(128, 16)) return forward<128, 16>(d, x, w, y);
  if (out % 32 == 0) return forward<64, 32>(d, x, w, y);
  forward<64, 16>(d, x, w, y);
}

void filters_tensor(const Conv2dDims& d, const float* x, const float* dy, float* partial) {
  const int out = d.out / d.groups;
  if (out % 64 == 0) return filters_grad<64, 64>(d, x, dy, partial);
  if (out % 32 == 0) return filters_grad<64, 32>(d, x, dy, partial);
  filters_grad<64, 16>(d, x, dy, partial);
}

}  // namespace autodiff::kernels::cuda
