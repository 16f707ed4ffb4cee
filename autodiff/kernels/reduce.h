// Sums, means and maxima along one block of neighbouring axes.
#pragma once

#include <cstddef>
#include <limits>

#include "autodiff/kernels/scalar.h"

namespace autodiff::kernels {

enum class Reduce { sum, max };

/// y [outer, inner] from x [outer, reduced, inner]: the sum divided by `divisor` (the count for a mean), or
/// the maximum.
struct ReduceDims {
  Reduce kind;
  std::size_t outer, reduced, inner;
  double divisor = 1;
};

/// Sums are formed in double for float. The sum of nothing is 0, its maximum -infinity.
template <class T>
void reduce_reference(const ReduceDims& d, const T* x, T* y) {
  for (std::size_t o = 0; o < d.outer; ++o) {
    for (std::size_t i = 0; i < d.inner; ++i) {
      const std::size_t column = o * d.reduced * d.inner + i;
      if (d.kind == Reduce::sum) {
        Accumulator<T> sum{};
        for (std::size_t r = 0; r < d.reduced; ++r) sum += x[column + r * d.inner];
        y[o * d.inner + i] = static_cast<T>(sum / d.divisor);
      } else {
        T best = constant<T>(-std::numeric_limits<double>::infinity());
        for (std::size_t r = 0; r < d.reduced; ++r) {
          if (real_part(x[column + r * d.inner]) > real_part(best)) best = x[column + r * d.inner];
        }
        y[o * d.inner + i] = best;
      }
    }
  }
}

}  // namespace autodiff::kernels
