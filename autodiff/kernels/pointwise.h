// Several element-wise functions of arrays [rows, columns], one after the other for a few rows at a time:
// what is only read by others of them stays in the first-level cache.
#pragma once

#include <cstddef>
#include <vector>

#include "autodiff/kernels/elementwise.h"

namespace autodiff::kernels {

/// One function: of a, or of a and b. A product may have neighbours, (a - d) b + c, with the roundings of
/// three steps: a - d where `subtracts` is set, + c where `adds` is. Operands are numbers, see PointwiseDims.
struct PointwiseStep {
  bool is_binary = false, subtracts = false, adds = false;
  Unary unary = {};
  Binary binary = {};
  float constant = 0;  ///< of scale and shift
  int a = 0, b = 0, c = 0, d = 0, y = 0;
};

/// What a step computes, added over all rows, in double, and divided: a number for each column.
struct PointwiseSum {
  int step = 0;
  double divisor = 1;
};

/// Operands 0 .. full-1 are arrays [rows, columns], the next `repeated` ones rows [columns] that are the same
/// for all rows, the next `single` ones numbers. After them come `local` operands, which have no memory: they
/// are written by a step before they are read. In the list of addresses the results [columns] of sums follow
/// on the single ones.
struct PointwiseDims {
  std::size_t columns = 0;
  int full = 0, repeated = 0, single = 0, local = 0;
  std::vector<PointwiseStep> steps = {};
  std::vector<PointwiseSum> sums = {};  ///< where the backend has pointwise_sums; at most one of a step
  /// The array, if there is one, that the call before this one writes and that nobody reads after this one: a
  /// backend that does both calls at once need not write it.
  int spent = -1;
};

/// Limits: the number of operands, and the memory of those that are not full, in the first-level cache.
inline constexpr int most_pointwise_operands = 64, most_pointwise_sums = 3;
inline constexpr std::size_t pointwise_block = 128, most_pointwise_floats = 6144;

/// The memory that `repeated` rows of so many columns and `others` take, at most.
inline std::size_t pointwise_floats(std::size_t columns, std::size_t repeated, std::size_t others) {
  return repeated * (columns + 2 * pointwise_block) + others * pointwise_block;
}

}  // namespace autodiff::kernels
