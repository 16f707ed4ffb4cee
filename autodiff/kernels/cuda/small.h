// Small calls wait until something else is called, and then go to the device together: see small_list.h. A
// reduction waits with them, since what follows it is mostly small: its last block then does the list.
#pragma once

#include <functional>

#include "autodiff/kernels/cuda/cuda.h"
#include "autodiff/kernels/cuda/small_list.h"

namespace autodiff::kernels::cuda {

/// Puts it on this thread's list.
void add_small(const Small& call);
/// Keeps a reduction that reads and writes this, until launch_small() calls `launch` with the list that its
/// last block is to do, which may be empty.
void add_reduction(const Range& reads, const Range& writes,
                   std::function<void(cudaStream_t, const SmallList&)> launch);
/// Launches what waits, if there is something.
void launch_small(cudaStream_t stream);
/// Forgets it.
void forget_small();

/// Does a list, wave after wave; all threads of a block call it, at most 512.
__device__ inline void run_list(const SmallList& list) {
  const int warps = static_cast<int>(blockDim.x) / 32, warp = static_cast<int>(threadIdx.x) / 32,
            lane = static_cast<int>(threadIdx.x) % 32;
  for (int wave = 0, next = 0; wave < list.waves; ++wave) {
    int turn = 0;
    for (; next < list.calls && list.call[next].wave == wave; ++next, ++turn) {
      if (turn % warps != warp) continue;
      const Small& s = list.call[next];
      run_small(
          s, lane, 32,
          [&](float a) {
            return unary_reference(static_cast<Unary>(s.code), a, static_cast<double>(s.constant));
          },
          [&](float a, float b) { return binary_reference(static_cast<Binary>(s.code), a, b); });
    }
    __syncthreads();
  }
}

}  // namespace autodiff::kernels::cuda
