// Sums over rows, a few columns for each thread: how arrays [outer, rows, inner] are cut among blocks, and
// how what the threads have is put together. All is cut by the sizes alone, formed in double, and the parts
// of different blocks are added in a fixed order, by whichever block is done last: the same bits every time.
#pragma once

#include <algorithm>

#include "autodiff/kernels/cuda/cuda.h"

namespace autodiff::kernels::cuda {

/// Block x has the columns of tile x % tiles of outer index x / tiles; block y has rows_each rows of them.
struct Columns {
  unsigned tiles = 1;
  int log_lanes = 2;  ///< of the threads for the columns of a tile, 4 to 32; the others take other rows
  std::size_t rows = 0, inner = 0, rows_each = 0;
  double* partials = nullptr;  ///< [tile and outer][part][value][column of the tile]
  unsigned* counters = nullptr;

  __host__ __device__ int lanes() const { return 1 << log_lanes; }
};

struct CutColumns {
  Columns columns;
  dim3 grid;
};

/// For `values` sums of each column, by blocks of `threads` with `width` columns for each thread. A thread
/// has `least` rows at least, and a column is cut into `most` parts at the most.
inline CutColumns cut_columns(std::size_t outer, std::size_t rows, std::size_t inner, std::size_t width,
                              unsigned threads, std::size_t values, std::size_t least, std::size_t most) {
  const std::size_t wanted = (inner + width - 1) / width;
  Columns a{.rows = rows, .inner = inner};
  a.log_lanes = wanted > 16 ? 5 : wanted > 8 ? 4 : wanted > 4 ? 3 : 2;
  const std::size_t tile = static_cast<std::size_t>(a.lanes()) * width;
  a.tiles = static_cast<unsigned>((inner + tile - 1) / tile);
  const std::size_t all = outer * a.tiles, turns = threads >> a.log_lanes;
  std::size_t parts = std::min(rows / (least * turns), most / std::min(all, most));
  if (values > 0) {
    if (all > most_counters) parts = 1;
    parts = std::min(parts, most_partial_bytes / (all * tile * values * sizeof(double)));
  }
  parts = std::max<std::size_t>(1, parts);
  a.rows_each = (rows + parts - 1) / parts;
  return {a, dim3(static_cast<unsigned>(all), static_cast<unsigned>(parts))};
}

/// Bytes of shared memory that join_columns wants, with `values` sums of `width` columns from every thread.
inline std::size_t join_bytes(const Columns& a, int values, int width, unsigned threads) {
  const auto of_warps = static_cast<std::size_t>(values * width * a.lanes()) * (threads / 32);
  return std::max<std::size_t>(of_warps, threads) * sizeof(double);
}

/// Numbers first, first + step, ... below `count`, joined in this order, `together` of them on their way at
/// a time.
template <class Kind, int together, class Read>
__device__ double join_up(int first, int count, int step, const Read& read) {
  double sum = Kind::start();
#pragma unroll 1
  for (int at = first; at < count; at += together * step) {
    double some[together];
#pragma unroll
    for (int k = 0; k < together; ++k) some[k] = at + k * step < count ? read(at + k * step) : Kind::start();
#pragma unroll
    for (int k = 0; k < together; ++k) sum = Kind::join(sum, some[k]);
  }
  return sum;
}

/// Joins what the threads of all parts have: v[column of the thread][value]. The block that is done last of
/// those of a tile calls finish(outer, column, values) for each column, and gets true. Most of it is run once
/// by one block, and takes as long as its instructions take to come from memory: few of them, no divisions.
template <class Kind, int values, int width, class Finish>
__device__ bool join_columns(const Columns& a, double (&v)[width][values], double* shared,
                             const Finish& finish) {
  constexpr int log_width = width == 4 ? 2 : 0;
  static_assert(width == 1 << log_width);
  const int tid = static_cast<int>(threadIdx.x), threads = static_cast<int>(blockDim.x), warp = tid >> 5,
            warps = threads >> 5, lane = tid & (a.lanes() - 1), log_tile = a.log_lanes + log_width,
            tile = 1 << log_tile, results = values * tile;
#pragma unroll 1
  for (int s = 16; s >= a.lanes(); s >>= 1) {
#pragma unroll
    for (int w = 0; w < width; ++w) {
#pragma unroll
      for (int k = 0; k < values; ++k)
        v[w][k] = Kind::join(v[w][k], __shfl_down_sync(~0u, v[w][k], static_cast<unsigned>(s)));
    }
  }
  // [value][warp][column of the tile]
  if ((tid & 31) < a.lanes()) {
#pragma unroll
    for (int k = 0; k < values; ++k) {
#pragma unroll
      for (int w = 0; w < width; ++w) shared[((k * warps + warp) << log_tile) + lane * width + w] = v[w][k];
    }
  }
  sync_block();
  const int parts = static_cast<int>(gridDim.y);
  int sums = warps, next_sum = tile,
      next_value = warps << log_tile;  // what is left to be joined, in `shared`
  if (parts > 1) {
    double* partial =
        a.partials + static_cast<std::size_t>(blockIdx.x) * static_cast<std::size_t>(parts * results);
#pragma unroll 1
    for (int i = tid; i < results; i += threads) {
      const int k = i >> log_tile, c = i & (tile - 1);
      partial[static_cast<int>(blockIdx.y) * results + i] =
          join_up<Kind, 4>(0, warps, 1, [&](int t) { return shared[((k * warps + t) << log_tile) + c]; });
    }
    if (!is_last_block(a.counters + blockIdx.x, gridDim.y)) return false;
    // Each thread adds every so-manieth part of one result.
    const int turns = max(1, (threads >> log_tile) / values);
#pragma unroll 1
    for (int i = tid; i < results * turns; i += threads) {
      const int turn = (i >> log_tile) / values;
      shared[i] = join_up<Kind, 8>(turn, parts, turns,
                                   [&](int p) { return __ldcg(partial + (p - turn) * results + i); });
    }
    sums = turns, next_sum = results, next_value = tile;
    sync_block();
  }
  const unsigned outer = a.tiles == 1 ? blockIdx.x : blockIdx.x / a.tiles;
  const std::size_t first = static_cast<std::size_t>(blockIdx.x - outer * a.tiles) << log_tile;
#pragma unroll 1
  for (int c = tid; c < tile; c += threads) {
    double result[values];
#pragma unroll
    for (int k = 0; k < values; ++k)
      result[k] =
          join_up<Kind, 4>(0, sums, 1, [&](int t) { return shared[t * next_sum + k * next_value + c]; });
    const std::size_t column = first + static_cast<std::size_t>(c);
    if (column < a.inner) finish(outer, column, result);
  }
  return true;
}

/// Of blocks for which join_columns gave true, whether this is the last of all.
__device__ inline bool is_last_tile(const Columns& a) {
  if (gridDim.x > 1) return is_last_block(a.counters + most_counters, gridDim.x);
  sync_block();
  return true;
}

}  // namespace autodiff::kernels::cuda
