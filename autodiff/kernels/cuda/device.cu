// Memory, streams and recordings, by the CUDA runtime. Some 300 lines, of what has to be said of it once.
#include <map>
#include <mutex>
#include <vector>

#include "autodiff/kernels/cuda/cuda.h"
#include "autodiff/kernels/cuda/small.h"
#include "autodiff/tensor/error.h"
#include "autodiff/tensor/text.h"

namespace autodiff::kernels {
namespace cuda {
namespace {

// A second stream for what goes beside the work of another one.
struct Beside {
  static constexpr int marks = 16;
  cudaStream_t stream = nullptr;
  std::byte* partials = nullptr;
  cudaEvent_t begin = nullptr, done[marks] = {};  // those of the last `marks` that went there
  int count = 0;
};

// What keep() has put on the device, in pieces of this size at least.
struct Kept {
  static constexpr std::size_t piece = 64 << 10;
  cudaStream_t copies = nullptr;
  std::vector<DeviceMemory> pieces;
  std::size_t used = 0;
  std::map<std::string, const void*> places;

  Kept() = default;
  Kept(const Kept&) = delete;
  Kept& operator=(const Kept&) = delete;
  ~Kept() {
    if (copies) cudaStreamDestroy(copies);
  }
  const void* place_of(std::string bytes) {
    const auto known = places.find(bytes);
    if (known != places.end()) return known->second;
    if (!copies) check(cudaStreamCreateWithFlags(&copies, cudaStreamNonBlocking), "cudaStreamCreate");
    const std::size_t size = (bytes.size() + 255) / 256 * 256;
    if (pieces.empty() || used + size > pieces.back().size()) {
      pieces.emplace_back(std::max(size, piece), "lists of small functions");
      used = 0;
    }
    std::byte* to = pieces.back().data() + used;
    used += size;
    check(cudaMemcpyAsync(to, bytes.data(), bytes.size(), cudaMemcpyHostToDevice, copies),
          "copy to the device");
    check(cudaStreamSynchronize(copies), "copy to the device");
    return places[std::move(bytes)] = to;
  }
};

// What kernels of this thread go with: nothing outside enqueue() and record().
struct Current {
  cudaStream_t stream = nullptr;
  std::byte* partials = nullptr;
  Beside* beside = nullptr;
  Kept* kept = nullptr;
  // The next kernel has one of another stream to wait for: it is launched when that one is done. (Launched
  // before, a step of ResNet-20 took 1 % longer.)
  bool waits_for_other = false;
};
thread_local Current current;

// Something else, while it lives.
class Instead {
 public:
  explicit Instead(const Current& now) : before_(std::exchange(current, now)) {}
  Instead(const Instead&) = delete;
  Instead& operator=(const Instead&) = delete;
  ~Instead() {
    forget_small();  // what is left after an error
    current = before_;
  }

 private:
  Current before_;
};

constexpr std::size_t counter_bytes = (most_counters + 64) * sizeof(unsigned);

std::string version(int number) { return text(number / 1000, '.', number % 1000 / 10); }

struct Found {
  DeviceInfo info;
  int device = 0;
};

const Found& found() {
  static const Found once = [] {
    Found f;
    int count = 0, driver = 0;
    const cudaError_t code = cudaGetDeviceCount(&count);
    cudaDriverGetVersion(&driver);
    if (code != cudaSuccess || count == 0) {
      f.info.reason = driver == 0 ? "no NVIDIA driver is installed"
                                  : text("the driver offers no device (", cudaGetErrorString(code), ")");
      cudaGetLastError();  // so that it is not taken for that of a later call
      return f;
    }
    cudaDeviceProp p{};
    check(cudaGetDeviceProperties(&p, f.device), "cudaGetDeviceProperties");
    f.info.name = p.name;
    f.info.bytes = p.totalGlobalMem;
    f.info.multiprocessors = p.multiProcessorCount;
    f.info.versions = text("compute capability ", p.major, '.', p.minor, ", toolkit ",
                           version(CUDART_VERSION), ", driver ", version(driver));
    if (p.major * 10 + p.minor < 75) {
      f.info.reason =
          text(f.info.name, " has compute capability ", p.major, '.', p.minor, "; want at least 7.5");
      return f;
    }
    f.info.found = true;
    return f;
  }();
  return once;
}

}  // namespace

void check(cudaError_t code, const char* what) {
  if (code != cudaSuccess) fail("cuda: ", what, ": ", cudaGetErrorString(code));
}

cudaStream_t stream() {
  if (!current.stream) fail("cuda: a kernel was called outside DeviceStream::enqueue");
  launch_small(current.stream);
  return current.stream;
}

void* partials() { return current.partials + counter_bytes; }
unsigned* counters() { return reinterpret_cast<unsigned*>(current.partials); }

const void* keep(const void* bytes, std::size_t size) {
  // Allowed beside a recording, since it goes to another stream.
  cudaStreamCaptureMode mode = cudaStreamCaptureModeRelaxed;
  check(cudaThreadExchangeStreamCaptureMode(&mode), "keep");
  struct Back {
    cudaStreamCaptureMode& before;
    ~Back() { cudaThreadExchangeStreamCaptureMode(&before); }
  } back{mode};
  return current.kept->place_of({static_cast<const char*>(bytes), size});
}

bool may_overlap() {
  if (std::exchange(current.waits_for_other, false)) return false;
  static const bool once = [] {  // recordings have such edges since CUDA 12.3
    int device = 0, major = 0;
    return CUDART_VERSION >= 12030 && cudaGetDevice(&device) == cudaSuccess &&
           cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device) == cudaSuccess &&
           major >= 9;
  }();
  return once;
}

int multiprocessors() { return found().info.multiprocessors; }

}  // namespace cuda

