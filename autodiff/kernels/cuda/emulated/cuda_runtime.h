// Stands in for the toolkit's header where there is no toolkit and no device (CMake: EV3_CUDA_EMULATED): the
// kernels are plain C++ then, and run on the CPU, for tests. Slow, and as strict as a test wants it:
//
//   * every thread of a block has a stack of its own and runs until it waits for others, so that barriers,
//     shuffles and tensor cores mean what they mean on a device;
//   * blocks, and the threads of a block, take their turns in an order that changes from launch to launch:
//   who
//     forgets a barrier, or reads what another block writes, gets other results the next time;
//   * memory on the "device" and shared memory begin as NaN, and AddressSanitizer sees every access.
//
// Only what the kernels use is here, with the names of the CUDA runtime.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <tuple>
#include <utility>

#define __global__
#define __device__
#define __host__
#define __grid_constant__
#define __launch_bounds__(...)
#define __shared__ static thread_local
#define __align__(n) __attribute__((aligned(n)))

using std::max;
using std::min;

struct dim3 {
  unsigned x = 1, y = 1, z = 1;
  constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};
struct uint3 {
  unsigned x = 0, y = 0, z = 0;
};
struct float2 {
  float x, y;
};
struct alignas(16) double2 {
  double x, y;
};
struct alignas(16) float4 {
  float x, y, z, w;
};

/// Of the thread that runs.
extern thread_local uint3 threadIdx, blockIdx;
extern thread_local dim3 blockDim, gridDim;

namespace emulated {

/// Of the block that runs: what its launch asked for.
std::byte* shared_memory();
/// Waits for all threads of the block that have not ended.
void wait_for_block();
/// Gives `value`, of `bytes`, to the warp, and returns the values of all 32 lanes, one after the other; they
/// stay until the next exchange but one.
const std::byte* exchange(const void* value, std::size_t bytes);
int lane();
/// What tensor cores make of 32 bits: they leave the last 13 unread.
inline float read_tf32(unsigned bits) { return std::bit_cast<float>(bits & ~0x1fffu); }
/// The product of tensor cores of numbers of tf32, m16n8k8: c += a b.
void multiply(float* c, const unsigned* a, const unsigned* b);
/// Four matrices of 8 rows of 16 bytes: lane l knows where row l % 8 of matrix l / 8 is, and gets 32 bits of
/// row l / 4 of each.
void load_matrices(unsigned* to, const float* row);

template <class T>
const T* exchange(const T& value) {
  return reinterpret_cast<const T*>(exchange(&value, sizeof(T)));
}

}  // namespace emulated

inline void __syncthreads() { emulated::wait_for_block(); }
inline void __syncwarp() { emulated::exchange(0); }
inline void __threadfence() {}
template <class T>
T __shfl_down_sync(unsigned, T value, unsigned step) {
  const T* all = emulated::exchange(value);
  const unsigned from = static_cast<unsigned>(emulated::lane()) + step;
  return all[from < 32 ? from : from - step];
}
template <class T>
T __shfl_xor_sync(unsigned, T value, int mask) {
  return emulated::exchange(value)[emulated::lane() ^ mask];
}
template <class T>
T __ldcg(const T* p) {
  return *p;
}
inline unsigned atomicAdd(unsigned* to, unsigned value) { return std::exchange(*to, *to + value); }
inline float __uint_as_float(unsigned x) { return std::bit_cast<float>(x); }
inline unsigned __float_as_uint(float x) { return std::bit_cast<unsigned>(x); }
using std::fmaf;
using std::isfinite;

// The runtime. Streams do at once what they are given, unless they record it; but one that has waited for
// another does nothing before somebody waits for it: who forgets to reads what was there before.
enum cudaError_t {
  cudaSuccess,
  cudaErrorMemoryAllocation,
  cudaErrorInvalidConfiguration,
  cudaErrorNoDevice,
  cudaErrorStreamCaptureUnjoined,
};
enum cudaMemcpyKind { cudaMemcpyHostToDevice, cudaMemcpyDeviceToHost, cudaMemcpyDeviceToDevice };
enum cudaDeviceAttr {
  cudaDevAttrMaxSharedMemoryPerBlockOptin,
  cudaDevAttrComputeCapabilityMajor,
};
enum cudaFuncAttribute { cudaFuncAttributeMaxDynamicSharedMemorySize };
enum cudaStreamCaptureMode { cudaStreamCaptureModeThreadLocal, cudaStreamCaptureModeRelaxed };
using cudaStream_t = struct EmulatedStream*;
using cudaEvent_t = struct EmulatedEvent*;
using cudaGraph_t = struct EmulatedGraph*;
using cudaGraphExec_t = EmulatedGraph*;
struct cudaDeviceProp {
  char name[256];
  std::size_t totalGlobalMem;
  int multiProcessorCount, major, minor;
};
namespace emulated {
inline constexpr std::size_t most_shared = 227 << 10;
}
inline const cudaStream_t cudaStreamLegacy = nullptr;
inline constexpr unsigned cudaStreamNonBlocking = 1, cudaEventDisableTiming = 2;
inline constexpr int CUDART_VERSION = 12000;

