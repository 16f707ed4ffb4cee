// Small calls wait until something else is called, and then go to the device together: see small_list.h. A
// reduction waits with them, since what follows it is mostly small: its last block then does the list.
#pragma once

#include <functional>

#include "autodiff/kernels/cuda/cuda.h"
#include "autodiff/kernels/cuda/small_list.h"

namespace autodiff::kernels::cuda {

/// Puts it on this thread's list.
void add_small(const Small& call);
/// Keeps a reduction until launch_small() calls `launch` with the list that its last block is to do, which
/// may be empty. Nothing may wait yet.
void add_reduction(std::function<void(cudaStream_t, const SmallList&)> launch);
/// The same of one that reads and writes this, whatever waits.
void add_reduction(const Range& reads, const Range& writes,
                   std::function<void(cudaStream_t, const SmallList&)> launch);
/// Launches what waits, if there is something.
void launch_small(cudaStream_t stream);
/// Forgets it.
void forget_small();

/// Copies wait, too, but never at the same time as others do (elementwise.cu).
bool copies_wait();
void launch_copies(cudaStream_t stream);
void forget_copies();

/// Does a list; all threads of a block call it. `room`: SmallList::room floats of shared memory.
__device__ inline void run_list(const SmallList& list, float* room) {
  const int warps = static_cast<int>(blockDim.x) / 32, warp = static_cast<int>(threadIdx.x) / 32,
            lane = static_cast<int>(threadIdx.x) % 32;
  const auto read = [](const float* p) { return __ldcg(p); };  // other blocks may have written it
  // A warp for each call, so that many loads, and the descriptions of the calls, are on their way together.
  for (int k = warp; k < list.calls; k += warps) load_small(list.call[k], room, lane, 32, read);
  __syncthreads();
  for (int wave = 0, next = 0; wave < list.waves; ++wave) {
    for (; next < list.calls && list.call[next].wave == wave; ++next) {
      const Small& s = list.call[next];
      run_small(
          s, room, static_cast<int>(threadIdx.x), static_cast<int>(blockDim.x), read,
          [&](float a) {
            return unary_reference(static_cast<Unary>(s.code), a, static_cast<double>(s.constant));
          },
          [&](float a, float b) { return binary_reference(static_cast<Binary>(s.code), a, b); });
    }
    if (wave + 1 < list.waves) __syncthreads();
  }
}

}  // namespace autodiff::kernels::cuda
