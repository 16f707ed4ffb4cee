#include "nn/fields.h"

#include <cmath>
#include <cstdint>

#include "autodiff/tensor/error.h"

namespace nn {

using autodiff::text;

std::string words(const Range& range) {
  std::string out;
  if (std::isfinite(range.least)) out += text(range.above_least ? " above " : " of at least ", range.least);
  if (std::isfinite(range.most)) {
    out += text(out.empty() ? " " : " and ", range.below_most ? "below " : "at most ");
    out +=
        std::abs(range.most) < 1e6 ? text(range.most) : std::to_string(static_cast<std::int64_t>(range.most));
  }
  return out;
}

bool inside(const Range& range, double x) {
  return std::isfinite(x) && (range.above_least ? x > range.least : x >= range.least) &&
         (range.below_most ? x < range.most : x <= range.most);
}

}  // namespace nn
