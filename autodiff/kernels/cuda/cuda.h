// What the kernels for a CUDA device share: the stream they go to, memory between two kernels, errors.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <type_traits>
#include <utility>

#include "autodiff/kernels/backend.h"
#include "autodiff/kernels/device.h"

// A function with registers of its own.
#if EV3_CUDA_EMULATED
#define EV3_NOINLINE
#else
#define EV3_NOINLINE __noinline__
#endif

namespace autodiff::kernels::cuda {

/// Throws Error with what the driver says, unless `code` is success.
void check(cudaError_t code, const char* what);
/// Where kernels go now: the stream whose enqueue() or record() runs on this thread. Throws Error outside.
/// Calls that wait (small.h) go there first.
cudaStream_t stream();

/// Every kernel begins with this, but for what needs nothing of the kernels before it: it may be launched
/// while the last of them are still at work (from compute capability 9.0 on), and waits for them here. What
/// it reads may so be written while it runs: no __restrict__, of which compilers make loads that take memory
/// for constant (no kernel was slower without).
__device__ inline void await_previous() {
#if __CUDA_ARCH__ >= 900 && !EV3_CUDA_EMULATED
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}
/// The next kernel may be launched when all blocks have come here, or are done. For kernels whose end leaves
/// multiprocessors idle.
__device__ inline void let_next_begin() {
#if __CUDA_ARCH__ >= 900 && !EV3_CUDA_EMULATED
  asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}
/// Waits for all threads of the block; in place of __syncthreads(), which wants the threads of a warp to come
/// together. Behind a loop that some of them leave earlier than others, nvcc 13 does not see to that: the
/// warp was counted twice on an H100, and every later barrier opened too soon (racecheck of the compute
/// sanitizer shows it).
__device__ inline void sync_block() {
#if EV3_CUDA_EMULATED
  __syncthreads();
#else
  asm volatile("barrier.sync 0;" ::: "memory");
#endif
}
/// Whether the next kernel may be launched before that before it is done.
bool may_overlap();

/// Launches a kernel on a stream; an error says `name`. `shared`: bytes of memory for each block, which the
/// kernel has as block_memory().
template <class... Params, class... Args>
void launch_on(cudaStream_t to, const char* name, dim3 grid, dim3 threads, std::size_t shared,
               void (*kernel)(Params...), Args... args) {
  cudaLaunchConfig_t config{};
  config.gridDim = grid;
  config.blockDim = threads;
  config.dynamicSmemBytes = shared;
  config.stream = to;
#if !EV3_CUDA_EMULATED
  cudaLaunchAttribute overlap{};
  overlap.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  overlap.val.programmaticStreamSerializationAllowed = 1;
  config.attrs = &overlap;
  config.numAttrs = may_overlap() ? 1 : 0;
#endif
  check(cudaLaunchKernelEx(&config, kernel, args...), name);
}
/// The same, on stream().
template <class... Params, class... Args>
void launch(const char* name, dim3 grid, dim3 threads, std::size_t shared, void (*kernel)(Params...),
            Args... args) {
  launch_on(stream(), name, grid, threads, shared, kernel, args...);
}
#if EV3_CUDA_EMULATED
inline float* block_memory() { return reinterpret_cast<float*>(emulated::shared_memory()); }
#else
__device__ inline float* block_memory() {
  extern __shared__ __align__(16) float memory[];
  return memory;
}
#endif

/// Memory for what one call passes from kernel to kernel, or from block to block: of the stream, so that
/// nobody else uses it meanwhile.
inline constexpr std::size_t most_partial_bytes = 8 << 20;
void* partials();
/// Counts of blocks that are done, and one more of all: zeros, and whoever counts puts them back to zero.
inline constexpr std::size_t most_counters = 1024;
unsigned* counters();
/// A copy of these bytes on the device, which is there as long as the stream; of the same bytes the same
/// copy. Also while work is recorded.
const void* keep(const void* bytes, std::size_t size);
int multiprocessors();

/// Counts this block, and says whether it is the last of `all`: the threads of that one see what the others
/// had written before they were counted, past their own caches (__ldcg), and the counter is zero again.
__device__ inline bool is_last_block(unsigned* counter, unsigned all) {
  __shared__ bool is_last;
  sync_block();
  if (threadIdx.x == 0) {
    unsigned before;
#if EV3_CUDA_EMULATED
    before = atomicAdd(counter, 1u);
#else
    asm volatile("atom.acq_rel.gpu.global.add.u32 %0, [%1], 1;" : "=r"(before) : "l"(counter) : "memory");
#endif
    is_last = before + 1 == all;
    if (is_last) *counter = 0;
  }
  sync_block();
  return is_last;
}
/// Makes for this thread what cannot be made while work is recorded.
void make_ready();

/// Blocks of `size` that cover n, at least one.
inline unsigned blocks(std::size_t n, std::size_t size) {
  return static_cast<unsigned>(n == 0 ? 1 : (n + size - 1) / size);
}
inline constexpr unsigned block = 256;

/// The index of a thread among all.
__device__ inline std::size_t thread_index() {
  return static_cast<std::size_t>(blockIdx.x) * blockDim.x + threadIdx.x;
}

/// Calls body with constants 0 .. n - 1.
template <int n, class Body>
__device__ void each(const Body& body) {
  [&]<int... k>(std::integer_sequence<int, k...>) { (body(std::integral_constant<int, k>{}), ...); }
  (std::make_integer_sequence<int, n>{});
}

inline bool is_aligned(const void* p) { return reinterpret_cast<std::size_t>(p) % 16 == 0; }

// The row's entries, file by file.
void add_elementwise(Backend& row);
void add_chains(Backend& row);
void add_reductions(Backend& row);
void add_rows(Backend& row);
void add_images(Backend& row);
void add_conv2d(Backend& row);
void add_conv2d_filters(Backend& row);
void add_matmul(Backend& row);

}  // namespace autodiff::kernels::cuda
