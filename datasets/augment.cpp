#include "datasets/augment.h"

#include <algorithm>

#include "autodiff/tensor/error.h"

namespace datasets {

void check(const Augmentation& augmentation, const autodiff::Shape& sample, const std::string& name) {
  if (!augmentation.any() && augmentation.pad == 0) return;
  if (sample.rank() != 3) {
    autodiff::fail(name, ": pad and flip want images [H, W, C], got samples ", sample);
  }
  const int side = std::min(sample[0], sample[1]);
  if (augmentation.pad < 0 || augmentation.pad >= side) {
    autodiff::fail(name, ": want a pad from 0 to ", side - 1, " for images ", sample, ", got ",
                   augmentation.pad);
  }
}

Placement placement(const Augmentation& augmentation, const autodiff::Random& random, std::uint64_t p) {
  Placement out;
  if (augmentation.pad > 0) {
    const auto places = static_cast<std::uint64_t>(2 * augmentation.pad + 1);
    out.dy = static_cast<int>(random.below(3 * p, places)) - augmentation.pad;
    out.dx = static_cast<int>(random.below(3 * p + 1, places)) - augmentation.pad;
  }
  if (augmentation.flip) out.flip = random.below(3 * p + 2, 2) == 1;
  return out;
}

}  // namespace datasets
