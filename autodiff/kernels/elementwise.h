// Functions applied element by element, of one argument and of two.
#pragma once

#include <array>
#include <cstddef>

#include "autodiff/kernels/scalar.h"

namespace autodiff::kernels {

enum class Unary { relu, tanh, sigmoid, exp, log, sqrt, square, scale, shift };

/// y[i] = f(x[i]) for i < n; `constant` is the factor of scale and the summand of shift.
struct UnaryDims {
  Unary kind;
  std::size_t n;
  float constant = 0;
};

template <class T>
EV3_SHARED T unary_reference(Unary kind, T x, double c) {
  using std::exp, std::log, std::sqrt, std::tanh;
  switch (kind) {
    case Unary::relu:
      return real_part(x) > 0 ? x : T{};
    case Unary::tanh:
      return tanh(x);
    case Unary::sigmoid:  // the exponent is never positive, so nothing overflows
      return real_part(x) < 0 ? exp(x) / (T(1) + exp(x)) : T(1) / (T(1) + exp(-x));
    case Unary::exp:
      return exp(x);
    case Unary::log:
      return log(x);
    case Unary::sqrt:
      return sqrt(x);
    case Unary::square:
      return x * x;
    case Unary::scale:
      return constant<T>(c) * x;
    case Unary::shift:
      return constant<T>(c) + x;
  }
  return x;
}

template <class T>
void unary_reference(const UnaryDims& d, const T* x, T* y) {
  for (std::size_t i = 0; i < d.n; ++i) y[i] = unary_reference(d.kind, x[i], static_cast<double>(d.constant));
}

/// The last three are the derivatives of relu, tanh and sigmoid, as functions of (x or y, dy).
enum class Binary { add, sub, mul, div, equal, relu_grad, tanh_grad, sigmoid_grad };

/// y = f(a, b) over an index space of `rank` axes of sizes `size`, y row-major without gaps; a and b have a
/// stride per axis, 0 where they are repeated (NumPy's broadcasting). Made by binary_dims() in
/// graph/elementwise.cpp, which joins axes where it can: the last axis is as long as possible and its strides
/// are 0 or 1.
struct BinaryDims {
  static constexpr int max_rank = 6;
  Binary kind;
  int rank;
  std::array<int, max_rank> size;
  std::array<std::ptrdiff_t, max_rank> a_stride, b_stride;
};

template <class T>
EV3_SHARED T binary_reference(Binary kind, T a, T b) {
  switch (kind) {
    case Binary::add:
      return a + b;
    case Binary::sub:
      return a - b;
    case Binary::mul:
      return a * b;
    case Binary::div:
      return a / b;
    case Binary::equal:
      return real_part(a) == real_part(b) ? T(1) : T{};
    case Binary::relu_grad:
      return real_part(a) > 0 ? b : T{};  // relu'(0) = 0
    case Binary::tanh_grad:
      return b * (T(1) - a * a);  // a = tanh(x)
    case Binary::sigmoid_grad:
      return b * (a * (T(1) - a));  // a = sigmoid(x)
  }
  return a;
}

/// Calls row(a, b, y) for every row along the last axis; the pointers are at the row's first elements.
template <class T, class Row>
void for_each_row(const BinaryDims& d, const T* a, const T* b, T* y, Row row) {
  std::array<int, BinaryDims::max_rank> index{};
  const auto last = static_cast<std::size_t>(d.rank - 1);
  for (std::size_t axis = 0; axis <= last; ++axis) {
    if (d.size[axis] == 0) return;
  }
  for (;;) {
    row(a, b, y);
    y += d.size[last];
    std::size_t axis = last;
    for (;;) {  // an odometer over the axes before the last
      if (axis == 0) return;
      --axis;
      a += d.a_stride[axis];
      b += d.b_stride[axis];
      if (++index[axis] < d.size[axis]) break;
      a -= d.a_stride[axis] * d.size[axis];
      b -= d.b_stride[axis] * d.size[axis];
      index[axis] = 0;
    }
  }
}

template <class T>
void binary_reference(const BinaryDims& d, const T* a, const T* b, T* y) {
  const auto last = static_cast<std::size_t>(d.rank - 1);
  for_each_row(d, a, b, y, [&](const T* ra, const T* rb, T* ry) {
    for (std::ptrdiff_t i = 0; i < d.size[last]; ++i) {
      ry[i] = binary_reference(d.kind, ra[i * d.a_stride[last]], rb[i * d.b_stride[last]]);
    }
  });
}

}  // namespace autodiff::kernels
