#include "datasets/shrink.h"

#include <type_traits>

#include "autodiff/tensor/error.h"

namespace datasets {
namespace {

// Images [n, H, W, C]; `Sum` holds the sum of factor x factor elements.
template <class Sum, class T>
autodiff::BasicTensor<T> averaged(const autodiff::BasicTensor<T>& from, int factor) {
  const autodiff::Shape& shape = from.shape();
  const int n = shape[0], height = shape[1] / factor, width = shape[2] / factor, channels = shape[3];
  autodiff::BasicTensor<T> out({n, height, width, channels});
  const auto in = from.view();
  const auto to = out.view();
  const auto area = static_cast<Sum>(factor * factor);
  for (int i = 0; i < n; ++i) {
    for (int y = 0; y < height; ++y) {
      for (int x = 0; x < width; ++x) {
        for (int c = 0; c < channels; ++c) {
          Sum sum = 0;
          for (int dy = 0; dy < factor; ++dy) {
            for (int dx = 0; dx < factor; ++dx) {
              sum += static_cast<Sum>(in(i, y * factor + dy, x * factor + dx, c));
            }
          }
          if constexpr (std::is_integral_v<Sum>) sum += area / 2;  // to the nearest
          to(i, y, x, c) = static_cast<T>(sum / area);
        }
      }
    }
  }
  return out;
}

}  // namespace

Dataset shrink(const Dataset& data, int factor) {
  const autodiff::Shape sample = data.sample();
  if (sample.rank() != 3) autodiff::fail(data.name, ": shrink wants images [H, W, C], got samples ", sample);
  if (factor < 1 || sample[0] % factor != 0 || sample[1] % factor != 0) {
    autodiff::fail(data.name, ": shrink wants a factor that divides both sides of images ", sample, ", got ",
                   factor);
  }
  Dataset out{.name = data.name,
              .labels = data.labels,
              .classes = data.classes,
              .class_names = data.class_names,
              .scaling = data.scaling};
  if (data.is_bytes()) {
    out.pixels = averaged<int>(data.pixels, factor);
  } else {
    out.features = averaged<double>(data.features, factor);
  }
  return out;
}

}  // namespace datasets
