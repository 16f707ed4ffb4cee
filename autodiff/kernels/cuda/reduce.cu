// Sums, maxima and moments along axes.
#include "autodiff/kernels/cuda/columns_inl.h"
#include "autodiff/kernels/cuda/small.h"

namespace autodiff::kernels::cuda {
namespace {

constexpr int threads = 512;

struct Sum {
  static constexpr int values = 1;
  __device__ static double start() { return 0; }
  __device__ static void add(double* v, float x, float) { v[0] += static_cast<double>(x); }
  __device__ static double join(double a, double b) { return a + b; }
};
struct Max {
  static constexpr int values = 1;
  __device__ static double start() { return -INFINITY; }
  __device__ static void add(double* v, float x, float) {
    if (static_cast<double>(x) > v[0]) v[0] = static_cast<double>(x);
  }
  __device__ static double join(double a, double b) { return b > a ? b : a; }
};
// Sums of x - shift and of its square, with the channel's first element as the shift: as good as two passes
// where the mean is far from zero, since all is formed in double. (Most convolutions form those of their
// results themselves: conv2d_sums_inl.h.)
struct Moments {
  static constexpr int values = 2;
  __device__ static double start() { return 0; }
  __device__ static void add(double* v, float x, float shift) {
    const double d = static_cast<double>(x) - static_cast<double>(shift);
    v[0] += d;
    v[1] += d * d;
  }
  __device__ static double join(double a, double b) { return a + b; }
};

// One value of all threads of a block, in a fixed order; thread 0 has it.
template <class Kind>
__device__ double join_block(double value) {
  __shared__ double lanes[threads / 32];
  for (int step = 16; step > 0; step /= 2)
    value = Kind::join(value, __shfl_down_sync(~0u, value, static_cast<unsigned>(step)));
  if (threadIdx.x % 32 == 0) lanes[threadIdx.x / 32] = value;
  sync_block();
  if (threadIdx.x == 0) {
    for (unsigned k = 1; k < blockDim.x / 32; ++k) value = Kind::join(value, lanes[k]);
  }
  return value;
}

// y[o] of x [outer, reduced]: a block each.
template <class Kind>
__global__ void rows_kernel(std::size_t reduced, double divisor, const float* x, float* y) {
  await_previous();
  x += blockIdx.x * reduced;
  double value = Kind::start();
  for (std::size_t r = threadIdx.x; r < reduced; r += blockDim.x) Kind::add(&value, x[r], 0);
  value = join_block<Kind>(value);
  if (threadIdx.x == 0) y[blockIdx.x] = static_cast<float>(value / divisor);
}

struct Reduction {
  Columns columns;
  double factor = 1;         // of sums, and to a mean
  const float* x = nullptr;  // [outer, rows, inner]
  float* y = nullptr;
};

template <int width>
__device__ void load(const float* from, float* to) {
  if constexpr (width == 4) {
    const float4 v = *reinterpret_cast<const float4*>(from);
    to[0] = v.x, to[1] = v.y, to[2] = v.z, to[3] = v.w;
  } else {
    to[0] = *from;
  }
}

template <class Kind>
__device__ void finish(const Reduction& d, std::size_t o, std::size_t column, const double* v) {
  const Columns& a = d.columns;
  if constexpr (Kind::values == 2) {
    const double mean = v[0] * d.factor, variance = v[1] * d.factor - mean * mean;
    d.y[column] = static_cast<float>(static_cast<double>(d.x[column]) + mean);
    d.y[a.inner + column] = static_cast<float>(variance < 0 ? 0 : variance);
  } else {
    d.y[o * a.inner + column] = static_cast<float>(v[0] * d.factor);
  }
}

// True for the block that has joined the parts of its tile.
template <class Kind, int width>
__device__ bool reduce_columns(const Reduction& d) {
  constexpr int values = Kind::values;
  auto* shared = reinterpret_cast<double*>(block_memory());
  const Columns& a = d.columns;
  const int lane = static_cast<int>(threadIdx.x) & (a.lanes() - 1),
            turn = static_cast<int>(threadIdx.x) >> a.log_lanes;
  const std::size_t column =
      static_cast<std::size_t>(blockIdx.x % a.tiles) * static_cast<std::size_t>(a.lanes() * width) +
      static_cast<std::size_t>(lane * width);
  const std::size_t first = blockIdx.y * a.rows_each, last = min(a.rows, first + a.rows_each);
  const float* x = d.x + blockIdx.x / a.tiles * a.rows * a.inner + column;
  double v[width][values];
#pragma unroll
  for (int w = 0; w < width; ++w) {
#pragma unroll
    for (int k = 0; k < values; ++k) v[w][k] = Kind::start();
  }
  if (column < a.inner) {
    float shift[width] = {};
    if constexpr (values == 2) load<width>(d.x + column, shift);
    std::size_t r = first + static_cast<std::size_t>(turn);
    constexpr int ahead = 8;  // rows on their way at the same time
    const auto step = static_cast<std::size_t>(threads >> a.log_lanes);
    for (; r + (ahead - 1) * step < last; r += ahead * step) {
      float e[ahead][width];
#pragma unroll
      for (int k = 0; k < ahead; ++k)
        load<width>(x + (r + static_cast<std::size_t>(k) * step) * a.inner, e[k]);
#pragma unroll
      for (int k = 0; k < ahead; ++k) {
#pragma unroll
        for (int w = 0; w < width; ++w) Kind::add(v[w], e[k][w], shift[w]);
      }
    }
    for (; r < last; r += step) {
      float e[width];
      load<width>(x + r * a.inner, e);
#pragma unroll
      for (int w = 0; w < width; ++w) Kind::add(v[w], e[w], shift[w]);
    }
  }
  let_next_begin();
  return join_columns<Kind>(
      a, v, shared, [&](std::size_t o, std::size_t c, const double* sums) { finish<Kind>(d, o, c, sums); });
}

template <class Kind, int width>
__global__ void __launch_bounds__(threads) columns_kernel(const Reduction d) {
  await_previous();
  reduce_columns<Kind, width>(d);
}

// The same, and then, by the block that is done last of all, what waits for all tiles.
template <class Kind, int width>
__global__ void __launch_bounds__(threads) columns_and_list_kernel(const Reduction d, const SmallList* list) {
  const EarlyList then(list);
  await_previous();
  if (reduce_columns<Kind, width>(d) && is_last_tile(d.columns)) run_list(then, block_memory());
}

template <class Kind>
void columns(const char* name, std::size_t outer, std::size_t rows, std::size_t inner, double divisor,
             const float* x, float* y) {
  const bool fours = inner % 4 == 0 && is_aligned(x);
  const auto cut = cut_columns(outer, rows, inner, fours ? 4 : 1, threads, Kind::values, 8, 128);
  const Reduction d{cut.columns, 1 / divisor, x, y};
  const std::size_t bytes = join_bytes(cut.columns, Kind::values, fours ? 4 : 1, threads);
  const auto launch = [=](cudaStream_t to, const SmallList* then) {
    Reduction now = d;
    now.columns.partials = static_cast<double*>(partials());
    now.columns.counters = counters();
    if (!then) {
      launch_on(to, name, cut.grid, threads, bytes, fours ? columns_kernel<Kind, 4> : columns_kernel<Kind, 1>,
                now);
    } else {
      launch_on(to, name, cut.grid, threads, std::max(bytes, list_floats * sizeof(float)),
                fours ? columns_and_list_kernel<Kind, 4> : columns_and_list_kernel<Kind, 1>, now, then);
    }
  };
  add_reduction({x, outer * rows * inner}, {y, outer * inner * Kind::values}, launch);
}

template <class Kind>
void reduce(const ReduceDims& d, const float* x, float* y) {
  if (d.outer * d.inner == 0) return;
  if (d.inner == 1) {
    const unsigned size = d.reduced > 64 ? 256 : 32;
    launch("reduce", static_cast<unsigned>(d.outer), size, 0, rows_kernel<Kind>, d.reduced, d.divisor, x, y);
  } else {
    columns<Kind>("reduce", d.outer, d.reduced, d.inner, d.divisor, x, y);
  }
}

void reduce(const ReduceDims& d, const float* x, float* y) {
  d.kind == Reduce::sum ? reduce<Sum>(d, x, y) : reduce<Max>(d, x, y);
}

void moments(const MomentsDims& d, const float* x, float* m) {
  if (add_moments_of_conv2d(d, x, m)) return;
  columns<Moments>("moments", 1, d.rows, d.channels, static_cast<double>(d.rows), x, m);
}

}  // namespace

void add_reductions(Backend& row) {
  row.reduce = {reduce};
  row.moments = {moments};
}

}  // namespace autodiff::kernels::cuda
