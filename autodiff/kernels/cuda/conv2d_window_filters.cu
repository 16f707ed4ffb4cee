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

// For windows of `side` taps a row: the columns of x under a lane's two pixels, and under all eight; the rows
// that a step adds to those of the step before; the steps after which these are in the same places again.
template <int side, int stride>
struct Window {
  static constexpr int columns = side == 1 ? 2 : side + stride,
                       all_columns = side == 1 ? strip : (strip - 1) * stride + side,
                       new_rows = side == 1 ? 1 : stride,
                       turns = side == 1     ? 1
                               : stride == 1 ? 3
                                             : 2;
  static constexpr int row_floats = all_columns * pixel_width, slope_floats = strip * pixel_width;
  // Of 1 x 1, only what lies under a pixel is loaded.
  static constexpr int step = side == 1 ? stride : 1;
  // Rows of x under so many rows of the result.
  __host__ __device__ static constexpr int rows(int count) {
    return count == 0 ? 0 : side == 1 ? count : (count - 1) * stride + side;
  }
  __host__ __device__ static constexpr int floats(int count) {
    return rows(count) * row_floats + count * slope_floats;
  }
  // Where row `a` of the window lies at step `turn`.
  __host__ __device__ static constexpr int place(int turn, int a) {
    return side == 1 ? 0 : stride == 1 ? (turn + 1 + a) % 3 : turn == 0 ? a : 2 - a;
  }
};

