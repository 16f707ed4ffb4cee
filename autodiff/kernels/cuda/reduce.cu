// Sums, maxima and moments along axes. Every sum is cut into parts by its size alone, formed in double, and
// the parts are added in a fixed order, by whichever block is done last: the same bits every time.
#include <algorithm>

#include "autodiff/kernels/cuda/cuda.h"
#include "autodiff/kernels/cuda/small.h"

namespace autodiff::kernels::cuda {
namespace {

constexpr int threads = 256;

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
// where the mean is far from zero, since all is formed in double.
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
  __syncthreads();
  if (threadIdx.x == 0) {
    for (unsigned k = 1; k < blockDim.x / 32; ++k) value = Kind::join(value, lanes[k]);
  }
  return value;
}

// y[o] of x [outer, reduced]: a block each.
template <class Kind>
__global__ void rows_kernel(std::size_t reduced, double divisor, const float* x, float* y) {
  x += blockIdx.x * reduced;
  double value = Kind::start();
  for (std::size_t r = threadIdx.x; r < reduced; r += blockDim.x) Kind::add(&value, x[r], 0);
  value = join_block<Kind>(value);
  if (threadIdx.x == 0) y[blockIdx.x] = static_cast<float>(value / divisor);
}

// What columns_kernel is given: x [outer, reduced, inner], in tiles of `columns`, and parts of rows.
struct Columns {
  unsigned tiles = 1;
  int lanes = 1;  // threads for the columns of a tile, each with `width` of them; the others take other rows
  std::size_t reduced = 0, inner = 0, rows_each = 0;
  double divisor = 1;
  const float* x = nullptr;
  float* y = nullptr;
  double* partials = nullptr;  // [tile and outer][part][value][column of the tile]
  unsigned* counters = nullptr;
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
__device__ void finish(const Columns& a, std::size_t o, std::size_t column, const double* v) {
  if constexpr (Kind::values == 2) {
    const double n = static_cast<double>(a.reduced), mean = v[0] / n, variance = v[1] / n - mean * mean;
    a.y[column] = static_cast<float>(static_cast<double>(a.x[column]) + mean);
    a.y[a.inner + column] = static_cast<float>(variance > 0 ? variance : 0);
  } else {
    a.y[o * a.inner + column] = static_cast<float>(v[0] / a.divisor);
  }
}

// Part blockIdx.y of one tile. The block that is done last joins the parts: true in all its threads.
template <class Kind, int width>
__device__ bool reduce_columns(const Columns& a) {
  constexpr int values = Kind::values;
  __shared__ double shared[values * threads * width];
  __shared__ bool is_last;
  const int lane = static_cast<int>(threadIdx.x) % a.lanes, turn = static_cast<int>(threadIdx.x) / a.lanes,
            all_turns = threads / a.lanes, tile_columns = a.lanes * width;
  constexpr int turns = threads / 32;  // that are left when each warp has joined its own
  const std::size_t o = blockIdx.x / a.tiles;
  const std::size_t column =
      static_cast<std::size_t>(blockIdx.x % a.tiles) * static_cast<std::size_t>(tile_columns) +
      static_cast<std::size_t>(lane * width);
  const std::size_t first = blockIdx.y * a.rows_each, last = min(a.reduced, first + a.rows_each);
  const float* x = a.x + o * a.reduced * a.inner + column;
  double v[width][values];
  for (int w = 0; w < width; ++w) {
    for (int k = 0; k < values; ++k) v[w][k] = Kind::start();
  }
  if (column < a.inner) {
    float shift[width] = {};
    if constexpr (values == 2) load<width>(a.x + column, shift);
    std::size_t r = first + static_cast<std::size_t>(turn);
    constexpr int ahead = 8;  // rows on their way at the same time
    const auto step = static_cast<std::size_t>(all_turns);
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
  // [value][warp][column of the tile]
  const int warp = static_cast<int>(threadIdx.x) / 32;
#pragma unroll
  for (int k = 0; k < values; ++k) {
#pragma unroll
    for (int w = 0; w < width; ++w) {
      for (int s = 16; s >= a.lanes; s /= 2)
        v[w][k] = Kind::join(v[w][k], __shfl_down_sync(~0u, v[w][k], static_cast<unsigned>(s)));
      if (static_cast<int>(threadIdx.x) % 32 < a.lanes)
        shared[(k * turns + warp) * tile_columns + lane * width + w] = v[w][k];
    }
  }
  __syncthreads();
  // A thread for each value and column adds what the warps have.
  const int parts = static_cast<int>(gridDim.y), results = values * tile_columns;
  double* partial =
      a.partials + static_cast<std::size_t>(blockIdx.x) * static_cast<std::size_t>(parts * results);
  const std::size_t tile_first =
      static_cast<std::size_t>(blockIdx.x % a.tiles) * static_cast<std::size_t>(tile_columns);
  for (int i = static_cast<int>(threadIdx.x); i < results; i += threads) {
    const int k = i / tile_columns, c = i % tile_columns;
    double sum = shared[k * turns * tile_columns + c];
    for (int t = 1; t < turns; ++t) sum = Kind::join(sum, shared[(k * turns + t) * tile_columns + c]);
    if (parts > 1) {
      partial[static_cast<int>(blockIdx.y) * results + i] = sum;
    } else {
      shared[k * turns * tile_columns + c] = sum;
    }
  }
  if (parts > 1) {
    __threadfence();
    __syncthreads();
    if (threadIdx.x == 0) is_last = atomicAdd(a.counters + blockIdx.x, 1u) + 1 == gridDim.y;
    __syncthreads();
    if (!is_last) return false;
    __threadfence();
    if (threadIdx.x == 0) a.counters[blockIdx.x] = 0;
    // Again turn by turn: each adds every so-manieth part, then the turns' sums are added.
    const int join_turns = max(1, threads / results);
    for (int i = static_cast<int>(threadIdx.x); i < results * join_turns; i += threads) {
      const int result = i % results, t = i / results;
      double sum = Kind::start();
#pragma unroll 4
      for (int p = t; p < parts; p += join_turns)
        sum = Kind::join(sum, __ldcg(partial + p * results + result));
      shared[values * threads * width - 1 - i] = sum;
    }
    __syncthreads();
    double sums[values * width] = {};
    int mine = 0;
    for (int i = static_cast<int>(threadIdx.x); i < results; i += threads, ++mine) {
      sums[mine] = Kind::start();
      for (int t = 0; t < join_turns; ++t)
        sums[mine] = Kind::join(sums[mine], shared[values * threads * width - 1 - (t * results + i)]);
    }
    __syncthreads();
    mine = 0;
    for (int i = static_cast<int>(threadIdx.x); i < results; i += threads, ++mine) {
      shared[i / tile_columns * turns * tile_columns + i % tile_columns] = sums[mine];
    }
  }
  __syncthreads();
  for (int c = static_cast<int>(threadIdx.x); c < tile_columns; c += threads) {
    double result[values];
    for (int k = 0; k < values; ++k) result[k] = shared[k * turns * tile_columns + c];
    if (tile_first + static_cast<std::size_t>(c) < a.inner)
      finish<Kind>(a, o, tile_first + static_cast<std::size_t>(c), result);
  }
  return true;
}

template <class Kind, int width>
__global__ void __launch_bounds__(threads) columns_kernel(const Columns a) {
  reduce_columns<Kind, width>(a);
}

// The same, and then, by the block that is done last of all, what waits for all tiles.
template <class Kind, int width>
__global__ void __launch_bounds__(threads)
    columns_and_list_kernel(const Columns a, __grid_constant__ const SmallList then) {
  __shared__ bool is_last;
  __shared__ float room[SmallList::room];
  if (!reduce_columns<Kind, width>(a)) return;
  __threadfence();
  __syncthreads();
  if (gridDim.x > 1) {
    if (threadIdx.x == 0) is_last = atomicAdd(a.counters + most_counters, 1u) + 1 == gridDim.x;
    __syncthreads();
    if (!is_last) return;
    __threadfence();
    if (threadIdx.x == 0) a.counters[most_counters] = 0;
  }
  run_list(then, room);
}

template <class Kind>
void columns(const char* name, std::size_t outer, std::size_t reduced, std::size_t inner, double divisor,
             const float* x, float* y) {
  const bool fours = inner % 4 == 0 && is_aligned(x);
  const std::size_t width = fours ? 4 : 1, wanted_lanes = (inner + width - 1) / width;
  Columns a{.reduced = reduced, .inner = inner, .divisor = divisor, .x = x, .y = y};
  a.lanes = wanted_lanes >= 32 ? 32 : wanted_lanes > 8 ? 16 : wanted_lanes > 4 ? 8 : 4;
  const std::size_t tile_columns = static_cast<std::size_t>(a.lanes) * width;
  a.tiles = static_cast<unsigned>((inner + tile_columns - 1) / tile_columns);
  const std::size_t all = outer * a.tiles, turns = static_cast<std::size_t>(threads / a.lanes);
  // 16 rows for every thread at least, as many blocks as fill a device, and no more partial results than fit.
  std::size_t parts =
      std::max<std::size_t>(1, std::min(reduced / (16 * turns), 256 / std::min<std::size_t>(all, 256)));
  if (all > most_counters) parts = 1;
  parts = std::min(parts, std::max<std::size_t>(
                              1, most_partial_bytes / (all * tile_columns * Kind::values * sizeof(double))));
  a.rows_each = (reduced + parts - 1) / parts;
  const dim3 grid(static_cast<unsigned>(all), static_cast<unsigned>(parts));
  const auto launch = [=](cudaStream_t to, const SmallList& then) {
    Columns now = a;
    now.partials = static_cast<double*>(partials());
    now.counters = counters();
    if (then.calls == 0) {
      launch_on(to, name, grid, threads, 0, fours ? columns_kernel<Kind, 4> : columns_kernel<Kind, 1>, now);
    } else {
      launch_on(to, name, grid, threads, 0,
                fours ? columns_and_list_kernel<Kind, 4> : columns_and_list_kernel<Kind, 1>, now, then);
    }
  };
  add_reduction({x, outer * reduced * inner}, {y, outer * inner * Kind::values}, launch);
}

template <class Kind>
void reduce(const ReduceDims& d, const float* x, float* y) {
  if (d.outer * d.inner == 0) return;
  if (d.inner == 1) {
    const unsigned size = d.reduced > 64 ? threads : 32;
    launch("reduce", static_cast<unsigned>(d.outer), size, 0, rows_kernel<Kind>, d.reduced, d.divisor, x, y);
  } else {
    columns<Kind>("reduce", d.outer, d.reduced, d.inner, d.divisor, x, y);
  }
}

void reduce(const ReduceDims& d, const float* x, float* y) {
  d.kind == Reduce::sum ? reduce<Sum>(d, x, y) : reduce<Max>(d, x, y);
}

void moments(const MomentsDims& d, const float* x, float* m) {
  columns<Moments>("moments", 1, d.rows, d.channels, 1, x, m);
}

}  // namespace

void add_reductions(Backend& row) {
  row.reduce = {reduce};
  row.moments = {moments};
}

}  // namespace autodiff::kernels::cuda
