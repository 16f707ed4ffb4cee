// Convolutions by tiles (conv2d_tile_inl.h), and the choice between them and those of the other files.
#include <utility>

#include "autodiff/kernels/cuda/conv2d_tile_inl.h"
#include "autodiff/kernels/cuda/small.h"

namespace autodiff::kernels::cuda {
namespace {

constexpr int padding = 4;  // of rows in shared memory

// `fours`: see by_fours().
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

}  // namespace

void add_conv2d(Backend& row) { row.conv2d = {conv2d}; }

}  // namespace autodiff::kernels::cuda
