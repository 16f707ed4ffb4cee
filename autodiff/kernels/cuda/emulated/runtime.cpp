// Streams, memory and recordings of the emulated runtime.
#include <cstdlib>
#include <cstring>
#include <deque>
#include <map>
#include <mutex>
#include <set>
#include <vector>

#include "autodiff/kernels/cuda/emulated/cuda_runtime.h"

struct EmulatedGraph {
  std::vector<std::function<void()>> work;
};
struct EmulatedStream {
  EmulatedGraph* recorded = nullptr;  // while it records
  // Work of a stream that has waited for another one, and how much of all that it got has been done.
  bool waits = false;
  std::deque<std::function<void()>> late = {};
  std::size_t done = 0;
  std::set<EmulatedStream*> waiting = {};  // those that have waited for this one
};
struct EmulatedEvent {
  EmulatedStream* stream = nullptr;
  std::size_t work = 0;  // of the stream, before the event
};

namespace {

constexpr std::size_t all_bytes = std::size_t{4} << 30;
thread_local cudaError_t last_error = cudaSuccess;

// Sizes of what is allocated.
std::mutex mutex;
std::map<void*, std::size_t> sizes;
std::size_t used = 0;
std::map<const void*, std::size_t> allowed;  // shared memory, by kernel

cudaError_t set(cudaError_t code) {
  if (code != cudaSuccess) last_error = code;
  return code;
}

}  // namespace

cudaError_t emulated::enqueue(cudaStream_t stream, std::function<void()> work) {
  if (stream && stream->waits) {
    stream->late.push_back(std::move(work));
  } else if (stream && stream->recorded) {
    stream->recorded->work.push_back(std::move(work));
  } else {
    work();
  }
  return cudaSuccess;
}

const char* cudaGetErrorString(cudaError_t code) {
  switch (code) {
    case cudaSuccess:
      return "success";
    case cudaErrorMemoryAllocation:
      return "out of memory";
    case cudaErrorInvalidConfiguration:
      return "invalid configuration argument";
    case cudaErrorNoDevice:
      return "it is emulated: set EV3_EMULATED_DEVICE=1 in the environment";
    case cudaErrorStreamCaptureUnjoined:
      return "the recording ends before what went beside it";
  }
  return "unknown error";
}
cudaError_t cudaGetLastError() { return std::exchange(last_error, cudaSuccess); }
cudaError_t cudaGetDeviceCount(int* count) {
  const char* told = std::getenv("EV3_EMULATED_DEVICE");
  *count = told && std::strcmp(told, "1") == 0 ? 1 : 0;
  return *count == 1 ? cudaSuccess : set(cudaErrorNoDevice);
}
cudaError_t cudaGetDevice(int* device) {
  *device = 0;
  return cudaSuccess;
}
cudaError_t cudaDriverGetVersion(int* version) {
  *version = CUDART_VERSION;
  return cudaSuccess;
}
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* p, int) {
  // Few multiprocessors, so that small tests meet the kernels of large problems, too.
  *p = {.name = "emulated device",
        .totalGlobalMem = all_bytes,
        .multiProcessorCount = 4,
        .major = 9,
        .minor = 0};
  return cudaSuccess;
}
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int) {
  *value = attribute == cudaDevAttrComputeCapabilityMajor ? 9 : static_cast<int>(emulated::most_shared);
  return cudaSuccess;
}

namespace emulated {
std::size_t most_shared_of(const void* kernel) {
  const std::lock_guard lock(mutex);
  const auto at = allowed.find(kernel);
  // Less than 48 KiB, since what a kernel has besides counts, too.
  return at == allowed.end() ? 47 << 10 : at->second;
}
void allow_shared(const void* kernel, int bytes) {
  const std::lock_guard lock(mutex);
  allowed[kernel] = static_cast<std::size_t>(bytes);
}
}  // namespace emulated

