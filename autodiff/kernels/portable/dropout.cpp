#include <algorithm>

#include "autodiff/kernels/portable/kernels.h"

namespace autodiff::kernels::portable {

// Four elements from each call of the generator, instead of one.
void dropout(const DropoutDims& d, const float* x, const std::int32_t* keys, float* y) {
  for (std::size_t n = 0; n < d.samples; ++n, x += d.size, y += d.size) {
    for (std::size_t i = 0; i < d.size; i += 4) {
      const auto words = dropout_words(i / 4, d.layer, keys[n]);
      const std::size_t count = std::min<std::size_t>(4, d.size - i);
      for (std::size_t k = 0; k < count; ++k) y[i + k] = words[k] >= d.threshold ? d.scale * x[i + k] : 0.0f;
    }
  }
}

}  // namespace autodiff::kernels::portable
