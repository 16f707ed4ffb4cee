// --device and --precision, for the commands that compute.
#pragma once

#include <CLI/CLI.hpp>
#include <optional>
#include <string>

namespace ev3::cli {

struct DeviceArguments {
  std::string device = "cpu", precision = "float32";
};

/// Adds both options.
void add_device(CLI::App& command, DeviceArguments& arguments);
/// Below so many floating point operations a training step, the CPU is done before a device has begun.
inline constexpr double flops_worth_a_device = 1e7;
/// Makes programs run there from now on. `auto` takes a device where there is one, unless a training step has
/// `flops` and these are few, and says on stderr what it chose and why. Throws Error for cuda without a
/// device, and for a precision that the CPU does not have.
void use_device(const DeviceArguments& arguments, bool quiet, std::optional<double> flops = {});

/// "cuda, NVIDIA H100, tf32", or "" on the CPU.
std::string device_text();

}  // namespace ev3::cli
