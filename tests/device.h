// What tests of a device share.
#pragma once

#include <algorithm>
#include <cmath>
#include <iostream>
#include <span>
#include <vector>

#include "autodiff/kernels/device.h"
#include "autodiff/tensor/random.h"
#include "nn/resnet.h"

namespace tests {

// Says why a test is skipped, once for each.
inline bool no_device(const char* test) {
  const autodiff::kernels::DeviceInfo info = autodiff::kernels::device_info();
  if (!info.found) std::cout << "skipped, " << test << ": " << info.reason << '\n';
  return !info.found;
}

struct OnDevice {
  autodiff::kernels::Device before = autodiff::kernels::default_device();
  OnDevice() { autodiff::kernels::set_default_device(autodiff::kernels::Device::cuda); }
  OnDevice(const OnDevice&) = delete;
  OnDevice& operator=(const OnDevice&) = delete;
  ~OnDevice() { autodiff::kernels::set_default_device(before); }
};

inline const nn::ResNet small_resnet{.inputs = {8, 8, 3}, .filters = 16, .blocks = {1, 1, 1}, .classes = 10};

inline std::vector<float> random_floats(std::size_t n, std::uint64_t seed) {
  std::vector<float> out(n);
  const autodiff::Random random{autodiff::Seed{seed}};
  for (std::size_t i = 0; i < n; ++i) out[i] = static_cast<float>(random.normal(i));
  return out;
}

inline double distance(std::span<const float> a, std::span<const float> b) {
  double worst = 0, size = 1e-30;
  for (std::size_t i = 0; i < a.size(); ++i) {
    worst = std::max(worst, std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i])));
    size = std::max(size, std::abs(static_cast<double>(b[i])));
  }
  return worst / size;
}

}  // namespace tests
