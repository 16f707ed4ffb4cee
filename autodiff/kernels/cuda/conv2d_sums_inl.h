// Sums over the pixels of a convolution's result, formed by the kernel that writes it, so that nobody reads
// it again for them: its moments, or what the gradient of a batch norm begins with. Every thread adds what it
// writes; then the lanes and warps of a block are added, and the block that is done last adds what all blocks
// have, in a fixed order: the same bits every time. That one also does the list that waits for the sums.
#pragma once

#include <optional>

#include "autodiff/kernels/cuda/conv2d_inl.h"

namespace autodiff::kernels::cuda {

/// Block (x, y, z) has part x + z gridDim.x of the pixels, and the filters of tile y. Where there are many
/// parts, 2^log_fan of a tile are added first, and then the groups of all tiles.
struct BlockSums {
  int filters = 0, parts = 0, groups = 1, log_fan = 0;
  int log_tile = 0, log_filters = 0;  ///< 2^... threads for the filters of a tile, and for all of them
  double2* partials = nullptr;        ///< [part, and then group][filter]
  unsigned* counters = nullptr;
  const SmallList* list = nullptr;  ///< to be done after that

  /// The same for a launch.
  BlockSums before(const SmallList* then) const {
    BlockSums now = *this;
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
inline constexpr int sums_at_once = 16;

/// For blocks of 2^log_threads, with 2^log_tile filters each; nothing where there are too many for the memory
/// between blocks.
inline std::optional<BlockSums> block_sums(const Conv2dDims& d, dim3 grid, int log_threads, int log_tile) {
  BlockSums q{.filters = d.out, .log_tile = log_tile};
  const std::size_t filters = static_cast<std::size_t>(d.out), parts = std::size_t{grid.x} * grid.z;
  while (q.log_filters < log_threads && 1 << q.log_filters < d.out) ++q.log_filters;
  // One block adds all where each of its threads then has few numbers.
  std::size_t groups = 1;
  q.log_fan = log_threads - log_tile;
  for (int k = sums_at_once; k > 1; k /= 2) ++q.log_fan;
  if (parts * filters > std::size_t{2 * sums_at_once} << log_threads)
    groups = (parts + (std::size_t{1} << q.log_fan) - 1) >> q.log_fan;
  if (groups * grid.y > most_counters || (parts + groups) * filters * sizeof(double2) > most_partial_bytes)
    return std::nullopt;
  q.parts = static_cast<int>(parts), q.groups = static_cast<int>(groups);
  return q;
}

/// From sums over pixels to means.
inline double factor_of(const Conv2dDims& d) {
  return 1 / static_cast<double>(d.y_size() / static_cast<std::size_t>(d.out));
}

/// Bytes of shared memory that join_sums wants.
inline std::size_t sums_bytes(const BlockSums& q, int threads) {
  return static_cast<std::size_t>(std::max(threads, q.filters)) * sizeof(double2);
}

/// Two sums of each of a thread's four neighbouring filters.
struct FilterSums {
  double v[8] = {};  ///< of filter k at 2k and 2k + 1

  __device__ void add(int k, double first, double second) {
    v[2 * k] += first;
    v[2 * k + 1] += second;
  }
};

__device__ inline double2 joined(const double2& a, const double2& b) { return {a.x + b.x, a.y + b.y}; }

/// Adds what all threads have, of lane l from filter 4 (l % 4) on of the 16 that its warp has. Those of a
/// tile's first 16 filters have slots 0, 1, ... 2^log_slots - 1, of the next 16 the slots after these. All
/// threads of all blocks call it; those of the block that is done last get true, after write(filter, sums).
template <class Write>
__device__ bool join_sums(const BlockSums& q, FilterSums& mine, double2* shared, int first_filter, int slot,
                          int log_slots, const Write& write) {
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
      for (int row = turn; row < rows; row += sums_at_once * turns) {
        double2 some[sums_at_once];
#pragma unroll
        for (int k = 0; k < sums_at_once; ++k) {
          const int at = row + k * turns;
          some[k] = at < rows ? __ldcg(from + at * q.filters + c) : double2{};
        }
#pragma unroll
        for (int k = 0; k < sums_at_once; ++k) sum = joined(sum, some[k]);
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
      write(c, sum);
    }
    if (is_last) break;
  }
  sync_block();
  return true;
}

/// What a kernel does with its result y: writes it and forms the moments m [2, filters], mean and variance.
/// Sums are of y and of y * y, without the shift that moments on their own have (reduce.cu): no element is
/// known to all blocks before they write. The variance s1 / n - mean^2 then has an error of some 2^-50
/// mean^2, since all is formed in double, where squares of float32 are exact: below the rounding of the
/// result to float32 up to means of some thousand standard deviations.
struct MomentsEnding {
  BlockSums join;
  double factor = 1;  ///< from sums to means
  float *y = nullptr, *m = nullptr;

