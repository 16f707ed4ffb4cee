#include <algorithm>
#include <array>

#include "autodiff/kernels/portable/kernels.h"

namespace autodiff::kernels::portable {

// As reduce.cpp: a block of channels at a time, so that whole rows of memory are read.
void moments(const MomentsDims& d, const float* x, float* m) {
  constexpr std::size_t block = 64;
  const auto rows = static_cast<double>(d.rows);
  for (std::size_t first = 0; first < d.channels; first += block) {
    const std::size_t channels = std::min(block, d.channels - first);
    std::array<double, block> sums{}, squares{};
    for (std::size_t r = 0; r < d.rows; ++r) {
      const float* row = x + r * d.channels + first;
      for (std::size_t c = 0; c < channels; ++c) sums[c] += static_cast<double>(row[c]);
    }
    for (double& sum : sums) sum /= rows;
    for (std::size_t r = 0; r < d.rows; ++r) {
      const float* row = x + r * d.channels + first;
      for (std::size_t c = 0; c < channels; ++c) {
        const double distance = static_cast<double>(row[c]) - sums[c];
        squares[c] += distance * distance;
      }
    }
    for (std::size_t c = 0; c < channels; ++c) {
      m[first + c] = static_cast<float>(sums[c]);
      m[d.channels + first + c] = static_cast<float>(squares[c] / rows);
    }
  }
}

}  // namespace autodiff::kernels::portable
