// What the kernels of filter gradients by tensor cores share: how pixels are dealt to warps, how sums of
// warps and blocks are added.
//
// The result is cut into strips, eight pixels wide and as high as an image: eight pixels beside each other
// are what the cores add up in one step. All rows of all strips stand in one line, of which every warp walks
// down a piece. A lane reads what it needs from memory itself, some rows ahead, without shared memory: with g
// = lane / 4 and t = lane % 4 it has the pixels 2t and 2t + 1 of a row, and of 16 channels 2g and 2g + 1.
#pragma once

#include <algorithm>

#include "autodiff/kernels/cuda/tensor_inl.h"

namespace autodiff::kernels::cuda {

constexpr int strip = 8, filter_warps = 8, filter_threads = filter_warps * 32;
constexpr int at_once = 8;  // parts on their way to the block that adds them

// How the work is cut, by sizes alone: the same sums on every device. Every tile of dw is formed by `parts`
// blocks. Their sums are added in groups of `fan`, and then the groups': one block, which adds what hundreds
// of others have, would take longer than all of them.
struct FilterWork {
  int rows = 0, rows_each = 0;  // of all strips, and of a warp
  int parts = 1, fan = 1, groups = 1;
};

inline FilterWork filter_work(const Conv2dDims& d, int tiles) {
  constexpr int most_blocks = 128, least_rows = 4;
  FilterWork work{.rows = d.n * (d.ow / strip) * d.oh};
  const int parts = std::clamp(work.rows / (filter_warps * least_rows), 1, std::max(1, most_blocks / tiles));
  work.rows_each = std::max(1, (work.rows + parts * filter_warps - 1) / (parts * filter_warps));
  work.parts = std::max(1, (work.rows + work.rows_each * filter_warps - 1) / (work.rows_each * filter_warps));
  work.fan = work.parts > 2 * at_once ? at_once : work.parts;
  work.groups = (work.parts + work.fan - 1) / work.fan;
  return work;
}

/// Floats between the blocks, for `tiles` tiles of `size` floats.
inline std::size_t filter_partials(const FilterWork& work, int tiles, int size) {
  if (work.parts == 1) return 0;
  return static_cast<std::size_t>(work.parts + work.groups) * static_cast<std::size_t>(tiles) *
         static_cast<std::size_t>(size);
}

#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800
__device__ inline float2 load2(const float* p) { return *reinterpret_cast<const float2*>(p); }

// A walk down the rows of a warp's piece, strip by strip. Before the first row of a strip go `lead` steps
// that only load what lies above. The same in all lanes of a warp.
struct Walk {
  int left;                          // rows behind the strip
  int n, j;                          // the strip's image and first column
  int row = 0, first = 0, stop = 0;  // the step's row of the strip, of which first..stop belong to the piece
  int next_first;

