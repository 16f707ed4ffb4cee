// Convolutions as matrix products whose left factor is never formed (implicit GEMM): row m is a pixel of the
// result, column k = (a, b, c) a tap and a channel of the image under it.
//
//     forward:   y [m, o]  = sum over k of x[m, k] w[k, o]       of dy, spread out, it is the data gradient
//     filters:   dw [k, o] = sum over m of x[m, k] dy[m, o]      in parts, added in their order
//
// Somewhat long: the kernels of both, and the choice between them and those of the other files.
//
// A block forms a tile of the result, a thread rows x columns of it in registers; both factors pass through
// shared memory in slices, the next one on its way while this one is multiplied.
#include <utility>

#include "autodiff/kernels/cuda/conv2d_inl.h"
#include "autodiff/kernels/cuda/small.h"

namespace autodiff::kernels::cuda {
namespace {

__device__ float4 load4(const float* p) { return *reinterpret_cast<const float4*>(p); }
constexpr int padding = 4;  // of rows in shared memory

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

// `fours`: channels come in multiples of `slice` and filters in multiples of 4, so that all is read four by
// four.
template <int pixels, int filters, int rows, int columns, bool fours>
__global__ void __launch_bounds__((pixels / rows) * (filters / columns))
    forward_kernel(const Conv2dDims d, const float* x, const float* w, float* y) {
  await_previous();
  constexpr int across = filters / columns, threads = pixels / rows * across;
  constexpr int row = pixels + padding;
  __shared__ __align__(16) float image[2][slice * row], filter[2][slice * filters];
  const int tid = static_cast<int>(threadIdx.x), tx = tid % across, ty = tid / across;
  const int in = d.in / d.groups, out = d.out / d.groups, group = static_cast<int>(blockIdx.z);
  const int depth = d.kh * d.kw * in, first = static_cast<int>(blockIdx.x) * pixels,
            first_filter = static_cast<int>(blockIdx.y) * filters;
  x += group * in;
  w += group * out;
  y += group * out;

  constexpr int loads = fours ? pixels * slice / 4 / threads : pixels * slice / threads;
  constexpr int filter_loads =
      fours ? (slice * filters / 4 + threads - 1) / threads : (slice * filters + threads - 1) / threads;
  Pixel mine[fours ? loads : 1];
  if constexpr (fours) {
#pragma unroll
    for (int l = 0; l < loads; ++l) mine[l] = pixel(d, first + (tid + l * threads) / 4);
  }
  float4 image4[fours ? loads : 1], filter4[fours ? filter_loads : 1];
  float image1[fours ? 1 : loads], filter1[fours ? 1 : filter_loads];

  const auto fetch = [&](int k0) {
    if constexpr (fours) {
      const int tap = k0 / in, c = k0 % in + tid % 4 * 4;
#pragma unroll
      for (int l = 0; l < loads; ++l) {
        const long long at = find(d, mine[l], tap / d.kw, tap % d.kw);
        image4[l] = at < 0 ? float4{} : load4(x + at + c);
      }
#pragma unroll
      for (int l = 0; l < filter_loads; ++l) {
        const int q = tid + l * threads, k = q / (filters / 4), o = first_filter + q % (filters / 4) * 4;
        const bool inside = k < slice && o < out;
        filter4[l] = inside ? load4(w + static_cast<long long>(k0 + k) * d.out + o) : float4{};
      }
    } else {
#pragma unroll
      for (int l = 0; l < loads; ++l) {
        const int q = tid + l * threads, k = k0 + q % slice;
        image1[l] = 0;
        if (k >= depth) continue;
        const int c = k % in, tap = k / in;
        const long long at = find(d, pixel(d, first + q / slice), tap / d.kw, tap % d.kw);
        if (at >= 0) image1[l] = x[at + c];
      }
#pragma unroll
      for (int l = 0; l < filter_loads; ++l) {
        const int q = tid + l * threads, k = q / filters, o = first_filter + q % filters;
        const bool inside = k < slice && k0 + k < depth && o < out;
        filter1[l] = inside ? w[static_cast<long long>(k0 + k) * d.out + o] : 0.0f;
      }
    }
  };
  const auto store = [&](int turn) {
    if constexpr (fours) {
#pragma unroll
      for (int l = 0; l < loads; ++l) {
        const int q = tid + l * threads;
        float* to = image[turn] + q % 4 * 4 * row + q / 4;
        to[0] = image4[l].x, to[row] = image4[l].y, to[2 * row] = image4[l].z, to[3 * row] = image4[l].w;
      }
#pragma unroll
      for (int l = 0; l < filter_loads; ++l) {
        const int q = tid + l * threads;
        if (q < slice * filters / 4) *reinterpret_cast<float4*>(filter[turn] + q * 4) = filter4[l];
      }
    } else {
#pragma unroll
      for (int l = 0; l < loads; ++l) {
        const int q = tid + l * threads;
        image[turn][q % slice * row + q / slice] = image1[l];
      }
#pragma unroll
      for (int l = 0; l < filter_loads; ++l) {
        const int q = tid + l * threads;
        if (q < slice * filters) filter[turn][q] = filter1[l];
      }
    }
  };

  Tile<rows, columns> tile;
  constexpr int row_half = pixels * 4 / rows, column_half = filters * 4 / columns;
  fetch(0);
  store(0);
  sync_block();
  for (int k0 = 0, turn = 0; k0 < depth; k0 += slice, turn ^= 1) {
    const bool more = k0 + slice < depth;
    if (more) fetch(k0 + slice);
#pragma unroll
    for (int k = 0; k < slice; ++k) {
      tile.add(image[turn] + k * row + ty * 4, filter[turn] + k * filters + tx * 4, row_half, column_half);
    }
    if (more) store(turn ^ 1);
    sync_block();
  }
#pragma unroll
  for (int r = 0; r < rows; ++r) {
    const int m = first + ty * 4 + r % 4 + r / 4 * row_half;
    if (m >= d.n * d.oh * d.ow) continue;
    float* to = y + static_cast<long long>(m) * d.out;
#pragma unroll
    for (int c = 0; c < columns; c += 4) {
      const int o = first_filter + tx * 4 + c / 4 * column_half;
      if (fours && o < out) {
        *reinterpret_cast<float4*>(to + o) = {tile.sum[r][c], tile.sum[r][c + 1], tile.sum[r][c + 2],
                                              tile.sum[r][c + 3]};
      } else {
#pragma unroll
        for (int e = 0; e < 4; ++e) {
          if (o + e < out) to[o + e] = tile.sum[r][c + e];
        }
      }
    }
  }
}

// Part blockIdx.z / groups of the pixels, `pixels_each` of them: partial [part, depth, out].
template <int depths, int filters, int rows, int columns, bool fours>
__global__ void __launch_bounds__((depths / rows) * (filters / columns))
    filters_kernel(const Conv2dDims d, int pixels_each, const float* x, const float* dy, float* partial) {
  await_previous();
  constexpr int across = filters / columns, threads = depths / rows * across;
  __shared__ __align__(16) float image[2][slice * depths], slope[2][slice * filters];
  const int tid = static_cast<int>(threadIdx.x), tx = tid % across, ty = tid / across;
  const int in = d.in / d.groups, out = d.out / d.groups, group = static_cast<int>(blockIdx.z) % d.groups,
            part = static_cast<int>(blockIdx.z) / d.groups;
  const int depth = d.kh * d.kw * in, first = static_cast<int>(blockIdx.x) * depths,
            first_filter = static_cast<int>(blockIdx.y) * filters;
  const int begin = part * pixels_each, end = min(begin + pixels_each, d.n * d.oh * d.ow);
  x += group * in;
  dy += group * out;
  partial += (static_cast<long long>(part) * depth) * d.out + group * out;

  constexpr int step = fours ? 4 : 1;
  constexpr int loads = (depths * slice / step + threads - 1) / threads,
                slope_loads = (slice * filters / step + threads - 1) / threads;
  float image_value[loads][step], slope_value[slope_loads][step];

  const auto fetch = [&](int m0) {
#pragma unroll
    for (int l = 0; l < loads; ++l) {
      const int q = tid + l * threads, p = q / (depths / step), k = first + q % (depths / step) * step;
      long long at = -1;
      if (p < slice && m0 + p < end && k < depth) {
        const int tap = k / in;
        at = find(d, pixel(d, m0 + p), tap / d.kw, tap % d.kw);
        if (at >= 0) at += k % in;
      }
      if constexpr (fours) {
        const float4 v = at < 0 ? float4{} : load4(x + at);
        image_value[l][0] = v.x, image_value[l][1] = v.y, image_value[l][2] = v.z, image_value[l][3] = v.w;
      } else {
        image_value[l][0] = at < 0 ? 0.0f : x[at];
      }
    }
#pragma unroll
    for (int l = 0; l < slope_loads; ++l) {
      const int q = tid + l * threads, p = q / (filters / step),
                o = first_filter + q % (filters / step) * step;
      const bool inside = p < slice && m0 + p < end && o < out;
      const float* from = dy + static_cast<long long>(m0 + p) * d.out + o;
      if constexpr (fours) {
        const float4 v = inside ? load4(from) : float4{};
        slope_value[l][0] = v.x, slope_value[l][1] = v.y, slope_value[l][2] = v.z, slope_value[l][3] = v.w;
      } else {
        slope_value[l][0] = inside ? *from : 0.0f;
      }
    }
  };
  const auto store = [&](int turn) {
#pragma unroll
    for (int l = 0; l < loads; ++l) {
      const int q = (tid + l * threads) * step;
      if (q >= depths * slice) continue;
#pragma unroll
      for (int e = 0; e < step; ++e) image[turn][q + e] = image_value[l][e];
    }
#pragma unroll
    for (int l = 0; l < slope_loads; ++l) {
      const int q = (tid + l * threads) * step;
      if (q >= filters * slice) continue;
#pragma unroll
      for (int e = 0; e < step; ++e) slope[turn][q + e] = slope_value[l][e];
    }
  };

  Tile<rows, columns> tile;
  constexpr int row_half = depths * 4 / rows, column_half = filters * 4 / columns;
  fetch(begin);
  store(0);
  sync_block();
  for (int m0 = begin, turn = 0; m0 < end; m0 += slice, turn ^= 1) {
    const bool more = m0 + slice < end;
    if (more) fetch(m0 + slice);
#pragma unroll
    for (int p = 0; p < slice; ++p) {
      tile.add(image[turn] + p * depths + ty * 4, slope[turn] + p * filters + tx * 4, row_half, column_half);
    }
    if (more) store(turn ^ 1);
    sync_block();
  }
#pragma unroll
  for (int r = 0; r < rows; ++r) {
    const int k = first + ty * 4 + r % 4 + r / 4 * row_half;
    if (k >= depth) continue;
#pragma unroll
    for (int c = 0; c < columns; ++c) {
      const int o = first_filter + tx * 4 + c % 4 + c / 4 * column_half;
      if (o < out) partial[static_cast<long long>(k) * d.out + o] = tile.sum[r][c];
    }
  }
}

// dw = the sum of the parts: 32 elements a block, 8 threads for each, which add every eighth part.
constexpr int join_elements = 32, join_turns = 8;
__global__ void __launch_bounds__(join_elements* join_turns)
    join_filters_kernel(std::size_t n, int parts, const float* partial, float* dw) {
  await_previous();
  __shared__ double sums[join_turns][join_elements];
  const std::size_t i = static_cast<std::size_t>(blockIdx.x) * join_elements + threadIdx.x;
  double sum = 0;
  if (i < n) {
#pragma unroll 8
    for (int k = static_cast<int>(threadIdx.y); k < parts; k += join_turns) {
      sum += static_cast<double>(partial[static_cast<std::size_t>(k) * n + i]);
    }
  }
  sums[threadIdx.y][threadIdx.x] = sum;
  sync_block();
  if (threadIdx.y > 0 || i >= n) return;
  for (int k = 1; k < join_turns; ++k) sum += sums[k][threadIdx.x];
  dw[i] = static_cast<float>(sum);
}

bool by_fours(const Conv2dDims& d) { return d.in / d.groups % slice == 0 && d.out / d.groups % 4 == 0; }

template <int pixels, int filters, int rows, int columns>
void forward(const Conv2dDims& d, bool fours, const float* x, const float* w, float* y) {
  const auto count =
      static_cast<std::size_t>(d.n) * static_cast<std::size_t>(d.oh) * static_cast<std::size_t>(d.ow);
  const dim3 grid(blocks(count, pixels), blocks(static_cast<std::size_t>(d.out / d.groups), filters),
                  static_cast<unsigned>(d.groups));
  constexpr unsigned threads = (pixels / rows) * (filters / columns);
  if (fours) {
    launch("conv2d", grid, threads, 0, forward_kernel<pixels, filters, rows, columns, true>, d, x, w, y);
  } else {
    launch("conv2d", grid, threads, 0, forward_kernel<pixels, filters, rows, columns, false>, d, x, w, y);
  }
}

void conv2d(const Conv2dDims& d, const float* x, const float* w, Scratch, float* y) {
  if (d.y_size() == 0) return;
  Conv2dLaunch later;
  bool does_chain = false;
  if (forward_supports(d) && is_aligned(x) && is_aligned(w) && is_aligned(y)) {
    const auto channels = static_cast<std::size_t>(d.in);
    const Prologue* first =
        prologue_for(x, d.x_size() / channels, channels, {w, d.w_size()}, {y, d.y_size()});
    if (first) later = conv2d_forward(d, x, w, *first);
    does_chain = !!later;
    if (!later) later = conv2d_forward(d, x, w, {});
  }
  if (!later && is_aligned(y)) later = conv2d_thin3(d, x, w);
  if (later) {
    const auto filters = static_cast<std::size_t>(d.out);
    return add_conv2d({.y = y,
                       .rows = d.y_size() / filters,
                       .columns = filters,
                       .reads = {{x, d.x_size()}, {w, d.w_size()}},
                       .launch = std::move(later)},
                      does_chain);
  }
  if (tensor_supports(d, x, w, y)) return conv2d_tensor(d, x, w, y);
  if (thin_supports(d)) return conv2d_thin(d, x, w, y);
  const bool fours = by_fours(d) && is_aligned(x) && is_aligned(w) && is_aligned(y);
  const int out = d.out / d.groups, pixels = d.n * d.oh * d.ow;
  // Larger tiles read less, smaller ones keep more multiprocessors busy.
  const auto enough = [&](int tile_pixels, int tile_filters) {
    return pixels / tile_pixels * ((out + tile_filters - 1) / tile_filters) >= 2 * multiprocessors();
  };
  if (out <= 16) {
    enough(256, 16) ? forward<256, 16, 8, 4>(d, fours, x, w, y) : forward<64, 16, 4, 4>(d, fours, x, w, y);
  } else if (out <= 32) {
    enough(128, 32) ? forward<128, 32, 8, 4>(d, fours, x, w, y) : forward<64, 32, 4, 4>(d, fours, x, w, y);
  } else {
    enough(128, 64) ? forward<128, 64, 8, 8>(d, fours, x, w, y) : forward<32, 64, 4, 4>(d, fours, x, w, y);
  }
}

std::size_t filters_scratch(const Conv2dDims& d) {
  if (d.y_size() == 0) return 0;
  int parts = parts_of(d).count;
  if (thin_supports(d)) parts = std::max(parts, thin_parts(d));
  std::size_t size = static_cast<std::size_t>(parts) * d.w_size();  // also where memory is not aligned
  if (window_filters_supports(d)) size = std::max(size, window_filters_scratch(d));
  if (thin_filters_supports(d)) size = std::max(size, thin_filters_scratch(d));
  return size * sizeof(float);
}

template <int depths, int filters, int rows, int columns>
void filters_grad(const Conv2dDims& d, bool fours, const float* x, const float* dy, float* partial) {
  const Parts parts = parts_of(d);
  const dim3 grid(blocks(static_cast<std::size_t>(d.kh * d.kw * (d.in / d.groups)), depths),
                  blocks(static_cast<std::size_t>(d.out / d.groups), filters),
                  static_cast<unsigned>(parts.count * d.groups));
  constexpr unsigned threads = (depths / rows) * (filters / columns);
  if (fours) {
    launch("conv2d_filter_grad", grid, threads, 0, filters_kernel<depths, filters, rows, columns, true>, d,
           parts.pixels_each, x, dy, partial);
  } else {
    launch("conv2d_filter_grad", grid, threads, 0, filters_kernel<depths, filters, rows, columns, false>, d,
           parts.pixels_each, x, dy, partial);
  }
}

void conv2d_filter_grad(const Conv2dDims& d, const float* x, const float* dy, Scratch scratch, float* dw) {
  if (d.w_size() == 0) return;
  if (d.y_size() == 0)
    return check(cudaMemsetAsync(dw, 0, d.w_size() * sizeof(float), stream()), "conv2d_filter_grad");
  const bool fours = by_fours(d) && is_aligned(x) && is_aligned(dy);
  const int out = d.out / d.groups;
  float* partial = scratch.data;
  int parts = parts_of(d).count;
  const bool aligned = is_aligned(x) && is_aligned(dy) && is_aligned(partial);
  if (window_filters_supports(d) && aligned) return filters_window(d, x, dy, partial, dw);
  if (thin_filters_supports(d) && aligned) return filters_thin_tensor(d, x, dy, partial, dw);
  if (thin_supports(d)) {
    parts = thin_parts(d);
    filters_thin(d, x, dy, partial);
  } else if (tensor_supports(d, x, dy, partial)) {
    filters_tensor(d, x, dy, partial);
  } else if (out <= 16) {
    filters_grad<64, 16, 4, 4>(d, fours, x, dy, partial);
  } else if (out <= 32) {
    filters_grad<64, 32, 4, 4>(d, fours, x, dy, partial);
  } else {
    filters_grad<64, 64, 8, 4>(d, fours, x, dy, partial);
  }
  launch("conv2d_filter_grad", blocks(d.w_size(), join_elements), dim3(join_elements, join_turns), 0,
         join_filters_kernel, d.w_size(), parts, partial, dw);
}

}  // namespace

void add_conv2d(Backend& row) {
  row.conv2d = {conv2d};
  row.conv2d_filter_grad = {conv2d_filter_grad, nullptr, filters_scratch};
}

}  // namespace autodiff::kernels::cuda
