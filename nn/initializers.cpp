#include "nn/initializers.h"

#include <algorithm>
#include <cmath>

namespace nn {

void fill(const Initializer& initializer, const autodiff::Shape& shape, autodiff::Seed seed,
          std::span<float> values) {
  if (initializer.distribution == Distribution::zeros || initializer.distribution == Distribution::ones) {
    std::fill(values.begin(), values.end(), initializer.distribution == Distribution::ones ? 1.0f : 0.0f);
    return;
  }
  double window = 1;  // of a convolution
  for (int axis = 0; axis + 2 < shape.rank(); ++axis) window *= shape[axis];
  const double in = shape.rank() < 2 ? static_cast<double>(shape.size()) : window * shape[-2];
  const double out = shape.rank() < 1 ? 1 : window * shape[-1];
  const double fan = initializer.fan == Fan::in ? in : initializer.fan == Fan::out ? out : (in + out) / 2;
  const double sd = std::sqrt(initializer.scale / std::max(1.0, fan));
  // Standard deviation of a standard normal truncated at +-2.
  constexpr double truncated_sd = 0.87962566103423978;
  const autodiff::Random random(seed);
  for (std::size_t i = 0; i < values.size(); ++i) {
    double x = 0;
    switch (initializer.distribution) {
      case Distribution::normal:
        x = sd * random.normal(i);
        break;
      case Distribution::uniform:
        x = random.uniform(i, -sd * std::sqrt(3.0), sd * std::sqrt(3.0));
        break;
      default:
        x = sd / truncated_sd * random.truncated_normal(i);
        break;
    }
    values[i] = static_cast<float>(x);
  }
}

}  // namespace nn
