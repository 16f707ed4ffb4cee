#include <algorithm>
#include <array>

#include "autodiff/kernels/portable/kernels.h"

namespace autodiff::kernels::portable {

void reduce(const ReduceDims& d, const float* x, float* y) {
  // The reference walks down one column after the other. Here a block of columns is walked down together: the
  // same order within each column, but whole rows of memory at a time.
  constexpr std::size_t block = 64;
  if (d.kind != Reduce::sum || d.inner == 1) return reduce_reference(d, x, y);
  for (std::size_t o = 0; o < d.outer; ++o, x += d.reduced * d.inner, y += d.inner) {
    for (std::size_t first = 0; first < d.inner; first += block) {
      const std::size_t columns = std::min(block, d.inner - first);
      std::array<double, block> sums{};
      for (std::size_t r = 0; r < d.reduced; ++r) {
        const float* row = x + r * d.inner + first;
        for (std::size_t i = 0; i < columns; ++i) sums[i] += static_cast<double>(row[i]);
      }
      for (std::size_t i = 0; i < columns; ++i) y[first + i] = static_cast<float>(sums[i] / d.divisor);
    }
  }
}

}  // namespace autodiff::kernels::portable
