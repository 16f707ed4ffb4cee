// Filter gradients of windows of 3 x 3 and 1 x 1, with stride 1 or 2, by tensor cores: dw of 16 inputs and 16
// outputs is a product of 16 x 8 pixels by 8 pixels x 16 for every tap. A lane keeps the rows that lie under
// a window, split for the cores, while its warp walks down a strip: what it reads serves all nine taps.
#include "autodiff/kernels/cuda/conv2d_filters_inl.h"
#include "autodiff/kernels/cuda/conv2d_inl.h"

namespace autodiff::kernels::cuda {
namespace {

// Before compute capability 8.0 the kernels are empty, and never called.
#pragma nv_diag_suppress 177

constexpr int chunk = 16;

// For windows of `side` taps a row: the columns of x under a lane's two pixels; the rows that a step adds to
// those of the step before; the steps after which these are in the same places again, which is also how many
// steps ahead a lane reads.
template <int side, int stride>
struct Window {
  static constexpr int columns = side == 1 ? 2 : side + stride, new_rows = side == 1 ? 1 : stride,
                       lead = (side - 1) / stride, turns = side == 1 ? 4 : (stride == 1 ? 3 : 2);
  __host__ __device__ static constexpr int column(int i) { return side == 1 ? i * stride : i; }
  // Where row `a` of the window lies at step `turn`.
  __host__ __device__ static constexpr int place(int turn, int a) {
    return side == 1 ? 0 : stride == 1 ? (turn + 1 + a) % 3 : turn == 0 ? a : 2 - a;
  }
};

template <int side, int stride, Precision precision>
__global__ void __launch_bounds__(filter_threads, 1)
    filters_kernel(const Conv2dDims d, const FilterWork work, const float* x, const float* dy,
                   float4* partial, unsigned* counters, float* dw) {
#if __CUDA_ARCH__ >= 800
  await_previous();
  using Of = Window<side, stride>;
  constexpr int columns = Of::columns, turns = Of::turns, new_rows = Of::new_rows, taps = side * side;
  const int tid = static_cast<int>(threadIdx.x), g = tid % 32 / 4, t = tid % 4;
  const int in_chunks = d.in / chunk, first_in = static_cast<int>(blockIdx.y) % in_chunks * chunk,
            first_out = static_cast<int>(blockIdx.y) / in_chunks * chunk;
  Walk walk(d, work, static_cast<int>(blockIdx.x) * filter_warps + tid / 32);

  // What is on its way, by turns; `is_row`: dy too, the window is complete.
  float2 ahead[turns][new_rows][columns] = {}, slopes_ahead[turns][2] = {};
  bool is_row[turns] = {};
  const float *from = x, *slope_from = dy;
  unsigned has_columns = 0;
  const int row_size = d.w * d.in;
  const auto load = [&](int turn) {
    is_row[turn] = false;
    if (walk.is_at_end()) {
      if (!walk.enter(d, Of::lead)) return;
      const int n = walk.n, j = walk.j + 2 * t;
      const int row = walk.row * stride - d.top + side - new_rows, column = j * stride - d.left;
      from = x + ((static_cast<long long>(n) * d.h + row) * d.w + column) * d.in + first_in + 2 * g;
      slope_from =
          dy + ((static_cast<long long>(n) * d.oh + walk.row) * d.ow + j) * d.out + first_out + 2 * g;
      has_columns = 0;
#pragma unroll
      for (int i = 0; i < columns; ++i) {
        const int c = column + Of::column(i);
        if (c >= 0 && c < d.w) has_columns |= 1u << i;
      }
    }
#pragma unroll
    for (int r = 0; r < new_rows; ++r) {
      const int row = walk.row * stride - d.top + side - new_rows + r;
      const unsigned has = row >= 0 && row < d.h ? has_columns : 0;
#pragma unroll
      for (int i = 0; i < columns; ++i) {
        float2& to = ahead[turn][r][i];
        to = {};
        if (has >> i & 1) to = load2(from + r * row_size + Of::column(i) * d.in);
      }
    }
    if (walk.row >= walk.first) {
      is_row[turn] = true;
      slopes_ahead[turn][0] = load2(slope_from);
      slopes_ahead[turn][1] = load2(slope_from + d.out);
    }
    ++walk.row;
    from += stride * row_size;
    slope_from += d.ow * d.out;
  };

  // All products of one kind come before those of the next kind, which add to the same sums.
  float sum[taps * 2][4] = {};
  // Of inputs 2g and 2g + 1 under the first pixel, then under the second; of outputs 2 column + o. The cores
  // take registers that follow each other, so that what two taps need has a place for each: `zero`, of which
  // the compiler knows nothing, keeps it from making one place of two and copying before every product.
  Factor<4> a[side][side];
  Factor<2> b[2];
  const unsigned zero = blockIdx.z;
  int left = walk.steps(d.oh, Of::lead) + turns;  // the first turns only load
  for (; left > 0; left -= turns) {
#pragma unroll
    for (int turn = 0; turn < turns; ++turn) {
#pragma unroll
      for (int r = 0; r < new_rows; ++r) {
        Factor<4>* to = a[Of::place(turn, side - new_rows + r)];
#pragma unroll
        for (int i = 0; i < columns; ++i) {
          Factor<2> f;
          f.template set<precision>(0, ahead[turn][r][i].x);
          f.template set<precision>(1, ahead[turn][r][i].y);
          const int upper = Of::column(i), lower = upper - stride;  // taps of the first, second pixel
#pragma unroll
          for (int e = 0; e < 2; ++e) {
            if (upper < side) to[upper].big[e] = f.big[e], to[upper].rest[e] = f.rest[e];
            if (lower < 0) continue;
            to[lower].big[2 + e] = upper < side ? f.big[e] | zero : f.big[e];
            to[lower].rest[2 + e] = upper < side ? f.rest[e] | zero : f.rest[e];
          }
        }
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
        for (int tap = 0; tap < taps; ++tap) {
          const Factor<4>& f = a[Of::place(turn, tap / side)][tap % side];
#pragma unroll
          for (int o = 0; o < 2; ++o)
            multiply(sum[tap * 2 + o], kind == 0 ? f.rest : f.big, kind == 1 ? b[o].rest : b[o].big);
        }
      }
    }
  }
  join_filters<taps * 2>(work, sum, partial, counters, [&](const float4& v, int quad, int lane) {
    const int input = quad / 2 * d.in + first_in + lane / 4 * 2, output = first_out + lane % 4 * 4 + quad % 2;
    float* to = dw + static_cast<long long>(input) * d.out + output;
    to[0] = v.x, to[2] = v.y;
    to += d.out;
    to[0] = v.z, to[2] = v.w;
  });
#endif
}

int tiles_of(const Conv2dDims& d) { return d.in / chunk * (d.out / chunk); }

template <int side, int stride>
void filters(const Conv2dDims& d, const float* x, const float* dy, float* partial, float* dw) {
  const int tiles = tiles_of(d);
  const FilterWork work = filter_work(d, tiles);
  by_precision([&](auto precision) {
    launch("conv2d_filter_grad", dim3(static_cast<unsigned>(work.parts), static_cast<unsigned>(tiles)),
           filter_threads, 0, filters_kernel<side, stride, precision()>, d, work, x, dy,
           reinterpret_cast<float4*>(partial), counters(), dw);
  });
}

}  // namespace

bool window_filters_supports(const Conv2dDims& d) {
  return has_tensor_cores() && d.kh == d.kw && (d.kh == 3 || d.kh == 1) && (d.stride == 1 || d.stride == 2) &&
         d.dilation == 1 && d.up == 1 && d.groups == 1 && d.in % chunk == 0 && d.out % chunk == 0 &&
         d.ow % strip == 0 && tiles_of(d) <= 65535;
}

std::size_t window_filters_scratch(const Conv2dDims& d) {
  return filter_partials(filter_work(d, tiles_of(d)), tiles_of(d), d.kh * d.kw * chunk * chunk);
}

void filters_window(const Conv2dDims& d, const float* x, const float* dy, float* partial, float* dw) {
  if (d.kh == 3)
    return d.stride == 1 ? filters<3, 1>(d, x, dy, partial, dw) : filters<3, 2>(d, x, dy, partial, dw);
  d.stride == 1 ? filters<1, 1>(d, x, dy, partial, dw) : filters<1, 2>(d, x, dy, partial, dw);
}

}  // namespace autodiff::kernels::cuda
