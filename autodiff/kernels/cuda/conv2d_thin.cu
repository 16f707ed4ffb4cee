// Convolutions of images of few channels, up to 64 products for each element of the result: too few for
// products of matrices. The filters lie in shared memory; a thread has one pixel and 16 filters, or one tap
// and channel of a filter.
#include "autodiff/kernels/cuda/conv2d_sums_inl.h"

namespace autodiff::kernels::cuda {
namespace {

constexpr int log_threads = 7, threads = 1 << log_threads, log_filters = 4, filters = 1 << log_filters,
              most_depth = 64;

__global__ void __launch_bounds__(threads)
    forward_kernel(const Conv2dDims d, bool aligned, const float* x, const float* w, float* y) {
  await_previous();
  __shared__ float filter[most_depth * filters];
  const int depth = d.kh * d.kw * d.in, first = static_cast<int>(blockIdx.y) * filters;
  for (int q = static_cast<int>(threadIdx.x); q < depth * filters; q += threads) {
    filter[q] = first + q % filters < d.out ? w[q / filters * d.out + first + q % filters] : 0.0f;
  }
  sync_block();
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

// Windows of 3 x 3 with stride 1: a block has 4 rows of 32 pixels and what lies under their windows in shared
// memory, a thread 4 neighbouring pixels and 4 filters. With moments nothing else is done with the result. (8
// blocks at a time, which is no more than there would be anyway: unless told so, nvcc 13 aims at more for one
// channel with moments, and spills registers.)
constexpr int tile_rows = 4, tile_columns = 32;
template <int channels, class Ending>
__global__ void __launch_bounds__(threads, 8)
    forward3_kernel(const Conv2dDims d, int tiles_across, int tiles_down, const float* x, const float* w,
                    const Ending e) {
  await_previous();
  constexpr int depth = 9 * channels, lines = tile_rows + 2;
  constexpr int read = (6 * channels + 3) / 4 * 4;  // floats of a line that a thread reads, and some more
  constexpr int width = (tile_columns - 4) * channels + read;
  __shared__ __align__(16) float filter[depth * filters], image[lines * width];
  const int tid = static_cast<int>(threadIdx.x), warp = tid / 32, lane = tid % 32;
  const int tile = static_cast<int>(blockIdx.x), tile_column = tile % tiles_across * tile_columns,
            tile_row = tile / tiles_across % tiles_down * tile_rows, n = tile / tiles_across / tiles_down,
            first = static_cast<int>(blockIdx.y) * filters;
  // All is on its way before the first is stored.
  constexpr int turns = (lines + 3) / 4, parts = (width + 31) / 32,
                filter_parts = (depth * filters + threads - 1) / threads;
  float image_value[turns][parts], filter_value[filter_parts];
#pragma unroll
  for (int l = 0; l < turns; ++l) {
    const int row = tile_row + warp + l * 4 - d.top;
    const bool has_row = row >= 0 && row < d.h;
    const float* from = x + (static_cast<long long>(n) * d.h + (has_row ? row : 0)) * d.w * channels;
#pragma unroll
    for (int k = 0; k < parts; ++k) {
      const int at = (tile_column - d.left) * channels + lane + k * 32;
      const bool inside = has_row && at >= 0 && at < d.w * channels;
      const float value = from[inside ? at : 0];
      image_value[l][k] = inside ? value : 0;
    }
  }
#pragma unroll
  for (int l = 0; l < filter_parts; ++l) {
    const int q = tid + l * threads, o = first + q % filters;
    const bool inside = q < depth * filters && o < d.out;
    const float value = w[inside ? q / filters * d.out + o : 0];
    filter_value[l] = inside ? value : 0;
  }
#pragma unroll
  for (int l = 0; l < turns; ++l) {
#pragma unroll
    for (int k = 0; k < parts; ++k) {
      const int line = warp + l * 4, q = lane + k * 32;
      if (line < lines && q < width) image[line * width + q] = image_value[l][k];
    }
  }
#pragma unroll
  for (int l = 0; l < filter_parts; ++l) {
    if (tid + l * threads < depth * filters) filter[tid + l * threads] = filter_value[l];
  }
  sync_block();

  const int group = lane / 4, o = tid % 4 * 4;
  float sum[4][4] = {};
#pragma unroll
  for (int a = 0; a < 3; ++a) {
    float v[read];
    const auto* from = reinterpret_cast<const float4*>(image + (warp + a) * width + group * 4 * channels);
#pragma unroll
    for (int k = 0; k < read / 4; ++k) {
      const float4 four = from[k];
      v[4 * k] = four.x, v[4 * k + 1] = four.y, v[4 * k + 2] = four.z, v[4 * k + 3] = four.w;
    }
#pragma unroll
    for (int k = 0; k < 3 * channels; ++k) {
      const float4 f = *reinterpret_cast<const float4*>(filter + (a * 3 * channels + k) * filters + o);
#pragma unroll
      for (int p = 0; p < 4; ++p) {
        const float value = v[p * channels + k];
        sum[p][0] = fmaf(value, f.x, sum[p][0]);
        sum[p][1] = fmaf(value, f.y, sum[p][1]);
        sum[p][2] = fmaf(value, f.z, sum[p][2]);
        sum[p][3] = fmaf(value, f.w, sum[p][3]);
      }
    }
  }
  const int row = tile_row + warp, column = tile_column + group * 4;
  const bool inside = row < d.oh && first + o < d.out;
  constexpr bool moments = std::is_same_v<Ending, MomentsEnding>;
  if (!moments && !inside) return;
  const long long to = ((static_cast<long long>(n) * d.oh + row) * d.ow + column) * d.out + first + o;
  if constexpr (moments) {
    const EarlyList then(e.join.list);
    let_next_begin();
    const typename Ending::Thread mine(e, first + o);
    FilterSums all;
#pragma unroll
    for (int p = 0; p < 4; ++p) {
      if (!inside || column + p >= d.ow) continue;
      mine.write(to + p * d.out, {sum[p][0], sum[p][1], sum[p][2], sum[p][3]}, {}, all);
    }
    auto* room = reinterpret_cast<double2*>(block_memory());
    const auto write = [&](int filter, const double2& sums) { e.finish(filter, sums); };
    if (join_sums(e.join, all, room, first, warp, log_threads - 5, write)) run_list(then, block_memory());
  } else {
    const Finish finish(e, first + o);
    float4 other[4];
#pragma unroll
    for (int p = 0; p < 4; ++p) {
      if (column + p < d.ow) other[p] = finish.others(to + p * d.out);
    }
#pragma unroll
    for (int p = 0; p < 4; ++p) {
      if (column + p < d.ow)
        finish.write(to + p * d.out, {sum[p][0], sum[p][1], sum[p][2], sum[p][3]}, other[p]);
    }
  }
}

template <int channels>
Conv2dLaunch forward3(const Conv2dDims& d, const float* x, const float* w) {
  const int across = (d.ow + tile_columns - 1) / tile_columns, down = (d.oh + tile_rows - 1) / tile_rows;
  const dim3 grid(static_cast<unsigned>(across * down * d.n),
                  blocks(static_cast<std::size_t>(d.out), filters));
  Conv2dLaunch out;
  out.run = [=](cudaStream_t to, const Epilogue& e) {
    launch_on(to, "conv2d", grid, threads, 0, forward3_kernel<channels, Epilogue>, d, across, down, x, w, e);
  };
  const auto q = block_sums(d, grid, log_threads, log_filters);
  if (!q) return out;
  const std::size_t bytes = std::max(sums_bytes(*q, threads), list_floats * sizeof(float));
  if (bytes > (std::size_t{40} << 10)) return out;  // what every device gives, less what is not dynamic
  out.run_with_moments = [=](cudaStream_t to, float* y, float* m, const SmallList* list) {
    launch_on(to, "conv2d", grid, threads, bytes, forward3_kernel<channels, MomentsEnding>, d, across, down,
              x, w, MomentsEnding{q->before(list), factor_of(d), y, m});
  };
  return out;
}

// Part blockIdx.x of the pixels, 32 at a time: the pixels' windows and slopes in shared memory, a thread for
// each product of depth and filters.
constexpr int some = 32;
__global__ void filters_kernel(const Conv2dDims d, int pixels_each, const float* x, const float* dy,
                               float* partial) {
  await_previous();
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
    sync_block();
    if (k < depth) {
#pragma unroll 8
      for (int p = 0; p < some; ++p) sum = fmaf(window[p][k], slope[p][o], sum);
    }
    sync_block();
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

Conv2dLaunch conv2d_thin3(const Conv2dDims& d, const float* x, const float* w) {
  if (!thin_supports(d) || d.kh != 3 || d.kw != 3 || d.stride != 1 || d.dilation != 1 || d.up != 1 ||
      d.out % 4 != 0 || d.x_size() == 0) {
    return {};
  }
  return d.in == 1 ? forward3<1>(d, x, w) : d.in == 3 ? forward3<3>(d, x, w) : Conv2dLaunch{};
}

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
