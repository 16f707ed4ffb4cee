// Small random numbers for tests that make up what they test.
#pragma once

#include "autodiff/tensor/random.h"

namespace tests {

// One number below n after the other.
struct Picker {
  const autodiff::Random& random;
  std::uint64_t count = 0;
  int operator()(int n) { return static_cast<int>(random.below(count++, static_cast<std::uint64_t>(n))); }
};

}  // namespace tests
