// The moments of a convolution's result y, mean and variance of each filter over all pixels, formed by the
// kernel that writes y, so that nobody reads it again for them. Every thread adds what it writes; then the
// lanes and warps of a block are added, and the block that is done last adds what all blocks have, in a fixed
// order: the same bits every time. That one also does the list that waits for the moments.
//
// Sums are of y and of y * y, without the shift that moments on their own have (reduce.cu): no element is
// known to all blocks before they write. The variance s1 / n - mean^2 then has an error of some 2^-50 mean^2,
// since all is formed in double, where squares of float32 are exact: below the rounding of the result to
// float32 up to means of some thousand standard deviations.
#pragma once

#include <optional>

#include "autodiff/kernels/cuda/conv2d_inl.h"

namespace autodiff::kernels::cuda {

/// Block (x, y, z) has part x + z gridDim.x of the pixels, and the filters of tile y. Where there are many
/// parts, 2^log_fan of a tile are added first, and then the groups of all tiles.
struct Conv2dMoments {
  int filters = 0, parts = 0, groups = 1, log_fan = 0;
  int log_tile = 0, log_filters = 0;  ///< 2^... threads for the filters of a tile, and for all of them
  double factor = 1;                  ///< from sums to means
  float* m = nullptr;                 ///< [2, filters]
  double2* partials = nullptr;        ///< [part, and then group][filter]
  unsigned* counters = nullptr;
  const SmallList* list = nullptr;  ///< to be done after that

  /// The same for a launch.
  Conv2dMoments to(float* moments, const SmallList* then) const {
    Conv2dMoments now = *this;
    now.m = moments;
    now.partials = static_cast<double2*>(cuda::partials());
    now.counters = cuda::counters();
    if (!then) {
      const SmallList none;
      then = static_cast<const SmallList*>(keep(&none, sizeof(none)));
    }
    now.list = then;
    return now;
  }
};

/// Numbers of each thread that are on their way together.
inline constexpr int moments_at_once = 16;

/// For blocks of 2^log_threads, with 2^log_tile filters each; nothing where there are too many for the memory
/// between blocks.
inline std::optional<Conv2dMoments> moments_of(const Conv2dDims& d, dim3 grid, int log_threads,
                                               int log_tile) {
  Conv2dMoments q{.filters = d.out, .log_tile = log_tile};
  const std::size_t filters = static_cast<std::size_t>(d.out), parts = std::size_t{grid.x} * grid.z;
  while (q.log_filters < log_threads && 1 << q.log_filters < d.out) ++q.log_filters;
  // One block adds all where each of its threads then has few numbers.
  std::size_t groups = 1;
  q.log_fan = log_threads - log_tile;
  for (int k = moments_at_once; k > 1; k /= 2) ++q.log_fan;
  if (parts * filters > std::size_t{2 * moments_at_once} << log_threads)
    groups = (parts + (std::size_t{1} << q.log_fan) - 1) >> q.log_fan;
  if (groups * grid.y > most_counters || (parts + groups) * filters * sizeof(double2) > most_partial_bytes)
    return std::nullopt;
  q.parts = static_cast<int>(parts), q.groups = static_cast<int>(groups);
  q.factor = 1 / static_cast<double>(d.y_size() / filters);
  return q;
}

/// Bytes of shared memory that join_moments wants.
inline std::size_t moments_bytes(const Conv2dMoments& q, int threads) {
  return static_cast<std::size_t>(std::max(threads, q.filters)) * sizeof(double2);
}

/// Sums of what a thread has of four neighbouring filters, and of the squares.
struct FourMoments {
  double v[8] = {};  ///< of filter k at 2k and 2k + 1

  __device__ void add(const float4& y) {
    add(0, y.x);
    add(1, y.y);
    add(2, y.z);
    add(3, y.w);
  }

