// Gradients of filters by tiles (conv2d_tile_inl.h), and the choice between them and those of the other
// files.
#include <algorithm>

#include "autodiff/kernels/cuda/conv2d_tile_inl.h"

namespace autodiff::kernels::cuda {
namespace {

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

void add_conv2d_filters(Backend& row) {
  row.conv2d_filter_grad = {conv2d_filter_grad, nullptr, filters_scratch};
}

}  // namespace autodiff::kernels::cuda
