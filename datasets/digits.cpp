#include "datasets/digits.h"

#include <iterator>
#include <string_view>

namespace datasets {
namespace {

// One string per image: 64 pixels 'a' + value, then the class; written by make_digits.py.
constexpr std::string_view images[] = {
#include "datasets/digits_data.inc"
};

}  // namespace

Dataset digits() {
  const int n = static_cast<int>(std::size(images));
  Dataset out{.name = "digits",
              .features = autodiff::Tensor({n, 8, 8, 1}),
              .labels = autodiff::Labels(autodiff::Shape{n}),
              .classes = 10};
  for (std::size_t i = 0; i < std::size(images); ++i) {
    for (std::size_t j = 0; j < 64; ++j) {
      out.features[64 * i + j] = static_cast<float>(images[i][j] - 'a') / 16;
    }
    out.labels[i] = images[i][64] - '0';
  }
  return out;
}

}  // namespace datasets
