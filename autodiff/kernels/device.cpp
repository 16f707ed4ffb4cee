#include "autodiff/kernels/device.h"

#include "autodiff/kernels/backend.h"
#include "autodiff/tensor/error.h"

namespace autodiff::kernels {
namespace {

Device current = Device::cpu;
Precision precision = Precision::float32;

}  // namespace

const char* name_of(Device device) { return device == Device::cpu ? "cpu" : "cuda"; }

const char* name_of(Precision p) {
  return p == Precision::float32 ? "float32" : p == Precision::tf32 ? "tf32" : "bf16";
}

Device default_device() { return current; }

void set_default_device(Device device) {
  if (const DeviceInfo info = device_info(); device == Device::cuda && !info.found) {
    fail("device cuda: ", info.reason, "; use cpu, or auto, which takes a device where there is one");
  }
  current = device;
}

Precision device_precision() { return precision; }
void set_device_precision(Precision p) { precision = p; }

#if !EV3_HAVE_CUDA
namespace {

constexpr const char* without = "this program was built without CUDA (cmake --preset cuda builds it in)";

}  // namespace

const Backend* cuda_backend() { return nullptr; }
DeviceInfo device_info() { return {.reason = without}; }

// Without a device nobody gets beyond the constructors.
DeviceMemory::DeviceMemory(std::size_t bytes, const std::string&) : size_(bytes) {
  if (bytes) fail("cuda: ", without);
}
void DeviceMemory::Free::operator()(std::byte*) const {}
PinnedMemory::PinnedMemory(std::size_t bytes) : size_(bytes) {
  if (bytes) fail("cuda: ", without);
}
void PinnedMemory::Free::operator()(std::byte*) const {}

struct DeviceStream::State {};
DeviceStream::DeviceStream() { fail("cuda: ", without); }
DeviceStream::DeviceStream(DeviceStream&&) noexcept = default;
DeviceStream& DeviceStream::operator=(DeviceStream&&) noexcept = default;
DeviceStream::~DeviceStream() = default;
void DeviceStream::enqueue_task(IndexedTask) {}
DeviceStream::Recording DeviceStream::record_task(IndexedTask) { return {}; }
void DeviceStream::play(const Recording&) {}
int DeviceStream::beside_task(IndexedTask) { return 0; }
void DeviceStream::wait_for_beside(int) {}
void DeviceStream::to_device(void*, const void*, std::size_t) {}
void DeviceStream::to_host(void*, const void*, std::size_t) {}
void DeviceStream::copy(void*, const void*, std::size_t) {}
void DeviceStream::zero(void*, std::size_t) {}
void DeviceStream::wait() {}
void DeviceStream::mark(int) {}
void DeviceStream::wait_for(int) {}

namespace device {

void update(const UpdateDims&, const UpdateScalars*, const UpdateArrays&, const StepEnd&) {}
void clip_by_norm(float*, std::size_t, double) {}
void gather_images(const Images&, const Drawn&, float*, const Labels&) {}
void gather_rows(const float*, std::size_t, const Drawn&, float*, const Labels&) {}
void end_batch(const float*, std::size_t, float*, int*) {}
void take_row(const int*, std::size_t, const int*, int*) {}

}  // namespace device
#endif

}  // namespace autodiff::kernels