using cuda::check;

DeviceInfo device_info() {
  DeviceInfo info = cuda::found().info;
  std::size_t all = 0;
  if (info.found) check(cudaMemGetInfo(&info.free_bytes, &all), "cudaMemGetInfo");
  return info;
}

const Backend* cuda_backend() {
  if (!cuda::found().info.found) return nullptr;
  static const Backend row = [] {
    Backend b{.name = "cuda"};
    cuda::add_elementwise(b);
    cuda::add_chains(b);
    cuda::add_reductions(b);
    cuda::add_rows(b);
    cuda::add_images(b);
    cuda::add_conv2d(b);
    cuda::add_conv2d_filters(b);
    cuda::add_matmul(b);
    return b;
  }();
  return &row;
}

DeviceMemory::DeviceMemory(std::size_t bytes, const std::string& what) : size_(bytes) {
  if (bytes == 0) return;
  if (!device_info().found) fail("cuda: ", device_info().reason);
  void* data = nullptr;
  const cudaError_t code = cudaMalloc(&data, bytes);
  if (code == cudaErrorMemoryAllocation) {
    cudaGetLastError();
    const auto mib = [](std::size_t n) { return text(static_cast<double>(n / 104857) / 10, " MiB"); };
    const DeviceInfo info = device_info();
    fail("cuda: want ", mib(bytes), " for ", what, ", but ", mib(info.free_bytes), " of ", mib(info.bytes),
         " are free on ", info.name,
         "; a smaller batch or fewer candidates need less (ev3 show prints how much)");
  }
  check(code, "cudaMalloc");
  data_.reset(static_cast<std::byte*>(data));
  check(cudaMemset(data, 0, bytes), "cudaMemset");
  check(cudaStreamSynchronize(cudaStreamLegacy), "cudaMemset");  // streams of work do not wait for that one
}

// Errors are not reported: at the end of a process the driver may be gone already.
void DeviceMemory::Free::operator()(std::byte* data) const { cudaFree(data); }

PinnedMemory::PinnedMemory(std::size_t bytes) : size_(bytes) {
  if (bytes == 0) return;
  void* data = nullptr;
  check(cudaMallocHost(&data, bytes), "cudaMallocHost");
  data_.reset(static_cast<std::byte*>(data));
}

void PinnedMemory::Free::operator()(std::byte* data) const { cudaFreeHost(data); }

struct DeviceStream::State {
  cudaStream_t stream = nullptr;
  cudaEvent_t events[marks] = {};
  DeviceMemory partials;
  cuda::Beside beside;
  cuda::Kept kept;

  State() {
    if (!device_info().found) fail("cuda: ", device_info().reason);
    const auto create = [](cudaEvent_t& e) {
      check(cudaEventCreateWithFlags(&e, cudaEventDisableTiming), "cudaEventCreate");
    };
    for (cudaStream_t* s : {&stream, &beside.stream})
      check(cudaStreamCreateWithFlags(s, cudaStreamNonBlocking), "cudaStreamCreate");
    for (cudaEvent_t& e : events) create(e);
    for (cudaEvent_t& e : beside.done) create(e);
    create(beside.begin);
    constexpr std::size_t each = cuda::counter_bytes + cuda::most_partial_bytes;
    partials = DeviceMemory(2 * each, "partial results");
    beside.partials = partials.data() + each;
  }
  State(const State&) = delete;
  State& operator=(const State&) = delete;
  ~State() {
    for (cudaEvent_t e : events) cudaEventDestroy(e);
    for (cudaEvent_t e : beside.done) cudaEventDestroy(e);
    cudaEventDestroy(beside.begin);
    for (cudaStream_t s : {stream, beside.stream}) {
      if (s) cudaStreamDestroy(s);
    }
  }