  __device__ Walk(const Conv2dDims& d, const FilterWork& work, int warp) {
    const int begin = min(work.rows, warp * work.rows_each), at = begin / d.oh, across = d.ow / strip;
    left = min(work.rows, begin + work.rows_each) - begin;
    next_first = begin % d.oh;
    n = at / across;
    j = (at % across - 1) * strip;
  }
  __device__ int steps(int oh, int lead) const { return left + (next_first + left + oh - 1) / oh * lead; }
  __device__ bool is_at_end() const { return row == stop; }
  // Goes to the next strip; false where there is none.
  __device__ bool enter(const Conv2dDims& d, int lead) {
    if (left == 0) return false;
    j += strip;
    if (j == d.ow) j = 0, ++n;
    first = next_first;
    next_first = 0;
    stop = min(d.oh, first + left);
    left -= stop - first;
    row = first - lead;
    return true;
  }
};

__device__ inline float4 add(const float4& a, const float4& b) {
  return {a.x + b.x, a.y + b.y, a.z + b.z, a.w + b.w};
}

// The sum of all that the warps of all blocks of tile blockIdx.y have, quads * 4 floats in every lane: by the
// block that is done last, which calls `write` with each four of them, the index of their quad and their
// lane.
template <int quads, class Write>
__device__ void join_filters(const FilterWork& work, const float (*mine)[4], float4* partial,
                             unsigned* counters, const Write& write) {
  constexpr int size = quads * 32, half = filter_warps / 2,
                each = (size + filter_threads - 1) / filter_threads;
  __shared__ float4 sums[half * size];
  const int tid = static_cast<int>(threadIdx.x), warp = tid / 32, lane = tid % 32;
  float4* of_warp = sums + warp % half * size + lane;
  let_next_begin();
  if (warp >= half) {
#pragma unroll
    for (int q = 0; q < quads; ++q) of_warp[q * 32] = {mine[q][0], mine[q][1], mine[q][2], mine[q][3]};
  }
  sync_block();
  if (warp < half) {
#pragma unroll
    for (int q = 0; q < quads; ++q)
      of_warp[q * 32] = add(of_warp[q * 32], {mine[q][0], mine[q][1], mine[q][2], mine[q][3]});
  }
  sync_block();

  // A thread has every filter_threads-th four; `at` is behind its first.
  float4 v[each];
  const auto all = [&](const auto& f) {
#pragma unroll
    for (int k = 0; k < each; ++k) {
      const int at = k * filter_threads;
      if (size % filter_threads == 0 || tid + at < size) f(k, at);
    }
  };
  const float4* mine_of_all = sums + tid;
  all([&](int k, int at) {
    v[k] = add(add(mine_of_all[at], mine_of_all[size + at]),
               add(mine_of_all[2 * size + at], mine_of_all[3 * size + at]));
  });
  // v = the sum of `count` others: every second, then those two. Up to at_once are on their way together.
  const auto add_up = [&](const float4* from, int count) {
    float4 some[each][2] = {};
    const auto add_next = [&](auto n) {
      float4 next[n()][each];
#pragma unroll
      for (int s = 0; s < n(); ++s) all([&](int k, int at) { next[s][k] = __ldcg(from + (s * size + at)); });
#pragma unroll
      for (int s = 0; s < n(); ++s)
        all([&](int k, int) { some[k][s % 2] = add(some[k][s % 2], next[s][k]); });
      from += n() * size;
      count -= n();
    };
    while (count >= at_once) add_next(std::integral_constant<int, at_once>{});
    if (count >= 4) add_next(std::integral_constant<int, 4>{});
    if (count >= 2) add_next(std::integral_constant<int, 2>{});
    if (count >= 1) add_next(std::integral_constant<int, 1>{});
    all([&](int k, int) { v[k] = add(some[k][0], some[k][1]); });
  };
  // First the parts of a group, then the groups.
  const int tile = static_cast<int>(blockIdx.y), group = static_cast<int>(blockIdx.x) / work.fan;
  float4* parts = partial + (static_cast<std::size_t>(tile) *
                                 static_cast<std::size_t>((work.parts + work.groups) * size) +
                             threadIdx.x);
  unsigned* counter = counters + tile * (work.groups + 1) + group;
  int own = static_cast<int>(blockIdx.x), first = group * work.fan,
      members = min(work.fan, work.parts - first);
#pragma unroll 1
  for (int level = work.parts == 1 ? 2 : 0; level < 2; ++level) {
    if (level == 1) {
      if (work.groups == 1) break;
      parts += work.parts * size;
      counter = counters + tile * (work.groups + 1) + work.groups;
      own = group, first = 0, members = work.groups;
    }
    float4* to = parts + own * size;
    all([&](int k, int at) { to[at] = v[k]; });
    if (!is_last_block(counter, static_cast<unsigned>(members))) return;
    add_up(parts + first * size, members);
  }
  all([&](int k, int at) { write(v[k], (tid + at) / 32, lane); });
}
#endif

}  // namespace autodiff::kernels::cuda