const char* cudaGetErrorString(cudaError_t);
cudaError_t cudaGetLastError();
cudaError_t cudaGetDeviceCount(int*);
cudaError_t cudaGetDevice(int*);
cudaError_t cudaDriverGetVersion(int*);
cudaError_t cudaGetDeviceProperties(cudaDeviceProp*, int);
cudaError_t cudaDeviceGetAttribute(int*, cudaDeviceAttr, int);
cudaError_t cudaMemGetInfo(std::size_t* free, std::size_t* all);
cudaError_t cudaMalloc(void**, std::size_t);
cudaError_t cudaFree(void*);
cudaError_t cudaMallocHost(void**, std::size_t);
cudaError_t cudaFreeHost(void*);
cudaError_t cudaMemset(void*, int, std::size_t);
cudaError_t cudaMemsetAsync(void*, int, std::size_t, cudaStream_t);
cudaError_t cudaMemset2DAsync(void*, std::size_t pitch, int, std::size_t width, std::size_t height,
                              cudaStream_t);
cudaError_t cudaMemcpyAsync(void*, const void*, std::size_t, cudaMemcpyKind, cudaStream_t);
cudaError_t cudaStreamCreateWithFlags(cudaStream_t*, unsigned);
cudaError_t cudaStreamDestroy(cudaStream_t);
cudaError_t cudaStreamSynchronize(cudaStream_t);
cudaError_t cudaStreamWaitEvent(cudaStream_t, cudaEvent_t, unsigned);
cudaError_t cudaStreamBeginCapture(cudaStream_t, cudaStreamCaptureMode);
inline cudaError_t cudaThreadExchangeStreamCaptureMode(cudaStreamCaptureMode*) { return cudaSuccess; }
cudaError_t cudaStreamEndCapture(cudaStream_t, cudaGraph_t*);
cudaError_t cudaGraphGetNodes(cudaGraph_t, void**, std::size_t*);
cudaError_t cudaGraphInstantiate(cudaGraphExec_t*, cudaGraph_t, unsigned long long);
cudaError_t cudaGraphLaunch(cudaGraphExec_t, cudaStream_t);
cudaError_t cudaGraphDestroy(cudaGraph_t);
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t);
cudaError_t cudaEventCreateWithFlags(cudaEvent_t*, unsigned);
cudaError_t cudaEventDestroy(cudaEvent_t);
cudaError_t cudaEventRecord(cudaEvent_t, cudaStream_t);
cudaError_t cudaEventSynchronize(cudaEvent_t);
namespace emulated {
/// Bytes of shared memory that a kernel may have: what a block of every device may, unless it was allowed
/// more.
std::size_t most_shared_of(const void* kernel);
void allow_shared(const void* kernel, int bytes);
}  // namespace emulated
template <class Kernel>
cudaError_t cudaFuncSetAttribute(Kernel* kernel, cudaFuncAttribute, int value) {
  emulated::allow_shared(reinterpret_cast<const void*>(kernel), value);
  return cudaSuccess;
}

struct cudaLaunchConfig_t {
  dim3 gridDim, blockDim;
  std::size_t dynamicSmemBytes = 0;
  cudaStream_t stream = nullptr;
};

namespace emulated {
/// The end of a stream: done now, or recorded.
cudaError_t enqueue(cudaStream_t, std::function<void()>);
/// Calls `thread` for every thread of a launch.
void run(const cudaLaunchConfig_t&, const std::function<void()>& thread);
}  // namespace emulated

template <class... Params, class... Args>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(Params...), Args&&... args) {
  const auto threads = config->blockDim.x * config->blockDim.y * config->blockDim.z;
  if (threads == 0 || threads > 1024 || config->gridDim.x == 0 || config->gridDim.y > 65535 ||
      config->gridDim.z > 65535 ||
      config->dynamicSmemBytes > emulated::most_shared_of(reinterpret_cast<const void*>(kernel))) {
    return cudaErrorInvalidConfiguration;
  }
  return emulated::enqueue(config->stream, [config = *config, kernel,
                                            values = std::tuple<Params...>(std::forward<Args>(args)...)] {
    emulated::run(config, [&] { std::apply(kernel, values); });
  });
}
