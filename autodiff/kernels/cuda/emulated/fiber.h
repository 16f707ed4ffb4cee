// A stack and what runs on it, until it hands over to another one.
#pragma once

#include <cstddef>

#if !defined(__x86_64__) && !defined(__aarch64__)
#include <ucontext.h>
#endif

namespace emulated {

/// Where somebody who does not run at the moment will go on.
class Fiber {
 public:
  Fiber() = default;
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  /// The next switch_to() calls body() on `stack`. Its first act must be arrive_from(), and its last
  /// leave_to().
  void begin(std::byte* stack, std::size_t bytes, void (*body)());
  void arrive_from(Fiber& other);
  /// Goes on at `other`, until somebody switches to this one.
  void switch_to(Fiber& other) { go(other, true); }
  /// The same for the last time.
  void leave_to(Fiber& other) { go(other, false); }

 private:
  void go(Fiber& other, bool returns);

  // What AddressSanitizer is told: the stack, and its own notes about it.
  const void* stack_ = nullptr;
  std::size_t bytes_ = 0;
  void* notes_ = nullptr;
#if defined(__x86_64__) || defined(__aarch64__)
  void* top_ = nullptr;  // of the stack, where the registers are
#else
  ucontext_t context_;
#endif
};

}  // namespace emulated