template <int side, int stride, Precision precision>
__global__ void __launch_bounds__(filter_threads, 1)
    filters_kernel(const Conv2dDims d, const FilterWork work, const float* __restrict__ x,
                   const float* __restrict__ dy, float4* partial, unsigned* counters, float* dw) {
#if __CUDA_ARCH__ >= 800
  await_previous();
  using Of = Window<side, stride>;
  constexpr int columns = Of::columns, turns = Of::turns, new_rows = Of::new_rows, old_rows = side - new_rows,
                taps = side * side, row_floats = Of::row_floats;
  const int tid = static_cast<int>(threadIdx.x), lane = tid % 32, g = lane / 4, t = lane % 4;
  const int in_chunks = d.in / chunk, first_in = static_cast<int>(blockIdx.y) % in_chunks * chunk,
            first_out = static_cast<int>(blockIdx.y) / in_chunks * chunk;
  const int at_once = work.rows_at_once, group_shift = at_once > copy_groups ? 1 : 0,
            slopes_at = Of::rows(at_once) * row_floats, buffer_floats = Of::floats(at_once);
  float* memory = block_memory() + tid / 32 * 2 * buffer_floats;

  // Loads: a lane has a quarter of the channels of every eighth column.
  constexpr int loads = Of::all_columns / 8, others = Of::all_columns % 8;
  Walk walk(d, work, static_cast<int>(blockIdx.x) * filter_warps + tid / 32);
  const int row_size = d.w * d.in, load_step = 8 * Of::step * d.in;
  const auto load = [&](int buffer) {
    const int count = walk.count(d, at_once), n = walk.n, j = walk.j + lane / 4;
    const int row = walk.row * stride - d.top, column = walk.j * stride - d.left + lane / 4 * Of::step;
    const float* from =
        x + ((static_cast<long long>(n) * d.h + row) * d.w + column) * d.in + first_in + lane % 4 * 4;
    const float* slope_from =
        dy + ((static_cast<long long>(n) * d.oh + walk.row) * d.ow + j) * d.out + first_out + lane % 4 * 4;
    walk.go_on(d, count);
    float* to = memory + buffer * buffer_floats + lane / 4 * pixel_width + lane % 4 * 4;
    float* slope_to = to + slopes_at;
    bool has_column[loads + 1];
#pragma unroll
    for (int i = 0; i <= loads; ++i) {
      const int c = column + i * 8 * Of::step;
      has_column[i] = c >= 0 && c < d.w;
    }
    int r = 0, i = 0;
#pragma unroll 1
    for (int group = 0; group < copy_groups; ++group) {
      const int end = min(count, (group + 1) << group_shift), end_row = Of::rows(end);
#pragma unroll 1
      for (; r < end_row; ++r) {
        const bool has_row = row + r * Of::step >= 0 && row + r * Of::step < d.h;
#pragma unroll
        for (int l = 0; l < loads; ++l)
          send(to + l * 8 * pixel_width, from + l * load_step, has_row && has_column[l]);
        if (lane / 4 < others)
          send(to + loads * 8 * pixel_width, from + loads * load_step, has_row && has_column[loads]);
        to += row_floats;
        from += Of::step * row_size;
      }
#pragma unroll 1
      for (; i < end; ++i) {
        send(slope_to, slope_from, true);
        slope_to += Of::slope_floats;
        slope_from += d.ow * d.out;
      }
      __pipeline_commit();
    }
    return count;
  };

  float sum[taps * 2][4] = {};
  // Of inputs 2g and 2g + 1 under the first pixel, then under the second; of outputs 2 column + o. The cores
  // take registers that follow each other, so that what two taps need has a place for each: `zero`, of which
  // the compiler knows nothing, keeps it from making one place of two and copying before every product.
  Factor<4> a[side][side];
  Factor<2> b[2];
  const unsigned zero = blockIdx.z;
  const auto split_row = [&](const float2* from, Factor<4>* to) {
#pragma unroll
    for (int i = 0; i < columns; ++i) {
      Factor<2> f;
      f.template set<precision>(0, from[i].x);
      f.template set<precision>(1, from[i].y);
      const int upper = side == 1 ? i * stride : i, lower = upper - stride;  // taps over which it lies
#pragma unroll
      for (int e = 0; e < 2; ++e) {
        if (upper < side) to[upper].big[e] = f.big[e], to[upper].rest[e] = f.rest[e];
        if (lower < 0) continue;
        to[lower].big[2 + e] = upper < side ? f.big[e] | zero : f.big[e];
        to[lower].rest[2 + e] = upper < side ? f.rest[e] | zero : f.rest[e];
      }
    }
  };
  // The rows of a turn. What a step needs is on its way to registers while the step before is done.
  const auto multiply_rows = [&](const float* buffer, int count) {
    const float* from = buffer + 2 * t * (side == 1 ? 1 : stride) * pixel_width + 2 * g;
    const float* slope_from = buffer + slopes_at + 2 * t * pixel_width + 2 * g;
    float2 next[new_rows][columns], next_slopes[2];
    const auto read = [&](float2* to) {
#pragma unroll
      for (int i = 0; i < columns; ++i) to[i] = load2(from + i * pixel_width);
      from += row_floats;
    };
    const auto read_step = [&] {
#pragma unroll
      for (int r = 0; r < new_rows; ++r) read(next[r]);
#pragma unroll
      for (int p = 0; p < 2; ++p) next_slopes[p] = load2(slope_from + p * pixel_width);
      slope_from += Of::slope_floats;
    };
    wait_for_group(0);
    float2 old[old_rows + 1][columns];
#pragma unroll
    for (int r = 0; r < old_rows; ++r) read(old[r]);
    read_step();
#pragma unroll
    for (int r = 0; r < old_rows; ++r) split_row(old[r], a[Of::place(0, r)]);
    int i = 0;
    const auto step = [&](auto turn) {
#pragma unroll
      for (int p = 0; p < 2; ++p) {
        b[0].template set<precision>(p, next_slopes[p].x);
        b[1].template set<precision>(p, next_slopes[p].y);
      }
#pragma unroll
      for (int r = 0; r < new_rows; ++r) split_row(next[r], a[Of::place(turn(), old_rows + r)]);
      if (++i < count) {
        if (((i >> group_shift) << group_shift) == i) wait_for_group(i >> group_shift);
        read_step();
      }
      // All products of one kind before those of the next, which add to the same sums.
#pragma unroll
      for (int kind = precision == Precision::float32 ? 0 : 2; kind < 3; ++kind) {
#pragma unroll
        for (int tap = 0; tap < taps; ++tap) {
          const Factor<4>& f = a[Of::place(turn(), tap / side)][tap % side];
#pragma unroll
          for (int o = 0; o < 2; ++o)
            multiply(sum[tap * 2 + o], kind == 0 ? f.rest : f.big, kind == 1 ? b[o].rest : b[o].big);
        }
      }
      return i < count;
    };
    for (;;) {
      if (!step(std::integral_constant<int, 0>{})) return;
      if constexpr (turns > 1) {
        if (!step(std::integral_constant<int, 1>{})) return;
      }
      if constexpr (turns > 2) {
        if (!step(std::integral_constant<int, 2>{})) return;
      }
    }
  };
  int count = load(0), next_count = load(1);
  for (int buffer = 0; count > 0; buffer ^= 1) {
    multiply_rows(memory + buffer * buffer_floats, count);
    __syncwarp();
    count = next_count;
    next_count = load(buffer);
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
  FilterWork work = filter_work(d, tiles);
  const std::size_t bytes = set_rows_at_once(work, d.oh, 2 * side * side, Window<side, stride>::floats);
  by_precision([&](auto precision) {
    const auto kernel = filters_kernel<side, stride, precision()>;
    allow_rows(kernel);
    launch("conv2d_filter_grad", dim3(static_cast<unsigned>(work.parts), static_cast<unsigned>(tiles)),
           filter_threads, bytes, kernel, d, work, x, dy, reinterpret_cast<float4*>(partial), counters(), dw);
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
  if (d.kh == 3) {
    d.stride == 1 ? filters<3, 1>(d, x, dy, partial, dw) : filters<3, 2>(d, x, dy, partial, dw);
  } else {
    d.stride == 1 ? filters<1, 1>(d, x, dy, partial, dw) : filters<1, 2>(d, x, dy, partial, dw);
  }
}

}  // namespace autodiff::kernels::cuda
