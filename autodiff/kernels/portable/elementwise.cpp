#include "autodiff/kernels/portable/kernels.h"

namespace autodiff::kernels::portable {
namespace {

template <Unary kind>
void map(const UnaryDims& d, const float* x, float* y) {
  for (std::size_t i = 0; i < d.n; ++i) y[i] = unary_reference(kind, x[i], static_cast<double>(d.constant));
}

template <Binary kind>
void zip(const BinaryDims& d, const float* a, const float* b, float* y) {
  const auto last = static_cast<std::size_t>(d.rank - 1);
  const std::ptrdiff_t n = d.size[last];
  // A loop for each of the three ways in which rows meet, so that each can be vectorized.
  const auto rows = [&](auto a_at, auto b_at) {
    for_each_row(d, a, b, y, [&](const float* ra, const float* rb, float* ry) {
      for (std::ptrdiff_t i = 0; i < n; ++i) ry[i] = binary_reference(kind, ra[a_at(i)], rb[b_at(i)]);
    });
  };
  const auto each = [](std::ptrdiff_t i) { return i; };
  const auto same = [](std::ptrdiff_t) { return std::ptrdiff_t{0}; };
  if (d.a_stride[last] == 0) {
    rows(same, each);
  } else if (d.b_stride[last] == 0) {
    rows(each, same);
  } else {
    rows(each, each);
  }
}

}  // namespace

void unary(const UnaryDims& d, const float* x, float* y) {
  switch (d.kind) {
    case Unary::relu:
      return map<Unary::relu>(d, x, y);
    case Unary::tanh:
      return map<Unary::tanh>(d, x, y);
    case Unary::sigmoid:
      return map<Unary::sigmoid>(d, x, y);
    case Unary::exp:
      return map<Unary::exp>(d, x, y);
    case Unary::log:
      return map<Unary::log>(d, x, y);
    case Unary::sqrt:
      return map<Unary::sqrt>(d, x, y);
    case Unary::square:
      return map<Unary::square>(d, x, y);
    case Unary::scale:
      return map<Unary::scale>(d, x, y);
    case Unary::shift:
      return map<Unary::shift>(d, x, y);
  }
}

void binary(const BinaryDims& d, const float* a, const float* b, float* y) {
  switch (d.kind) {
    case Binary::add:
      return zip<Binary::add>(d, a, b, y);
    case Binary::sub:
      return zip<Binary::sub>(d, a, b, y);
    case Binary::mul:
      return zip<Binary::mul>(d, a, b, y);
    case Binary::div:
      return zip<Binary::div>(d, a, b, y);
    case Binary::equal:
      return zip<Binary::equal>(d, a, b, y);
    case Binary::relu_grad:
      return zip<Binary::relu_grad>(d, a, b, y);
    case Binary::tanh_grad:
      return zip<Binary::tanh_grad>(d, a, b, y);
    case Binary::sigmoid_grad:
      return zip<Binary::sigmoid_grad>(d, a, b, y);
  }
}

}  // namespace autodiff::kernels::portable
