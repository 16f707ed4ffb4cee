// What the kernels of filter gradients by tensor cores share: how pixels are dealt to warps, how sums of
// warps and blocks are added.
//
// The result is cut into strips, eight pixels wide and as high as an image: eight pixels beside each other
// are what the cores add up in one step. All rows of all strips stand in one line, of which every warp walks
// down a piece. It has shared memory of its own for the next `stages` rows, and waits for nobody but itself.
// With g = lane / 4 and t = lane % 4 a lane has the pixels 2t and 2t + 1 of a row, and of 16 channels 2g and
// 2g + 1.
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

// Shared memory of a block: for the rows on their way, then for the sums of half its warps.
constexpr std::size_t filter_memory(int stages, int stage_floats, int quads) {
  return std::max(static_cast<std::size_t>(filter_warps * stages * stage_floats) * sizeof(float),
                  static_cast<std::size_t>(filter_warps / 2 * quads * 32) * sizeof(float4));
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

/// Floats between the blocks, for `tiles` tiles of `size` floats.
inline std::size_t filter_partials(const FilterWork& work, int tiles, int size) {
  if (work.parts == 1) return 0;
  return static_cast<std::size_t>(work.parts + work.groups) * static_cast<std::size_t>(tiles) *
         static_cast<std::size_t>(size);
}

#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800
__device__ inline float2 load2(const float* p) { return *reinterpret_cast<const float2*>(p); }

// Waits until no more than the last `n` groups of copies are on their way. (__pipeline_wait_prior() takes
// more than 8 for 8.)
template <int n>
__device__ void wait_prior() {
#if EV3_CUDA_EMULATED
  __pipeline_wait_prior(n);
#else
  asm volatile("cp.async.wait_group %0;" ::"n"(n) : "memory");
#endif
}

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
  __device__ bool is_at_start(int lead) const { return row == first - lead; }
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