 private:
  __device__ void add(int k, float y) {
    const auto x = static_cast<double>(y);
    v[2 * k] += x;
    v[2 * k + 1] = fma(x, x, v[2 * k + 1]);  // rounded once either way: the square is exact
  }
};

__device__ inline double2 joined(const double2& a, const double2& b) { return {a.x + b.x, a.y + b.y}; }

/// Adds what all threads have, of lane l from filter 4 (l % 4) on of the 16 that its warp has. Those of a
/// tile's first 16 filters have slots 0, 1, ... 2^log_slots - 1, of the next 16 the slots after these. All
/// threads of all blocks call it; those of the block that is done last get true, and m is written.
__device__ inline bool join_moments(const Conv2dMoments& q, FourMoments& mine, double2* shared,
                                    int first_filter, int slot, int log_slots) {
  const int tid = static_cast<int>(threadIdx.x), threads = static_cast<int>(blockDim.x), lane = tid % 32;
  // Of the eight numbers, lane 4g + t keeps number g, and gives those away that others keep.
  double(&v)[8] = mine.v;
#pragma unroll
  for (int half = 4; half > 0; half /= 2) {
    const bool upper = (lane & 4 * half) != 0;
#pragma unroll
    for (int k = 0; k < half; ++k) {
      const double kept = upper ? v[k + half] : v[k], given = upper ? v[k] : v[k + half];
      v[k] = kept + __shfl_xor_sync(~0u, given, 4 * half);
    }
  }
  reinterpret_cast<double*>(shared)[slot * 32 + lane % 4 * 8 + lane / 4] = v[0];
  sync_block();
  const int part = static_cast<int>(blockIdx.x + blockIdx.z * gridDim.x);
  if (tid < 1 << q.log_tile && first_filter + tid < q.filters) {
    const double2* from = shared + (tid / 16 << (log_slots + 4)) + tid % 16;
    double2 sum{};
#pragma unroll 1
    for (int k = 0; k < 1 << log_slots; ++k) sum = joined(sum, from[k * 16]);
    q.partials[part * q.filters + first_filter + tid] = sum;
  }
#pragma unroll 1
  for (bool is_last = q.groups == 1;; is_last = true) {
    // Rows of columns, to be added by the block that is done last of `blocks`.
    const double2* from = q.partials;
    double2* to = nullptr;
    unsigned *counter = q.counters + most_counters, blocks;
    int rows = q.parts, columns = q.filters, log_width = q.log_filters;
    if (is_last) {
      if (q.groups > 1) from += q.parts * q.filters, rows = q.groups;
      blocks = static_cast<unsigned>(rows) * gridDim.y;
    } else {
      const int group = part >> q.log_fan, first = group << q.log_fan;
      from += first * q.filters + first_filter;
      to = q.partials + (q.parts + group) * q.filters + first_filter;
      rows = min(rows - first, 1 << q.log_fan);
      columns = min(columns - first_filter, 1 << q.log_tile), log_width = q.log_tile;
      counter = q.counters + static_cast<int>(blockIdx.y) * q.groups + group;
      blocks = static_cast<unsigned>(rows);
    }
    if (!is_last_block(counter, blocks)) return false;
    // Each thread adds every so-manieth row.
    const int turn = tid >> log_width, turns = threads >> log_width;
#pragma unroll 1
    for (int c = tid & ((1 << log_width) - 1); c < columns; c += 1 << log_width) {
      double2 sum{};
#pragma unroll 1
      for (int row = turn; row < rows; row += moments_at_once * turns) {
        double2 some[moments_at_once];
#pragma unroll
        for (int k = 0; k < moments_at_once; ++k) {
          const int at = row + k * turns;
          some[k] = at < rows ? __ldcg(from + at * q.filters + c) : double2{};
        }
#pragma unroll
        for (int k = 0; k < moments_at_once; ++k) sum = joined(sum, some[k]);
      }
      shared[turn * columns + c] = sum;
    }
    sync_block();
#pragma unroll 1
    for (int c = tid; c < columns; c += threads) {
      double2 sum{};
#pragma unroll 4
      for (int k = 0; k < turns; ++k) sum = joined(sum, shared[k * columns + c]);
      if (!is_last) {
        to[c] = sum;
        continue;
      }
      const double mean = sum.x * q.factor, variance = sum.y * q.factor - mean * mean;
      q.m[c] = static_cast<float>(mean);
      q.m[q.filters + c] = static_cast<float>(variance > 0 ? variance : 0);
    }
    if (is_last) break;
  }
  sync_block();
  return true;
}

}  // namespace autodiff::kernels::cuda
