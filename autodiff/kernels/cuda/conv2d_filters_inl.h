// What the kernels of filter gradients by tensor cores share: how pixels are dealt to warps, how sums of
// warps and blocks are added.
//
// The result is cut into strips, eight pixels wide and as high as an image: eight pixels beside each other
// are what the cores add up in one step. All rows of all strips stand in one line, of which every warp walks
// down a piece, some rows at a time. It has shared memory of its own for these and for those after them,
// which are on their way meanwhile, and waits for nobody but itself. With g = lane / 4 and t = lane % 4 a
// lane has the pixels 2t and 2t + 1 of a row, and of 16 channels 2g and 2g + 1.
#pragma once

#include <algorithm>

#include "autodiff/kernels/cuda/tensor_inl.h"

namespace autodiff::kernels::cuda {

constexpr int strip = 8, filter_warps = 8, filter_threads = filter_warps * 32;
// From pixel to pixel in shared memory, for which the lanes of a warp meet different banks.
constexpr int pixel_width = 20;

// How the work is cut, by sizes alone: the same sums on every device. Every tile of dw is formed by `parts`
// blocks. Their sums are added in groups of `fan`, and then the groups': one block, which adds what hundreds
// of others have, would take longer than all of them.
struct FilterWork {
  int rows = 0, rows_each = 0;  // of all strips, and of a warp
  int parts = 1, fan = 1, groups = 1;
  int rows_at_once = 1;
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

/// The most that a block may ask for.
inline std::size_t most_shared() {
  static const std::size_t once = [] {
    int device = 0, most = 0;
    check(cudaGetDevice(&device), "cudaGetDevice");
    check(cudaDeviceGetAttribute(&most, cudaDevAttrMaxSharedMemoryPerBlockOptin, device), "shared memory");
    return static_cast<std::size_t>(most);
  }();
  return once;
}

constexpr int most_rows = 8,
              copy_groups = 4;  // of the rows at once: how many, and in how many groups they come

// Shared memory of a block: for rows, `floats(n)` for n of them, now and next, then for the sums of half its
// warps.
template <class Floats>
std::size_t filter_memory(int rows, int quads, const Floats& floats) {
  return std::max(static_cast<std::size_t>(2 * filter_warps * floats(rows)) * sizeof(float),
                  static_cast<std::size_t>(filter_warps / 2 * quads * 32) * sizeof(float4));
}

/// Lets a warp have as many rows at once as there is room for, and none of its turns a lot fewer.
template <class Floats>
std::size_t set_rows_at_once(FilterWork& work, int oh, int quads, const Floats& floats) {
  constexpr std::size_t others = 1 << 10;
  const int rows = std::max(1, std::min(oh, work.rows_each));
  int most = std::min(most_rows, rows);
  while (most > 1 && filter_memory(most, quads, floats) + others > most_shared()) --most;
  const int turns = (rows + most - 1) / most;
  work.rows_at_once = (rows + turns - 1) / turns;
  return filter_memory(work.rows_at_once, quads, floats);
}

/// Allows a kernel all the memory that set_rows_at_once() may ask for: another thread may have recorded a
/// launch that needs more than this one.
template <class Kernel>
void allow_rows(Kernel* kernel) {
  check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                             static_cast<int>(most_shared() - (1 << 10))),
        "shared memory");
}

/// Floats between the blocks, for `tiles` tiles of `size` floats.
inline std::size_t filter_partials(const FilterWork& work, int tiles, int size) {
  if (work.parts == 1) return 0;
  return static_cast<std::size_t>(work.parts + work.groups) * static_cast<std::size_t>(tiles) *
         static_cast<std::size_t>(size);
}

#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800
__device__ inline float2 load2(const float* p) { return *reinterpret_cast<const float2*>(p); }

// A walk down a warp's piece, some rows at a time, that lie in one strip. The same in all lanes.
struct Walk {
  int n, j, row, left;  // the next rows: image, first column, first row; and how many there are

  __device__ Walk(const Conv2dDims& d, const FilterWork& work, int warp) {
    const int begin = min(work.rows, warp * work.rows_each), at = begin / d.oh, across = d.ow / strip;
    left = min(work.rows, begin + work.rows_each) - begin;
    row = begin - at * d.oh;
    n = at / across;
    j = (at - n * across) * strip;
  }
  __device__ int count(const Conv2dDims& d, int at_once) const { return min(min(at_once, left), d.oh - row); }
  __device__ void go_on(const Conv2dDims& d, int rows) {
    left -= rows;
    row += rows;
    if (row == d.oh) {
      row = 0, j += strip;
      if (j == d.ow) j = 0, ++n;
    }
  }
};

// Rows come in copy_groups groups, those of the next turn too: waits for group `k` of this turn's.
__device__ inline void wait_for_group(int k) {
  static_assert(copy_groups == 4);
  if (k == 0) __pipeline_wait_prior(7);
  if (k == 1) __pipeline_wait_prior(6);
  if (k == 2) __pipeline_wait_prior(5);
  if (k == 3) __pipeline_wait_prior(4);
  __syncwarp();
}

__device__ inline float4 add(const float4& a, const float4& b) {
  return {a.x + b.x, a.y + b.y, a.z + b.z, a.w + b.w};
}

// Counts, and says how many had counted before; what the block wrote before a barrier can be read by who
// counts later.
__device__ inline unsigned count(unsigned* counter) {
#if EV3_CUDA_EMULATED
  return atomicAdd(counter, 1u);
#else
  unsigned before;
  asm volatile("atom.acq_rel.gpu.global.add.u32 %0, [%1], 1;" : "=r"(before) : "l"(counter) : "memory");
  return before;
#endif
}

// Whether this block is the last of `all` that say so; the others' sums can then be read.
__device__ inline bool is_last(unsigned* counter, int all) {
  __shared__ bool last;
  __syncthreads();
  if (threadIdx.x == 0) {
    last = count(counter) + 1 == static_cast<unsigned>(all);
    if (last) *counter = 0;
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
  float4* sums = reinterpret_cast<float4*>(block_memory());
  const int tid = static_cast<int>(threadIdx.x), warp = tid / 32, lane = tid % 32;
  let_next_begin();
  __syncthreads();  // the memory had rows
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
  // First the parts of a group, then the groups.
  const int tile = static_cast<int>(blockIdx.y), group = static_cast<int>(blockIdx.x) / work.fan;
  float4* from =
      partial + static_cast<std::size_t>(tile) * static_cast<std::size_t>((work.parts + work.groups) * size);
  unsigned* counter = counters + tile * (work.groups + 1) + group;
  int mine_of = static_cast<int>(blockIdx.x), first = group * work.fan,
      members = min(work.fan, work.parts - first);
#pragma unroll 1
  for (int level = work.parts == 1 ? 2 : 0; level < 2; ++level) {
    if (level == 1) {
      if (work.groups == 1) break;
      from += work.parts * size;
      counter = counters + tile * (work.groups + 1) + work.groups;
      mine_of = group, first = 0, members = work.groups;
    }
    all([&](int k, int i) { from[mine_of * size + i] = v[k]; });
    if (!is_last(counter, members)) return;
    add_up(from + first * size, members);
  }
  all([&](int k, int i) { write(v[k], i / 32, i % 32); });
}
#endif

}  // namespace autodiff::kernels::cuda
