// Filter gradients of images of few channels by tensor cores: taps and channels together are the rows of one
// product, up to 64 of them, and 16 filters its columns.
#include "autodiff/kernels/cuda/conv2d_filters_inl.h"
#include "autodiff/kernels/cuda/conv2d_inl.h"

namespace autodiff::kernels::cuda {
namespace {

// Before compute capability 8.0 the kernels are empty, and never called.
#pragma nv_diag_suppress 177

constexpr int filters = 16, depth_tile = 16, most_depth = 64;

// `tiles` times 16 taps and channels.
template <int tiles, Precision precision>
__global__ void __launch_bounds__(filter_threads, 1)
    filters_kernel(const Conv2dDims d, const FilterWork work, const float* x, const float* dy,
                   float4* partial, unsigned* counters, float* dw) {
#if __CUDA_ARCH__ >= 800
  await_previous();
  constexpr int turns = 4, rows = tiles * 2;  // rows of the product that a lane has: g, g + 8, ...
  const int tid = static_cast<int>(threadIdx.x), g = tid % 32 / 4, t = tid % 4;
  const int depth = d.kh * d.kw * d.in, first_out = static_cast<int>(blockIdx.y) * filters;
  Walk walk(d, work, static_cast<int>(blockIdx.x) * filter_warps + tid / 32);

  int offset[rows], row_of[rows], column_of[rows];  // from the window's first
#pragma unroll
  for (int r = 0; r < rows; ++r) {
    const int k = min(r * 8 + g, depth - 1), tap = k / d.in;
    row_of[r] = tap / d.kw * d.dilation, column_of[r] = tap % d.kw * d.dilation;
    offset[r] = (row_of[r] * d.w + column_of[r]) * d.in + k % d.in;
  }

  float ahead[turns][rows][2] = {};
  float2 slopes_ahead[turns][2] = {};
  bool is_row[turns] = {};
  const float *from = x, *slope_from = dy;
  unsigned has_columns = 0;  // two bits for each row of the product
  const int pixel_step = d.stride * d.in, last_row = (d.kh - 1) * d.dilation;
  const auto load = [&](int turn) {
    is_row[turn] = false;
    if (walk.is_at_end()) {
      if (!walk.enter(d, 0)) return;
      const int n = walk.n, j = walk.j + 2 * t;
      const int row = walk.row * d.stride - d.top, column = j * d.stride - d.left;
      from = x + ((static_cast<long long>(n) * d.h + row) * d.w + column) * d.in;
      slope_from =
          dy + ((static_cast<long long>(n) * d.oh + walk.row) * d.ow + j) * d.out + first_out + 2 * g;
      has_columns = 0;
#pragma unroll
      for (int r = 0; r < rows; ++r) {
#pragma unroll
        for (int p = 0; p < 2; ++p) {
          const int c = column + column_of[r] + p * d.stride;
          if (r * 8 + g < depth && c >= 0 && c < d.w) has_columns |= 1u << (2 * r + p);
        }
      }
    }
    const int row = walk.row * d.stride - d.top;
    unsigned has = has_columns;
    if (row < 0 || row + last_row >= d.h) {
#pragma unroll
      for (int r = 0; r < rows; ++r) {
        if (row + row_of[r] < 0 || row + row_of[r] >= d.h) has &= ~(3u << (2 * r));
      }
    }
#pragma unroll
    for (int r = 0; r < rows; ++r) {
#pragma unroll
      for (int p = 0; p < 2; ++p) {
        float& to = ahead[turn][r][p];
        to = 0;
        if (has >> (2 * r + p) & 1) to = from[offset[r] + p * pixel_step];
      }
    }
    is_row[turn] = true;
    slopes_ahead[turn][0] = load2(slope_from);
    slopes_ahead[turn][1] = load2(slope_from + d.out);
    ++walk.row;
    from += d.stride * d.w * d.in;
    slope_from += d.ow * d.out;
  };

  float sum[tiles * 2][4] = {};
  int left = walk.steps(d.oh, 0) + turns;  // the first turns only load
  for (; left > 0; left -= turns) {
#pragma unroll
    for (int turn = 0; turn < turns; ++turn) {
      Factor<4> a[tiles];
      Factor<2> b[2];
#pragma unroll
      for (int r = 0; r < rows; ++r) {
        a[r / 2].template set<precision>(r % 2, ahead[turn][r][0]);
        a[r / 2].template set<precision>(r % 2 + 2, ahead[turn][r][1]);
      }
#pragma unroll
      for (int p = 0; p < 2; ++p) {
        b[0].template set<precision>(p, slopes_ahead[turn][p].x);
        b[1].template set<precision>(p, slopes_ahead[turn][p].y);
      }
      const bool complete = is_row[turn];
      load(turn);
      if (!complete) continue;
#pragma unroll
      for (int kind = precision == Precision::float32 ? 0 : 2; kind < 3; ++kind) {
#pragma unroll
        for (int i = 0; i < tiles; ++i) {
#pragma unroll
          for (int o = 0; o < 2; ++o) {
            multiply(sum[i * 2 + o], kind == 0 ? a[i].rest : a[i].big, kind == 1 ? b[o].rest : b[o].big);
          }
        }
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

template <int tiles>
void filters_of(const Conv2dDims& d, const float* x, const float* dy, float* partial, float* dw) {
  const int across = d.out / filters;
  const FilterWork work = filter_work(d, across);
  by_precision([&](auto precision) {
    launch("conv2d_filter_grad", dim3(static_cast<unsigned>(work.parts), static_cast<unsigned>(across)),
           filter_threads, 0, filters_kernel<tiles, precision()>, d, work, x, dy,
           reinterpret_cast<float4*>(partial), counters(), dw);
  });
}

}  // namespace

bool thin_filters_supports(const Conv2dDims& d) {
  return has_tensor_cores() && d.groups == 1 && d.up == 1 && d.in <= 4 && d.kh * d.kw * d.in <= most_depth &&
         d.out % filters == 0 && d.ow % strip == 0;
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
