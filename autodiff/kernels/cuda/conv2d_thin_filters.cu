// Filter gradients of images of few channels by tensor cores: taps and channels together are the rows of one
// product, up to 64 of them, and 16 filters its columns.
#include "autodiff/kernels/cuda/conv2d_filters_inl.h"
#include "autodiff/kernels/cuda/conv2d_inl.h"

namespace autodiff::kernels::cuda {
namespace {

// Before compute capability 8.0 the kernels are empty, and never called.
#pragma nv_diag_suppress 177

constexpr int filters = 16, depth_tile = 16, most_depth = 64;
constexpr std::size_t least_shared = 96 << 10;  // that every device has for a block

// What a warp needs of x for a row: `rows` rows, of `row_floats` each, then eight pixels of dy.
struct Stage {
  int row_floats, floats;
};
__host__ __device__ Stage stage_of(const Conv2dDims& d) {
  const int row = (((strip - 1) * d.stride + (d.kw - 1) * d.dilation + 1) * d.in + 3) / 4 * 4;
  return {row, d.kh * row + strip * pixel_width};
}

// `tiles` times 16 taps and channels.
template <int tiles, int stages, Precision precision>
__global__ void __launch_bounds__(filter_threads, 1)
    filters_kernel(const Conv2dDims d, const FilterWork work, const float* __restrict__ x,
                   const float* __restrict__ dy, float4* partial, unsigned* counters, float* dw) {
#if __CUDA_ARCH__ >= 800
  constexpr int rows = tiles * 2;  // of the product, that a lane has: g, g + 8, ...
  const int tid = static_cast<int>(threadIdx.x), lane = tid % 32, g = lane / 4, t = lane % 4;
  const int depth = d.kh * d.kw * d.in, first_out = static_cast<int>(blockIdx.y) * filters;
  const Stage stage = stage_of(d);
  Walk walk(d, work, static_cast<int>(blockIdx.x) * filter_warps + tid / 32);

  float* memory = block_memory() + tid / 32 * stages * stage.floats;
  float* own_slopes = memory + d.kh * stage.row_floats + lane / 4 * pixel_width + lane % 4 * 4;
  const float *from = x, *slope_from = dy;
  int first_float = 0;  // of the row of x, that is the lane's
  const int row_size = d.w * d.in;
  const auto load = [&](int slot) {
    if (!walk.is_at_end() || walk.enter(d, 0)) {
      if (walk.is_at_start(0)) {
        first_float = (walk.j * d.stride - d.left) * d.in + lane;
        from =
            x + (static_cast<long long>(walk.n) * d.h + walk.row * d.stride - d.top) * row_size + first_float;
        slope_from = dy +
                     ((static_cast<long long>(walk.n) * d.oh + walk.row) * d.ow + walk.j + lane / 4) * d.out +
                     first_out + lane % 4 * 4;
      }
      float* to = memory + slot * stage.floats + lane;
      const float* row_from = from;
      int row = walk.row * d.stride - d.top;
      for (int a = 0; a < d.kh; ++a) {
        const bool has_row = row >= 0 && row < d.h;
        for (int q = 0; q + lane < stage.row_floats; q += 32) {
          const bool inside = has_row && first_float + q >= 0 && first_float + q < row_size;
          __pipeline_memcpy_async(to + q, row_from + q, sizeof(float), inside ? 0 : sizeof(float));
        }
        row += d.dilation;
        row_from += d.dilation * row_size;
        to += stage.row_floats;
      }
      send(own_slopes + slot * stage.floats, slope_from, true);
      ++walk.row;
      from += d.stride * row_size;
      slope_from += d.ow * d.out;
    }
    __pipeline_commit();
  };
  int offset[rows];  // from the first pixel's window; rows behind the last are formed of anything, and not
                     // kept
#pragma unroll
  for (int r = 0; r < rows; ++r) {
    const int k = min(r * 8 + g, depth - 1), tap = k / d.in;
    offset[r] =
        tap / d.kw * stage.row_floats + (tap % d.kw * d.dilation + 2 * t * d.stride) * d.in + k % d.in;
  }
  float next[rows][2];
  float2 next_slopes[2];
  const int pixel_step = d.stride * d.in;
  const float* my_slopes = memory + d.kh * stage.row_floats + 2 * t * pixel_width + 2 * g;
  const auto read = [&](int slot) {
#pragma unroll
    for (int r = 0; r < rows; ++r) {
      next[r][0] = memory[slot * stage.floats + offset[r]];
      next[r][1] = memory[slot * stage.floats + offset[r] + pixel_step];
    }
#pragma unroll
    for (int p = 0; p < 2; ++p) next_slopes[p] = load2(my_slopes + slot * stage.floats + p * pixel_width);
  };

  float sum[tiles * 2][4] = {};
  int left = walk.steps(d.oh, 0), slot = 0;
#pragma unroll 1
  for (int s = 0; s < stages; ++s) load(s);
  wait_prior<stages - 1>();
  __syncwarp();
  read(0);
#pragma unroll 1
  for (; left > 0; --left) {
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
    const int done = slot;
    slot = slot + 1 == stages ? 0 : slot + 1;
    wait_prior<stages - 2>();
    __syncwarp();
    read(slot);
    load(done);
#pragma unroll
    for (int kind = precision == Precision::float32 ? 0 : 2; kind < 3; ++kind) {
#pragma unroll
      for (int i = 0; i < tiles; ++i) {
#pragma unroll
        for (int o = 0; o < 2; ++o)
          multiply(sum[i * 2 + o], kind == 0 ? a[i].rest : a[i].big, kind == 1 ? b[o].rest : b[o].big);
      }
    }
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

constexpr int most_stages = 16, least_stages = 4;

std::size_t memory_of(const Conv2dDims& d, int stages) {
  return filter_memory(stages, stage_of(d).floats, depth_tiles(d) * 2);
}

template <int tiles, int stages>
void filters_by(const Conv2dDims& d, const float* x, const float* dy, float* partial, float* dw) {
  const int across = d.out / filters;
  const FilterWork work = filter_work(d, across);
  by_precision([&](auto precision) {
    const auto kernel = filters_kernel<tiles, stages, precision()>;
    // Always for all there is: another thread may have recorded a launch that needs more than this one.
    check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                               static_cast<int>(most_shared())),
          "shared memory");
    launch("conv2d_filter_grad", dim3(static_cast<unsigned>(work.parts), static_cast<unsigned>(across)),
           filter_threads, memory_of(d, stages), kernel, d, work, x, dy, reinterpret_cast<float4*>(partial),
           counters(), dw);
  });
}

template <int tiles>
void filters_of(const Conv2dDims& d, const float* x, const float* dy, float* partial, float* dw) {
  memory_of(d, most_stages) <= most_shared() ? filters_by<tiles, most_stages>(d, x, dy, partial, dw)
                                             : filters_by<tiles, least_stages>(d, x, dy, partial, dw);
}

}  // namespace

bool thin_filters_supports(const Conv2dDims& d) {
  return has_tensor_cores() && d.groups == 1 && d.up == 1 && d.in <= 4 && d.kh * d.kw * d.in <= most_depth &&
         d.out % filters == 0 && d.ow % strip == 0 && memory_of(d, least_stages) <= least_shared;
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