  /// Of a thread: what it reads beside an element of y, and what it does with both.
  struct Others {};
  class Thread {
   public:
    __device__ Thread(const MomentsEnding& e, int) : e_(e) {}
    __device__ Others others(long long) const { return {}; }
    __device__ void write(long long at, const float4& c, const Others&, FilterSums& sums) const {
      *reinterpret_cast<float4*>(e_.y + at) = c;
      const float v[] = {c.x, c.y, c.z, c.w};
#pragma unroll
      for (int k = 0; k < 4; ++k) {
        const auto x = static_cast<double>(v[k]);
        sums.add(k, x, x * x);
      }
    }

   private:
    const MomentsEnding& e_;
  };
  __device__ void finish(int filter, const double2& sums) const {
    const double mean = sums.x * factor, variance = sums.y * factor - mean * mean;
    m[filter] = static_cast<float>(mean);
    m[join.filters + filter] = static_cast<float>(variance < 0 ? 0 : variance);
  }
};

/// Or it does not write it, but the gradient of a batch norm (epilogue.h).
struct NormGradientEnding {
  BlockSums join;
  NormGradient n;

  struct Others {
    float4 other, relu, x;
  };
  class Thread {
   public:
    __device__ Thread(const NormGradientEnding& e, int filter) : n_(e.n), mean_(load(e.n.mean + filter)) {}
    __device__ Others others(long long at) const {
      return {n_.other ? load(n_.other + at) : float4{}, load(n_.relu + at), load(n_.x + at)};
    }
    __device__ void write(long long at, float4 c, const Others& o, FilterSums& sums) const {
      if (n_.other) c = {c.x + o.other.x, c.y + o.other.y, c.z + o.other.z, c.w + o.other.w};
      const float4 g{masked(o.relu.x, c.x), masked(o.relu.y, c.y), masked(o.relu.z, c.z),
                     masked(o.relu.w, c.w)};
      *reinterpret_cast<float4*>(n_.g + at) = g;
      add(sums, 0, g.x, o.x.x, mean_.x);
      add(sums, 1, g.y, o.x.y, mean_.y);
      add(sums, 2, g.z, o.x.z, mean_.z);
      add(sums, 3, g.w, o.x.w, mean_.w);
    }

   private:
    __device__ static float4 load(const float* p) { return *reinterpret_cast<const float4*>(p); }
    __device__ static float masked(float relu, float g) {
      return binary_reference(Binary::relu_grad, relu, g);
    }
    __device__ static void add(FilterSums& sums, int k, float g, float x, float mean) {
      sums.add(k, static_cast<double>(g), static_cast<double>((x - mean) * g));
    }
    const NormGradient& n_;
    float4 mean_;
  };
  __device__ void finish(int filter, const double2& sums) const {
    n.sums[0][filter] = static_cast<float>(sums.x * n.factors[0]);
    n.sums[1][filter] = static_cast<float>(sums.y * n.factors[1]);
  }
};

}  // namespace autodiff::kernels::cuda
