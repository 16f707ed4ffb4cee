// Softmax and its logarithm along the last axis.
#pragma once

#include <cstddef>

#include "autodiff/kernels/scalar.h"

namespace autodiff::kernels {

/// x and y [rows, cols]; cols >= 1.
struct SoftmaxDims {
  std::size_t rows, cols;
  bool log = false;
};

/// The greatest real part of a row of cols >= 1 elements.
template <class T>
auto row_max(const T* x, std::size_t cols) {
  auto best = real_part(x[0]);
  for (std::size_t c = 1; c < cols; ++c) best = real_part(x[c]) > best ? real_part(x[c]) : best;
  return best;
}

/// y_c = exp(x_c - m) / s, or x_c - m - log s; m = max x, s = sum over c of exp(x_c - m).
template <class T>
void softmax_reference(const SoftmaxDims& d, const T* x, T* y) {
  using std::exp, std::log;
  for (std::size_t r = 0; r < d.rows; ++r, x += d.cols, y += d.cols) {
    const auto m = row_max(x, d.cols);
    Accumulator<T> s{};
    for (std::size_t c = 0; c < d.cols; ++c) s += y[c] = exp(x[c] - m);
    if (d.log) {
      const T log_s = static_cast<T>(log(s));
      for (std::size_t c = 0; c < d.cols; ++c) y[c] = (x[c] - m) - log_s;
    } else {
      const T inverse = static_cast<T>(1.0 / s);
      for (std::size_t c = 0; c < d.cols; ++c) y[c] *= inverse;
    }
  }
}

}  // namespace autodiff::kernels