cudaError_t cudaMemGetInfo(std::size_t* free, std::size_t* all) {
  const std::lock_guard lock(mutex);
  *all = all_bytes, *free = all_bytes - used;
  return cudaSuccess;
}
cudaError_t cudaMalloc(void** out, std::size_t bytes) {
  const std::lock_guard lock(mutex);
  if (bytes > all_bytes - used) return set(cudaErrorMemoryAllocation);
  *out = std::aligned_alloc(256, (bytes + 255) / 256 * 256);
  if (!*out) return set(cudaErrorMemoryAllocation);
  std::memset(*out, 0xff, bytes);  // NaN
  sizes[*out] = bytes, used += bytes;
  return cudaSuccess;
}
cudaError_t cudaFree(void* data) {
  const std::lock_guard lock(mutex);
  if (const auto at = sizes.find(data); at != sizes.end()) {
    used -= at->second;
    sizes.erase(at);
    std::free(data);
  }
  return cudaSuccess;
}
cudaError_t cudaMallocHost(void** out, std::size_t bytes) {
  *out = std::malloc(bytes);
  return *out ? cudaSuccess : set(cudaErrorMemoryAllocation);
}
cudaError_t cudaFreeHost(void* data) {
  std::free(data);
  return cudaSuccess;
}
cudaError_t cudaMemset(void* to, int value, std::size_t bytes) {
  std::memset(to, value, bytes);
  return cudaSuccess;
}
cudaError_t cudaMemsetAsync(void* to, int value, std::size_t bytes, cudaStream_t stream) {
  return emulated::enqueue(stream, [=] { std::memset(to, value, bytes); });
}
cudaError_t cudaMemset2DAsync(void* to, std::size_t pitch, int value, std::size_t width, std::size_t height,
                              cudaStream_t stream) {
  return emulated::enqueue(stream, [=] {
    for (std::size_t row = 0; row < height; ++row)
      std::memset(static_cast<std::byte*>(to) + row * pitch, value, width);
  });
}
cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind,
                            cudaStream_t stream) {
  return emulated::enqueue(stream, [=] { std::memcpy(to, from, bytes); });
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* out, unsigned) {
  *out = new EmulatedStream;
  return cudaSuccess;
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  delete stream;
  return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t) { return cudaSuccess; }
cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode) {
  stream->recorded = new EmulatedGraph;
  return cudaSuccess;
}
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* out) {
  *out = std::exchange(stream->recorded, nullptr);
  bool joined = true;
  for (EmulatedStream* other : stream->waiting) {
    joined = joined && other->late.empty();
    other->late.clear();
  }
  return joined ? cudaSuccess : set(cudaErrorStreamCaptureUnjoined);
}
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  EmulatedStream* other = event->stream;
  if (!other->waits) {
    stream->waits = true;
    other->waiting.insert(stream);
    return cudaSuccess;
  }
  for (; other->done < event->work; ++other->done) {
    emulated::enqueue(stream, std::move(other->late.front()));
    other->late.pop_front();
  }
  return cudaSuccess;
}
cudaError_t cudaGraphGetNodes(cudaGraph_t graph, void**, std::size_t* count) {
  *count = graph->work.size();
  return cudaSuccess;
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* out, cudaGraph_t graph, unsigned long long) {
  *out = new EmulatedGraph(*graph);
  return cudaSuccess;
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t graph, cudaStream_t stream) {
  return emulated::enqueue(stream, [graph] {
    for (const auto& work : graph->work) work();
  });
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  delete graph;
  return cudaSuccess;
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t graph) {
  delete graph;
  return cudaSuccess;
}
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* out, unsigned) {
  *out = new EmulatedEvent;
  return cudaSuccess;
}
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  delete event;
  return cudaSuccess;
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  *event = {stream, stream->done + stream->late.size()};
  return cudaSuccess;
}
cudaError_t cudaEventSynchronize(cudaEvent_t) { return cudaSuccess; }
