// What a program for a device keeps there, and on the host for its caller. Private to this folder.
#pragma once

#include <vector>

#include "autodiff/program/plan.h"
#include "autodiff/tensor/buffer.h"

namespace autodiff::detail {

/// Memory on the device for the intermediates, constants and copies of what is bound; memory on the host for
/// outputs.
class OnDevice {
 public:
  /// `bases`: of the program; filled with addresses on the device.
  OnDevice(const Plan& plan, std::byte** bases);

  /// Source i is at `elements` on the host, and copied with every run.
  void bind(std::size_t i, const void* elements);
  /// Source i is at `address` on the device.
  void bind_address(std::size_t i, const void* address);
  /// Output k is copied to `destination` on the host after every run.
  void write_to(std::size_t k, float* destination);
  /// Output k is written to `address` on the device, and not copied.
  void write_address(std::size_t k, float* address);
  /// Where output k is on the host.
  std::byte* on_host(std::size_t k) const { return host_outputs_[k]; }

  /// Copies, plays the kernels that `enqueue` calls, copies back.
  void run(kernels::IndexedTask enqueue);
  /// Copies, calls `steps`, which enqueues kernels and may wait() for each, copies back.
  void run_waiting(kernels::IndexedTask steps);
  void wait() { stream_.wait(); }

 private:
  void upload();
  void download();

  const Plan& plan_;
  std::byte** bases_;
  kernels::DeviceStream stream_;
  kernels::DeviceMemory workspace_;
  std::vector<kernels::DeviceMemory> sources_;
  std::vector<const void*> host_sources_;
  std::vector<std::byte*> host_outputs_;
  AlignedBuffer<std::byte> mirror_;
  kernels::DeviceStream::Recording recording_;
  bool has_run_ = false;
};

}  // namespace autodiff::detail
