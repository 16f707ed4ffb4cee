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

// For windows of `side` taps a row. The columns of x under a lane's two pixels, and under all eight; the rows
// that a step adds to those of the step before; the steps after which these are in the same places again.
template <int side, int stride>
struct Window {
  static constexpr int columns = side == 1 ? 2 : side + stride, positions = (strip - 1) * stride + side,
                       all_columns = side == 1 ? strip : positions, new_rows = side == 1 ? 1 : stride,
                       lead = (side - 1) / stride,
                       turns = side == 1     ? 1
                               : stride == 1 ? 3
                                             : 2;
  static constexpr int row_floats = all_columns * pixel_width,
                       stage_floats = new_rows * row_floats + strip * pixel_width;
  // Of 1 x 1, only what lies under a pixel is loaded.
  static constexpr int step = side == 1 ? stride : 1;
  // Where row `a` of the window lies at step `turn`.
  __host__ __device__ static constexpr int place(int turn, int a) {
    return side == 1 ? 0 : stride == 1 ? (turn + 1 + a) % 3 : turn == 0 ? a : 2 - a;
  }
};

template <int side, int stride, int stages, Precision precision>
__global__ void __launch_bounds__(filter_threads, 1)
    filters_kernel(const Conv2dDims d, const FilterWork work, const float* __restrict__ x,
                   const float* __restrict__ dy, float4* partial, unsigned* counters, float* dw) {
#if __CUDA_ARCH__ >= 800
  using Of = Window<side, stride>;
  constexpr int columns = Of::columns, turns = Of::turns, new_rows = Of::new_rows, taps = side * side;
  const int tid = static_cast<int>(threadIdx.x), lane = tid % 32, g = lane / 4, t = lane % 4;
  const int in_chunks = d.in / chunk, first_in = static_cast<int>(blockIdx.y) % in_chunks * chunk,
            first_out = static_cast<int>(blockIdx.y) / in_chunks * chunk;
  Walk walk(d, work, static_cast<int>(blockIdx.x) * filter_warps + tid / 32);

  // Loads: a lane has a quarter of the channels of every eighth column, the first of them `own`. `rows` has a
  // bit for each stage: whether it completes a window.
  constexpr int loads = (Of::all_columns + 7) / 8;
  float* memory = block_memory() + tid / 32 * stages * Of::stage_floats;
  float* own = memory + lane / 4 * pixel_width + lane % 4 * 4;
  const float *from = x, *slope_from = dy;
  unsigned has_columns = 0, rows = 0;
  const int row_size = d.w * d.in, load_step = 8 * Of::step * d.in;
  const auto load = [&](int slot, int bit) {
    if (!walk.is_at_end() || walk.enter(d, Of::lead)) {
      if (walk.is_at_start(Of::lead)) {
        const int row = walk.row * stride - d.top + side - new_rows,
                  column = walk.j * stride - d.left + lane / 4 * Of::step;
        from = x + ((static_cast<long long>(walk.n) * d.h + row) * d.w + column) * d.in + first_in +
               lane % 4 * 4;
        slope_from = dy +
                     ((static_cast<long long>(walk.n) * d.oh + walk.row) * d.ow + walk.j + lane / 4) * d.out +
                     first_out + lane % 4 * 4;
        has_columns = 0;
#pragma unroll
        for (int i = 0; i < loads; ++i) {
          const int c = column + i * 8 * Of::step;
          if (c >= 0 && c < d.w) has_columns |= 1u << i;
        }
      }
      float* to = own + slot * Of::stage_floats;
#pragma unroll
      for (int r = 0; r < new_rows; ++r) {
        const int row = walk.row * stride - d.top + side - new_rows + r;
        const bool has_row = row >= 0 && row < d.h;
#pragma unroll
        for (int i = 0; i < loads; ++i) {
          if (i * 8 + 8 <= Of::all_columns || i * 8 + lane / 4 < Of::all_columns) {
            send(to + r * Of::row_floats + i * 8 * pixel_width, from + r * row_size + i * load_step,
                 has_row && (has_columns >> i & 1));
          }
        }
      }
      if (walk.row >= walk.first) {
        send(to + new_rows * Of::row_floats, slope_from, true);
        rows |= 1u << bit;
      }
      ++walk.row;
      from += stride * row_size;
      slope_from += d.ow * d.out;
    }
    __pipeline_commit();
  };
  // What a lane has of a stage, on its way to registers while the one before is multiplied.
  float2 next[new_rows][columns], next_slopes[2];
  const float* mine = memory + 2 * t * (side == 1 ? 1 : stride) * pixel_width + 2 * g;
  const float* my_slopes = memory + new_rows * Of::row_floats + 2 * t * pixel_width + 2 * g;
  const auto read = [&](int slot) {
#pragma unroll
    for (int r = 0; r < new_rows; ++r) {
#pragma unroll
      for (int i = 0; i < columns; ++i)
        next[r][i] = load2(mine + slot * Of::stage_floats + r * Of::row_floats + i * pixel_width);
    }
#pragma unroll
    for (int p = 0; p < 2; ++p) next_slopes[p] = load2(my_slopes + slot * Of::stage_floats + p * pixel_width);
  };

  float sum[taps * 2][4] = {};
  // Of inputs 2g and 2g + 1 under the first pixel, then under the second; of outputs 2 column + o. The cores
  // take registers that follow each other, so that what two taps need has a place for each: `zero`, of which
  // the compiler knows nothing, keeps it from making one place of two and copying before every product.
  Factor<4> a[side][side];
  Factor<2> b[2];
  const unsigned zero = blockIdx.z;
  int left = walk.steps(d.oh, Of::lead), slot = 0;
#pragma unroll 1
  for (int s = 0; s < stages; ++s) load(s, s);
  wait_prior<stages - 1>();
  __syncwarp();
  read(0);
  for (; left > 0; left -= turns) {
#pragma unroll
    for (int turn = 0; turn < turns; ++turn) {
#pragma unroll
      for (int r = 0; r < new_rows; ++r) {
        Factor<4>* to = a[Of::place(turn, side - new_rows + r)];
#pragma unroll
        for (int i = 0; i < columns; ++i) {
          Factor<2> f;
          f.template set<precision>(0, next[r][i].x);
          f.template set<precision>(1, next[r][i].y);
          const int upper = side == 1 ? i * stride : i, lower = upper - stride;  // taps over which it lies
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
        b[0].template set<precision>(p, next_slopes[p].x);
        b[1].template set<precision>(p, next_slopes[p].y);
      }
      const bool complete = rows & 1;
      rows >>= 1;
      const int done = slot;
      slot = slot + 1 == stages ? 0 : slot + 1;
      wait_prior<stages - 2>();
      __syncwarp();
      read(slot);
      load(done, stages - 1);
      if (!complete) continue;
        // All products of one kind before those of the next, which add to the same sums.
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

template <int side, int stride, int stages>
void filters_by(const Conv2dDims& d, const float* x, const float* dy, float* partial, float* dw) {
  const int tiles = tiles_of(d);
  const FilterWork work = filter_work(d, tiles);
  constexpr std::size_t bytes = filter_memory(stages, Window<side, stride>::stage_floats, 2 * side * side);
  by_precision([&](auto precision) {
    const auto kernel = filters_kernel<side, stride, stages, precision()>;
    check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(bytes)),
          "shared memory");
    launch("conv2d_filter_grad", dim3(static_cast<unsigned>(work.parts), static_cast<unsigned>(tiles)),
           filter_threads, bytes, kernel, d, work, x, dy, reinterpret_cast<float4*>(partial), counters(), dw);
  });
}

// As many stages as there is room for: devices have 99 KiB for a block, or much more.
template <int side, int stride, int stages, int fewer>
void filters(const Conv2dDims& d, const float* x, const float* dy, float* partial, float* dw) {
  filter_memory(stages, Window<side, stride>::stage_floats, 2 * side * side) <= most_shared()
      ? filters_by<side, stride, stages>(d, x, dy, partial, dw)
      : filters_by<side, stride, fewer>(d, x, dy, partial, dw);
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

#ifndef S1
#define S1 16
#define S2 8
#define S0 16
#endif
void filters_window(const Conv2dDims& d, const float* x, const float* dy, float* partial, float* dw) {
  if (d.kh == 3) {
    d.stride == 1 ? filters<3, 1, S1, 8>(d, x, dy, partial, dw) : filters<3, 2, S2, 3>(d, x, dy, partial, dw);
  } else {
    d.stride == 1 ? filters<1, 1, S0, 8>(d, x, dy, partial, dw) : filters<1, 2, S0, 8>(d, x, dy, partial, dw);
  }
}

}  // namespace autodiff::kernels::cuda
