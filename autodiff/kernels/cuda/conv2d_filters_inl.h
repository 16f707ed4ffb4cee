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

// How the work is cut, by sizes alone: the same sums on every device. Every tile of dw is formed by `parts`
// blocks. Their sums are added in groups of `fan`, and then the groups': one block, which adds what hundreds
// of others have, would take longer than all of them.
struct FilterWork {
  int rows = 0, rows_each = 0;  // of all strips, and of a warp
  int parts = 1, fan = 1, groups = 1;
};

inline FilterWork filter_work(const Conv2dDims& d, int tiles) {
  constexpr int most_blocks = 128, least_rows = 4, most_at_once = 12;
  FilterWork work{.rows = d.n * (d.ow / strip) * d.oh};
  const int parts = std::clamp(work.rows / (filter_warps * least_rows), 1, std::max(1, most_blocks / tiles));
  work.rows_each = std::max(1, (work.rows + parts * filter_warps - 1) / (parts * filter_warps));
  work.parts = std::max(1, (work.rows + work.rows_each * filter_warps - 1) / (work.rows_each * filter_warps));
  work.fan = work.parts;
  if (work.parts > most_at_once) {
    for (work.fan = 1; work.fan * work.fan < work.parts;) ++work.fan;
  }
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

// Whether this block is the last of `count` that say so; the others' sums can then be read.
__device__ inline bool is_last(unsigned* counter, int count) {
  __shared__ bool last;
  __syncthreads();
  if (threadIdx.x == 0) {
    __threadfence();
    last = atomicAdd(counter, 1u) + 1 == static_cast<unsigned>(count);
    if (last) *counter = 0;
    __threadfence();
  }
  __syncthreads();
  return last;
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
  if (warp >= half) {
#pragma unroll
    for (int q = 0; q < quads; ++q) of_warp[q * 32] = {mine[q][0], mine[q][1], mine[q][2], mine[q][3]};
  }
  __syncthreads();
  if (warp < half) {
#pragma unroll
    for (int q = 0; q < quads; ++q)
      of_warp[q * 32] = add(of_warp[q * 32], {mine[q][0], mine[q][1], mine[q][2], mine[q][3]});
  }
  __syncthreads();

  float4 v[each];
  const auto all = [&](const auto& f) {
#pragma unroll
    for (int k = 0; k < each; ++k) {
      const int i = tid + k * filter_threads;
      if (size % filter_threads == 0 || i < size) f(k, i);
    }
  };
  all([&](int k, int i) {
    v[k] = add(add(sums[i], sums[size + i]), add(sums[2 * size + i], sums[3 * size + i]));
  });
  // v = the sum of `count` others: every fourth, then those four.
  const auto add_up = [&](const float4* from, int count) {
    float4 some[each][4] = {};
    int p = 0;
    for (; p + 4 <= count; p += 4) {
#pragma unroll
      for (int s = 0; s < 4; ++s)
        all([&](int k, int i) { some[k][s] = add(some[k][s], __ldcg(from + (p + s) * size + i)); });
    }
#pragma unroll
    for (int s = 0; s < 3; ++s) {
      if (p + s < count)
        all([&](int k, int i) { some[k][s] = add(some[k][s], __ldcg(from + (p + s) * size + i)); });
    }
    all([&](int k, int) { v[k] = add(add(some[k][0], some[k][1]), add(some[k][2], some[k][3])); });
  };
  const int tile = static_cast<int>(blockIdx.y), part = static_cast<int>(blockIdx.x), group = part / work.fan;
  const int members = min(work.fan, work.parts - group * work.fan);
  partial += static_cast<std::size_t>(tile) * static_cast<std::size_t>((work.parts + work.groups) * size);
  counters += tile * (work.groups + 1);
  if (work.parts > 1) {
    all([&](int k, int i) { partial[part * size + i] = v[k]; });
    if (!is_last(counters + group, members)) return;
    add_up(partial + group * work.fan * size, members);
    if (work.groups > 1) {
      float4* of_groups = partial + work.parts * size;
      all([&](int k, int i) { of_groups[group * size + i] = v[k]; });
      if (!is_last(counters + work.groups, work.groups)) return;
      add_up(of_groups, work.groups);
    }
  }
  all([&](int k, int i) { write(v[k], i / 32, i % 32); });
}
#endif

}  // namespace autodiff::kernels::cuda
