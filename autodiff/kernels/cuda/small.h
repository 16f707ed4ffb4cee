// Small calls wait until something else is called, and then go to the device together: see small_list.h. A
// reduction waits with them, since what follows it is mostly small: its last block then does the list.
#pragma once

#include <functional>

#include "autodiff/kernels/cuda/cuda.h"
#include "autodiff/kernels/cuda/small_list.h"

namespace autodiff::kernels::cuda {

/// Puts it on this thread's list; false where it does not fit on any.
bool add_small(const Small& call);
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

/// Floats of shared memory that run_list wants, on a boundary of 16 bytes.
inline constexpr int list_floats =
    SmallList::room + SmallList::longest * static_cast<int>(sizeof(SmallList::Call) / 4);

/// Does a list; all threads of a block call it.
__device__ inline void run_list(const SmallList& list, float* room) {
  const int threads = static_cast<int>(blockDim.x), tid = static_cast<int>(threadIdx.x), warps = threads / 32,
            warp = tid / 32, lane = tid % 32;
  // Arguments of a kernel are slow to read one after the other; so they are read at the same time.
  auto* call = reinterpret_cast<SmallList::Call*>(room + SmallList::room);
  constexpr int words = sizeof(SmallList::Call) / sizeof(unsigned);
  for (int i = tid; i < list.calls * words; i += threads)
    reinterpret_cast<unsigned*>(call)[i] = reinterpret_cast<const unsigned*>(list.call)[i];
  __syncthreads();
#pragma unroll 1
  for (int k = warp; k < list.calls; k += warps)  // other blocks may have written it
    load_small(call[k], room, lane, 32, [](const float* p) { return __ldcg(p); });
  __syncthreads();
  SmallList::Call next = call[0];  // on its way to registers while the call before is done
  for (int k = 0, wave = 0; k < list.calls; ++k) {
    const SmallList::Call c = next;
    if (k + 1 < list.calls) next = call[k + 1];
    if (c.wave != wave) __syncthreads();
    wave = c.wave;
    run_small(
        c, room, tid, threads,
        [&](float a) {
          return unary_reference(static_cast<Unary>(c.code), a, static_cast<double>(c.constant));
        },
        [&](float a, float b) { return binary_reference(static_cast<Binary>(c.code), a, b); });
  }
  __syncthreads();
#pragma unroll 1
  for (int k = warp; k < list.calls; k += warps) store_small(call[k], room, lane, 32);
}

}  // namespace autodiff::kernels::cuda
