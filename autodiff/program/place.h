// Placing intermediates in one block of memory so that those alive at the same time do not overlap.
#pragma once

#include <cstddef>
#include <vector>

namespace autodiff {

/// A value of `bytes` bytes that is written at time `first` and read for the last time at `last` >= first.
struct Lifetime {
  std::size_t bytes = 0;
  int first = 0, last = 0;
};

/// Offsets for the values, multiples of the alignment, and the size of the block that holds them.
struct Placement {
  std::vector<std::size_t> offsets;
  std::size_t bytes = 0;
};

/// Largest first, each at the lowest offset that is free during its life. (Greedy by size: Pisarchyk and Lee,
/// "Efficient memory management for deep neural net inference", 2020; within a few percent of the optimum
/// there.)
Placement place(const std::vector<Lifetime>& values);

}  // namespace autodiff
