// Filter gradients of images of few channels by tensor cores: taps and channels together are the rows of one
// product, up to 64 of them, and 16 filters its columns.
#include "autodiff/kernels/cuda/conv2d_filters_inl.h"
#include "autodiff/kernels/cuda/conv2d_inl.h"

namespace autodiff::kernels::cuda {
namespace {

// Before compute capability 8.0 the kernels are empty, and never called.
#pragma nv_diag_suppress 177

constexpr int filters = 16, depth_tile = 16, most_depth = 64;
constexpr int least_floats = 24 << 10;  // that every device has for a block

// What a warp needs for a row of the result: kh rows of x, then eight pixels of dy.
__host__ __device__ int row_floats_of(const Conv2dDims& d) {
  return (((strip - 1) * d.stride + (d.kw - 1) * d.dilation + 1) * d.in + 3) / 4 * 4;
}
__host__ __device__ int step_floats_of(const Conv2dDims& d) {
  return d.kh * row_floats_of(d) + strip * pixel_width;
}

// `tiles` times 16 taps and channels.
template <int tiles, Precision precision>
__global__ void __launch_bounds__(filter_threads, 1)
    filters_kernel(const Conv2dDims d, const FilterWork work, const float* __restrict__ x,
                   const float* __restrict__ dy, float4* partial, unsigned* counters, float* dw) {
#if __CUDA_ARCH__ >= 800
  await_previous();
  constexpr int rows = tiles * 2;  // of the product, that a lane has: g, g + 8, ...
  const int tid = static_cast<int>(threadIdx.x), lane = tid % 32, g = lane / 4, t = lane % 4;
  const int depth = d.kh * d.kw * d.in, first_out = static_cast<int>(blockIdx.y) * filters;
  const int row_floats = row_floats_of(d), step_floats = step_floats_of(d), slopes_at = d.kh * row_floats;
  const int at_once = work.rows_at_once, group_shift = at_once > copy_groups ? 1 : 0,
            buffer_floats = at_once * step_floats;
  float* memory = block_memory() + tid / 32 * 2 * buffer_floats;

  Walk walk(d, work, static_cast<int>(blockIdx.x) * filter_warps + tid / 32);
  const int row_size = d.w * d.in;
  const auto load = [&](int buffer) {
    const int count = walk.count(d, at_once), first_float = (walk.j * d.stride - d.left) * d.in + lane;
    int row = walk.row * d.stride - d.top, i = 0;
    const float* from = x + (static_cast<long long>(walk.n) * d.h + row) * row_size + first_float;
    const float* slope_from =
        dy + ((static_cast<long long>(walk.n) * d.oh + walk.row) * d.ow + walk.j + lane / 4) * d.out +
        first_out + lane % 4 * 4;
    walk.go_on(d, count);
    float* to = memory + buffer * buffer_floats;
#pragma unroll 1
    for (int group = 0; group < copy_groups; ++group) {
      const int end = min(count, (group + 1) << group_shift);
#pragma unroll 1
      for (; i < end; ++i) {
        // Floats of a row of x, of which pixels follow each other, one by one.
        for (int q = lane; q < row_floats; q += 32) {
          const int at = first_float - lane + q;
          const bool has_columns = at >= 0 && at < row_size;
#pragma unroll 3
          for (int a = 0; a < d.kh; ++a) {
            const int r = row + a * d.dilation;
            const bool inside = has_columns && r >= 0 && r < d.h;
            __pipeline_memcpy_async(to + a * row_floats + q, from + (q - lane) + a * d.dilation * row_size,
                                    sizeof(float), inside ? 0 : sizeof(float));
          }
        }
        send(to + slopes_at + lane / 4 * pixel_width + lane % 4 * 4, slope_from, true);
        to += step_floats;
        row += d.stride;
        from += d.stride * row_size;
        slope_from += d.ow * d.out;
      }
      __pipeline_commit();
    }
    return count;
  };

  int offset[rows];  // from the first pixel's window; rows behind the last are formed of anything, and not
                     // kept
#pragma unroll
  for (int r = 0; r < rows; ++r) {
    const int k = min(r * 8 + g, depth - 1), tap = k / d.in;
    offset[r] = tap / d.kw * row_floats + (tap % d.kw * d.dilation + 2 * t * d.stride) * d.in + k % d.in;
  }
  const int pixel_step = d.stride * d.in;
  float sum[tiles * 2][4] = {};
  int count = load(0), next_count = load(1);
  for (int buffer = 0; count > 0; buffer ^= 1) {
    const float* from = memory + buffer * buffer_floats;
    float next[rows][2];
    float2 next_slopes[2];
    const auto read = [&] {
#pragma unroll
      for (int r = 0; r < rows; ++r) next[r][0] = from[offset[r]], next[r][1] = from[offset[r] + pixel_step];
#pragma unroll
      for (int p = 0; p < 2; ++p)
        next_slopes[p] = load2(from + slopes_at + (2 * t + p) * pixel_width + 2 * g);
      from += step_floats;
    };
    wait_for_group(0);
    read();
    for (int i = 0; i < count;) {
      Factor<4> a[tiles];
      Factor<2> b[2];
#pragma unroll
      for (int r = 0; r < rows; ++r) {
        a[r / 2].template set<precision>(r % 2, next[r][0]);
        a[r / 2].template set<precision>(r % 2 + 2, next[r][1]);
      }
#pragma unroll
      for (int p = 0; p < 2; ++p) {
        b[0].template set<precision>(p, next_slopes[p].x);
        b[1].template set<precision>(p, next_slopes[p].y);
      }
      if (++i < count) {
        if (((i >> group_shift) << group_shift) == i) wait_for_group(i >> group_shift);
        read();
      }
#pragma unroll
      for (int kind = precision == Precision::float32 ? 0 : 2; kind < 3; ++kind) {
#pragma unroll
        for (int k = 0; k < tiles; ++k) {
#pragma unroll
          for (int o = 0; o < 2; ++o)
            multiply(sum[k * 2 + o], kind == 0 ? a[k].rest : a[k].big, kind == 1 ? b[o].rest : b[o].big);
        }
      }
    }
    __syncwarp();
    count = next_count;
    next_count = load(buffer);
  }
  join_filters<tiles * 2>(work, sum, partial, counters, [&](const float4& v, int quad, int lane) {
    const int k = quad / 2 * depth_tile + lane / 4;
    float* to = dw + static_cast<long long>(k) * d.out + first_out + lane % 4 * 4 + quad % 2;
    if (k < depth) to[0] = v.x, to[2] = v.y;
    to += 8LL * d.out;
    if (k + 8 < depth) to[0] = v.z, to[2] = v.w;
  });
#endif
}

int depth_tiles(const Conv2dDims& d) { return (d.kh * d.kw * d.in + depth_tile - 1) / depth_tile; }

template <int tiles>
void filters_of(const Conv2dDims& d, const float* x, const float* dy, float* partial, float* dw) {
  const int across = d.out / filters;
  FilterWork work = filter_work(d, across);
  const std::size_t bytes =
      set_rows_at_once(work, d.oh, tiles * 2, [&](int rows) { return rows * step_floats_of(d); });
  by_precision([&](auto precision) {
    const auto kernel = filters_kernel<tiles, precision()>;
    allow_rows(kernel);
    launch("conv2d_filter_grad", dim3(static_cast<unsigned>(work.parts), static_cast<unsigned>(across)),
           filter_threads, bytes, kernel, d, work, x, dy, reinterpret_cast<float4*>(partial), counters(), dw);
  });
}

}  // namespace

bool thin_filters_supports(const Conv2dDims& d) {
  return has_tensor_cores() && d.groups == 1 && d.up == 1 && d.in <= 4 && d.kh * d.kw * d.in <= most_depth &&
         d.out % filters == 0 && d.ow % strip == 0 && 2 * filter_warps * step_floats_of(d) <= least_floats;
}

std::size_t thin_filters_scratch(const Conv2dDims& d) {
  const int across = d.out / filters;
  return filter_partials(filter_work(d, across), across, depth_tiles(d) * depth_tile * filters);
}

void filters_thin_tensor(const Conv2dDims& d, const float* x, const float* dy, float* partial, float* dw) {
  switch (depth_tiles(d)) {
    case 1:
      return filters_of<1>(d, x, dy, partial, dw);
    case 2:
      return filters_of<2>(d, x, dy, partial, dw);
    case 3:
      return filters_of<3>(d, x, dy, partial, dw);
    default:
      return filters_of<4>(d, x, dy, partial, dw);
  }
}

}  // namespace autodiff::kernels::cuda
