// Inside check_kernels: arrays with something around them, and the list of results. Private to this folder.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <optional>
#include <vector>

#include "autodiff/kernels/check.h"
#include "autodiff/kernels/device.h"
#include "autodiff/tensor/random.h"

namespace autodiff::kernels::detail {

inline constexpr double unit = 0x1p-24,
                        ulp = 0x1p-23;  // half the distance from 1 to the next float, and all of it
inline constexpr double tiniest = 0x1p-149;

/// Whether the row that is checked is that of a device.
inline bool on_device = false;
/// Elements around every array: odd, so that arrays are not aligned. A device has kernels of its own for
/// aligned ones.
inline std::size_t margin = 67;

/// Memory of arrays: of the host, or, while the row of a device is checked, of the host but open to the
/// device.
template <class T>
class CheckMemory {
 public:
  CheckMemory(std::size_t n, T value) : size_(n) {
    if (on_device) {
      pinned_ = PinnedMemory(n * sizeof(T));
      data_ = reinterpret_cast<T*>(pinned_.data());
      std::fill_n(data_, n, value);
    } else {
      own_.assign(n, value);
      data_ = own_.data();
    }
  }
  T* data() const { return data_; }
  std::size_t size() const { return size_; }

 private:
  std::vector<T> own_;
  PinnedMemory pinned_;
  T* data_;
  std::size_t size_;
};

// n values, with NaN (or a label that is none) on both sides.
template <class T>
class Input {
 public:
  explicit Input(std::size_t n) : memory_(n + 2 * margin, outside()) {
    std::fill_n(memory_.data() + margin, n, T{});
  }
  T* data() { return memory_.data() + margin; }
  std::size_t size() const { return memory_.size() - 2 * margin; }
  std::vector<double> doubles(bool absolute = false) {
    std::vector<double> out(data(), data() + size());
    for (double& x : out) x = absolute ? std::abs(x) : x;
    return out;
  }

 private:
  static T outside() {
    if constexpr (std::is_same_v<T, float>)
      return std::numeric_limits<float>::quiet_NaN();
    else
      return T{1 << 20};
  }
  CheckMemory<T> memory_;
};

// n values to be written, with a pattern on both sides and, at first, inside.
template <class T>
class Output {
 public:
  explicit Output(std::size_t n) : memory_(n + 2 * margin, std::bit_cast<T>(pattern)) {}
  T* data() { return memory_.data() + margin; }
  std::size_t size() const { return memory_.size() - 2 * margin; }
  bool intact() const {
    for (std::size_t i = 0; i < memory_.size(); ++i) {
      const bool inside = i >= margin && i < memory_.size() - margin;
      if (!inside && std::bit_cast<std::uint32_t>(memory_.data()[i]) != pattern) return false;
    }
    return true;
  }

 private:
  static constexpr std::uint32_t pattern = 0x7fa5c3e1;
  CheckMemory<T> memory_;
};

inline Input<float> normal(std::size_t n, std::uint64_t stream, double scale = 1) {
  Input<float> out(n);
  const Random random{Seed{stream}};
  for (std::size_t i = 0; i < n; ++i) out.data()[i] = static_cast<float>(scale * random.normal(i));
  return out;
}

template <class Entry>
Output<float> scratch_for(const Entry& entry, const typename Entry::dims_type& d) {
  return Output<float>(entry.scratch_bytes ? entry.scratch_bytes(d) / sizeof(float) : 0);
}

/// What the checks of one backend find.
class Checks {
 public:
  explicit Checks(const Backend& backend) : row_(backend) {
    on_device = &backend == cuda_backend();
    if (on_device) stream_.emplace();
  }
  ~Checks() { on_device = was_on_device_; }
  Checks(const Checks&) = delete;
  Checks& operator=(const Checks&) = delete;
  std::vector<KernelCheck> results;

 protected:
  /// Calls a kernel, on the device where it belongs there.
  template <class Call>
  void call(const Call& kernel) {
    if (!stream_) return kernel();
    stream_->enqueue(kernel);
    stream_->wait();
  }
  // Error of a float sum of n products over the sum of their magnitudes (Higham, section 3.1).
  static double gamma(int n) { return (n + 1) * unit / (1 - (n + 1) * unit); }
  template <class T>
  void add(std::string kernel, std::string dims, Output<T>& got, const std::vector<double>& want,
           const std::vector<double>& bound, bool scratch_intact = true) {
    KernelCheck check{std::move(kernel), std::string(row_.name), std::move(dims)};
    double worst = -1;
    for (std::size_t i = 0; i < want.size(); ++i) {
      const auto value = static_cast<double>(got.data()[i]);
      const double error = value == want[i] ? 0 : std::abs(value - want[i]);  // infinities are equal
      const double ratio = error == 0 ? 0 : error / bound[i];
      if (ratio <= worst) continue;
      worst = std::isnan(ratio) ? std::numeric_limits<double>::infinity() : ratio;
      check.error = error;
      check.bound = bound[i];
      check.ok = worst <= 1;
    }
    if (!got.intact() || !scratch_intact) {
      check.error = check.bound = std::numeric_limits<double>::infinity();
      check.ok = false;
    }
    results.push_back(std::move(check));
  }

  const Backend& row_;

 private:
  bool was_on_device_ = on_device;
  std::optional<DeviceStream> stream_;
};

/// What bounds the error of Winograd's convolution, times a few units: the sums that it forms, over
/// magnitudes. x, w and dy are magnitudes already.
std::vector<double> winograd_magnitudes(const Conv2dDims& d, const std::vector<double>& x,
                                        const std::vector<double>& w);
std::vector<double> winograd_filter_grad_magnitudes(const Conv2dDims& d, const std::vector<double>& x,
                                                    const std::vector<double>& dy);

/// The kernels for images: convolution, pooling, moments.
std::vector<KernelCheck> check_images(const Backend& backend);

}  // namespace autodiff::kernels::detail
