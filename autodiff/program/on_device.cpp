#include "autodiff/program/on_device.h"

#include "autodiff/program/program.h"

namespace autodiff::detail {
namespace {

std::size_t bytes_of(const External& e) { return e.size * dtype_size(e.dtype); }
std::size_t bytes_of(const Plan::Output& o) { return o.shape.size() * dtype_size(o.dtype); }

}  // namespace

OnDevice::OnDevice(const Plan& plan, std::byte** bases)
    : plan_(plan),
      bases_(bases),
      workspace_(plan.workspace_bytes(), "the workspace of a program"),
      sources_(plan.externals.size()),
      host_sources_(plan.externals.size()) {
  bases_[Operand::arena] = workspace_.data();
  for (std::size_t i = 0; i < plan.externals.size(); ++i) {
    const External& e = plan.externals[i];
    if (!e.constant) continue;
    sources_[i] = kernels::DeviceMemory(bytes_of(e), "constants");
    stream_.to_device(sources_[i].data(), e.constant, bytes_of(e));
    bases_[i + 2] = sources_[i].data();
  }
  stream_.wait();
  std::size_t bytes = 0;
  for (const Plan::Output& out : plan.outputs) bytes += aligned(bytes_of(out));
  mirror_ = AlignedBuffer<std::byte>(bytes);
  std::byte* next = mirror_.data();
  for (const Plan::Output& out : plan.outputs) {
    bases_[static_cast<std::size_t>(out.place.base)] = workspace_.data() + out.arena_offset;
    host_outputs_.push_back(next);
    next += aligned(bytes_of(out));
  }
}

void OnDevice::bind(std::size_t i, const void* elements) {
  host_sources_[i] = elements;
  if (sources_[i].size() == 0 && bytes_of(plan_.externals[i]) > 0) {
    sources_[i] = kernels::DeviceMemory(bytes_of(plan_.externals[i]), "inputs");
  }
  if (bases_[i + 2] != sources_[i].data()) recording_ = {};
  bases_[i + 2] = sources_[i].data();
}

void OnDevice::bind_address(std::size_t i, const void* address) {
  host_sources_[i] = nullptr;
  auto* base = static_cast<std::byte*>(const_cast<void*>(address));  // only read
  if (bases_[i + 2] != base) recording_ = {};
  bases_[i + 2] = base;
}

void OnDevice::write_to(std::size_t k, float* destination) {
  host_outputs_[k] = reinterpret_cast<std::byte*>(destination);
}

void OnDevice::write_address(std::size_t k, float* address) {
  host_outputs_[k] = nullptr;
  std::byte*& base = bases_[static_cast<std::size_t>(plan_.outputs[k].place.base)];
  if (base != reinterpret_cast<std::byte*>(address)) recording_ = {};
  base = reinterpret_cast<std::byte*>(address);
}

void OnDevice::upload() {
  for (std::size_t i = 0; i < host_sources_.size(); ++i) {
    if (host_sources_[i]) stream_.to_device(bases_[i + 2], host_sources_[i], bytes_of(plan_.externals[i]));
  }
}

void OnDevice::download() {
  for (std::size_t k = 0; k < host_outputs_.size(); ++k) {
    const Plan::Output& out = plan_.outputs[k];
    if (host_outputs_[k]) {
      stream_.to_host(host_outputs_[k], bases_[static_cast<std::size_t>(out.place.base)], bytes_of(out));
    }
  }
  stream_.wait();
}

void OnDevice::run(kernels::IndexedTask enqueue) {
  upload();
  // Not yet the first time: libraries make themselves ready then, which cannot be recorded.
  if (has_run_ && recording_.empty()) recording_ = stream_.record([&] { enqueue(0); });
  if (recording_.empty()) {
    stream_.enqueue([&] { enqueue(0); });
    has_run_ = true;
  } else {
    stream_.play(recording_);
  }
  download();
}

void OnDevice::run_waiting(kernels::IndexedTask steps) {
  upload();
  stream_.wait();
  stream_.enqueue([&] { steps(0); });
  download();
}

}  // namespace autodiff::detail
