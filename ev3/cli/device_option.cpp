#include "ev3/cli/device_option.h"

#include <fmt/core.h>

#include <cstdio>

#include "autodiff/kernels/device.h"
#include "autodiff/tensor/error.h"

namespace ev3::cli {

namespace kernels = autodiff::kernels;

void add_device(CLI::App& command, DeviceArguments& arguments) {
  command
      .add_option(
          "--device", arguments.device,
          "where to compute: cpu (the default), cuda, or auto, which takes a device where there is one")
      ->check(CLI::IsMember({"cpu", "cuda", "auto"}));
  command
      .add_option("--precision", arguments.precision,
                  "matrix products and convolutions of a device: float32 (the default), tf32 or bf16")
      ->check(CLI::IsMember({"float32", "tf32", "bf16"}));
}

void use_device(const DeviceArguments& arguments, bool quiet, std::optional<double> flops) {
  const kernels::DeviceInfo info = kernels::device_info();
  const bool is_small = flops && *flops < flops_worth_a_device;
  const bool wanted = arguments.device == "cuda" || (arguments.device == "auto" && info.found && !is_small);
  if (arguments.device == "auto" && !quiet) {
    const std::string small = is_small
                                  ? fmt::format(
                                        "cpu, since a training step of {:.2g} MFLOP is done there before a "
                                        "device has begun (from {:g} on a device is taken)",
                                        *flops * 1e-6, flops_worth_a_device * 1e-6)
                                  : "";
    fmt::print(stderr, "device auto: {}\n",
               !info.found ? "cpu, since " + info.reason
               : is_small  ? small
                           : "cuda, " + info.name);
  }
  if (wanted) kernels::set_default_device(kernels::Device::cuda);
  for (const auto p : {kernels::Precision::float32, kernels::Precision::tf32, kernels::Precision::bf16}) {
    if (arguments.precision == kernels::name_of(p)) kernels::set_device_precision(p);
  }
  if (!wanted && arguments.precision != "float32") {
    autodiff::fail("--precision ", arguments.precision,
                   ": the CPU computes in float32 only; add --device cuda");
  }
}

std::string device_text() {
  if (kernels::default_device() == kernels::Device::cpu) return "";
  return fmt::format("cuda, {}, {}", kernels::device_info().name,
                     kernels::name_of(kernels::device_precision()));
}

}  // namespace ev3::cli
