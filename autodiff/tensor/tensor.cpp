#include "autodiff/tensor/tensor.h"

#include <ostream>

namespace autodiff {
namespace {

void print(std::ostream& out, const View<const float>& view, int axis, std::ptrdiff_t offset) {
  if (axis == view.shape.rank()) {
    out << view.data[offset];
    return;
  }
  constexpr int most = 8;
  out << '[';
  for (int i = 0; i < view.shape[axis]; ++i) {
    if (i) out << ", ";
    if (i == most - 1 && view.shape[axis] > most) {
      out << "... ";
      i = view.shape[axis] - 1;
    }
    print(out, view, axis + 1, offset + i * view.strides[static_cast<std::size_t>(axis)]);
  }
  out << ']';
}

}  // namespace

std::ostream& operator<<(std::ostream& out, const Tensor& tensor) {
  print(out, tensor.view(), 0, 0);
  return out;
}

}  // namespace autodiff
