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
  int lanes = 1;  ///< threads for the columns of a tile, each with some of them; the others take other rows
  std::size_t rows = 0, inner = 0, rows_each = 0;
  double* partials = nullptr;  ///< [tile and outer][part][value][column of the tile]
  unsigned* counters = nullptr;
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
  a.lanes = wanted > 16 ? 32 : wanted > 8 ? 16 : wanted > 4 ? 8 : 4;
  const std::size_t tile = static_cast<std::size_t>(a.lanes) * width;
  a.tiles = static_cast<unsigned>((inner + tile - 1) / tile);
  const std::size_t all = outer * a.tiles, turns = threads / static_cast<unsigned>(a.lanes);
  std::size_t parts = std::min(rows / (least * turns), most / std::min(all, most));
  if (values > 0) {
    if (all > most_counters) parts = 1;
    parts = std::min(parts, most_partial_bytes / (all * tile * values * sizeof(double)));
  }
  parts = std::max<std::size_t>(1, parts);
  a.rows_each = (rows + parts - 1) / parts;
  return {a, dim3(static_cast<unsigned>(all), static_cast<unsigned>(parts))};
}

/// Doubles of shared memory that join_columns wants for what comes of warps or threads, for `results` sums of
/// a tile; and as many more for the tile's.
__host__ __device__ inline int join_room(int results, int threads) {
  const int warps = threads / 32;
  return results * warps > threads ? results * warps : threads;
}
inline std::size_t join_bytes(const Columns& a, int values, int width, unsigned threads) {
  const int results = values * width * a.lanes;
  return static_cast<std::size_t>(join_room(results, static_cast<int>(threads)) + results) * sizeof(double);
}

/// Joins what the threads of all parts have: v[column of the thread][value]. The block that is done last of
/// those of a tile calls finish(outer, column, values) for each column, and gets true.
template <class Kind, int values, int width, class Finish>
__device__ bool join_columns(const Columns& a, double (&v)[width][values], double* shared,
                             const Finish& finish) {
  const int tid = static_cast<int>(threadIdx.x), threads = static_cast<int>(blockDim.x), warp = tid / 32,
            warps = threads / 32, lane = tid % a.lanes, tile_columns = a.lanes * width,
            results = values * tile_columns;
  // [value][warp][column of the tile]
#pragma unroll
  for (int k = 0; k < values; ++k) {
#pragma unroll
    for (int w = 0; w < width; ++w) {
      for (int s = 16; s >= a.lanes; s /= 2)
        v[w][k] = Kind::join(v[w][k], __shfl_down_sync(~0u, v[w][k], static_cast<unsigned>(s)));
      if (tid % 32 < a.lanes) shared[(k * warps + warp) * tile_columns + lane * width + w] = v[w][k];
    }
  }
  sync_block();
  double* total = shared + join_room(results, threads);  // [value][column of the tile]
  const int parts = static_cast<int>(gridDim.y);
  double* partial =
      a.partials + static_cast<std::size_t>(blockIdx.x) * static_cast<std::size_t>(parts * results);
  for (int i = tid; i < results; i += threads) {
    const int k = i / tile_columns, c = i % tile_columns;
    double sum = shared[k * warps * tile_columns + c];
    for (int t = 1; t < warps; ++t) sum = Kind::join(sum, shared[(k * warps + t) * tile_columns + c]);
    (parts > 1 ? partial + static_cast<int>(blockIdx.y) * results : total)[i] = sum;
  }
  if (parts > 1) {
    if (!is_last_block(a.counters + blockIdx.x, gridDim.y)) return false;
    // Each thread adds every so-manieth part of one result, then the threads' sums are added.
    const int turns = max(1, threads / results);
    for (int i = tid; i < results * turns; i += threads) {
      double sum = Kind::start();
#pragma unroll 16
      for (int p = i / results; p < parts; p += turns)
        sum = Kind::join(sum, __ldcg(partial + p * results + i % results));
      shared[i] = sum;
    }
    sync_block();
    for (int i = tid; i < results; i += threads) {
      double sum = shared[i];
      for (int t = 1; t < turns; ++t) sum = Kind::join(sum, shared[t * results + i]);
      total[i] = sum;
    }
  }
  sync_block();
  const std::size_t first =
      static_cast<std::size_t>(blockIdx.x % a.tiles) * static_cast<std::size_t>(tile_columns);
  for (int c = tid; c < tile_columns; c += threads) {
    double result[values];
#pragma unroll
    for (int k = 0; k < values; ++k) result[k] = total[k * tile_columns + c];
    const std::size_t column = first + static_cast<std::size_t>(c);
    if (column < a.inner) finish(blockIdx.x / a.tiles, column, result);
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