  cuda::Current current() { return {stream, partials.data(), &beside, &kept}; }
};

DeviceStream::DeviceStream() : state_(std::make_unique<State>()) {}
DeviceStream::DeviceStream(DeviceStream&&) noexcept = default;
DeviceStream& DeviceStream::operator=(DeviceStream&&) noexcept = default;
DeviceStream::~DeviceStream() = default;

void DeviceStream::enqueue_task(IndexedTask body) {
  const cuda::Instead here(state_->current());
  body(0);
  cuda::stream();  // what is small and waits
}

DeviceStream::Recording DeviceStream::record_task(IndexedTask body) {
  const cuda::Instead here(state_->current());
  cudaGraph_t graph = nullptr;
  cuda::make_ready();
  // Other threads may allocate and compile meanwhile.
  check(cudaStreamBeginCapture(state_->stream, cudaStreamCaptureModeThreadLocal), "cudaStreamBeginCapture");
  try {
    body(0);
    cuda::stream();
  } catch (...) {
    cudaStreamEndCapture(state_->stream, &graph);
    if (graph) cudaGraphDestroy(graph);
    cudaGetLastError();
    throw;
  }
  check(cudaStreamEndCapture(state_->stream, &graph), "cudaStreamEndCapture");
  Recording out;
  cudaGraphExec_t exec = nullptr;
  cudaError_t code = cudaGraphGetNodes(graph, nullptr, &out.size_);
  if (code == cudaSuccess) code = cudaGraphInstantiate(&exec, graph, 0);
  cudaGraphDestroy(graph);
  check(code, "cudaGraphInstantiate");
  out.graph_ =
      std::shared_ptr<void>(exec, [](void* g) { cudaGraphExecDestroy(static_cast<cudaGraphExec_t>(g)); });
  return out;
}

void DeviceStream::play(const Recording& recording) {
  check(cudaGraphLaunch(static_cast<cudaGraphExec_t>(recording.graph_.get()), state_->stream),
        "cudaGraphLaunch");
}

int DeviceStream::beside_task(IndexedTask body) {
  cudaStream_t before = cuda::stream();
  cuda::Beside& beside = *cuda::current.beside;
  check(cudaEventRecord(beside.begin, before), "cudaEventRecord");
  check(cudaStreamWaitEvent(beside.stream, beside.begin, 0), "cudaStreamWaitEvent");
  {
    const cuda::Instead there({beside.stream, beside.partials, &beside, cuda::current.kept, true});
    body(0);
    cuda::stream();
  }
  check(cudaEventRecord(beside.done[beside.count % cuda::Beside::marks], beside.stream), "cudaEventRecord");
  return beside.count++;
}

void DeviceStream::wait_for_beside(int number) {
  cudaStream_t own = cuda::stream();
  const cuda::Beside& beside = *cuda::current.beside;
  // Of one long ago the mark is that of a later one, which waits for both.
  check(cudaStreamWaitEvent(own, beside.done[number % cuda::Beside::marks], 0), "cudaStreamWaitEvent");
  cuda::current.waits_for_other = true;
}

void DeviceStream::to_device(void* to, const void* from, std::size_t bytes) {
  if (bytes)
    check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, state_->stream), "copy to the device");
}

void DeviceStream::to_host(void* to, const void* from, std::size_t bytes) {
  if (bytes)
    check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToHost, state_->stream), "copy to the host");
  wait();
}

void DeviceStream::copy(void* to, const void* from, std::size_t bytes) {
  if (bytes)
    check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, state_->stream), "copy on the device");
}

void DeviceStream::zero(void* to, std::size_t bytes) {
  if (bytes) check(cudaMemsetAsync(to, 0, bytes, state_->stream), "cudaMemset");
}

void DeviceStream::wait() {
  if (cuda::current.stream == state_->stream) cuda::stream();  // inside enqueue(): what is small and waits
  check(cudaStreamSynchronize(state_->stream), "waiting for kernels");
}

void DeviceStream::mark(int number) {
  check(cudaEventRecord(state_->events[number], state_->stream), "cudaEventRecord");
}

void DeviceStream::wait_for(int number) {
  check(cudaEventSynchronize(state_->events[number]), "cudaEventSynchronize");
}

}  // namespace autodiff::kernels
