// Memory between guard bytes, and the number of threads for the length of a scope.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "autodiff/kernels/parallel.h"

namespace tests {

/// `bytes` bytes filled with `pattern`, between two guards filled with another. They start 4 bytes after an
/// aligned address, as the samples of a chunk may.
class Guarded {
 public:
  Guarded(std::size_t bytes, unsigned char pattern)
      : bytes_(bytes), memory_(shift + 2 * guard + bytes + 64, guard_pattern) {
    const auto address = reinterpret_cast<std::uintptr_t>(memory_.data());
    start_ = memory_.data() + (64 - address % 64) % 64 + guard + shift;
    std::memset(start_, pattern, bytes);
  }
  void* data() { return start_; }
  bool intact() const {
    const auto is_guard = [](unsigned char byte) { return byte == guard_pattern; };
    const unsigned char* first = memory_.data();
    return std::all_of(first, static_cast<const unsigned char*>(start_), is_guard) &&
           std::all_of(static_cast<const unsigned char*>(start_) + bytes_, first + memory_.size(), is_guard);
  }
  std::vector<unsigned char> content() const { return {start_, start_ + bytes_}; }

 private:
  static constexpr std::size_t guard = 256, shift = 4;
  static constexpr unsigned char guard_pattern = 0xA5;
  std::size_t bytes_;
  std::vector<unsigned char> memory_;
  unsigned char* start_;
};

/// Sets the number of threads and puts back the old one.
class ThreadsGuard {
 public:
  explicit ThreadsGuard(int count) : before_(autodiff::kernels::threads()) {
    autodiff::kernels::set_threads(count);
  }
  ThreadsGuard(const ThreadsGuard&) = delete;
  ThreadsGuard& operator=(const ThreadsGuard&) = delete;
  ~ThreadsGuard() { autodiff::kernels::set_threads(before_); }

 private:
  int before_;
};

}  // namespace tests
