// Classes as integers: the best class of a row, the entry of a given class, and the adjoint of the latter.
#pragma once

#include <cstddef>
#include <cstdint>

#include "autodiff/kernels/softmax.h"

namespace autodiff::kernels {

/// x [rows, cols], labels [rows] in 0 .. cols-1.
struct IndexDims {
  std::size_t rows, cols;
};

/// label_r = the c with the greatest x_rc, the lowest such c.
template <class T>
void argmax_reference(const IndexDims& d, const T* x, std::int32_t* label) {
  for (std::size_t r = 0; r < d.rows; ++r, x += d.cols) {
    std::size_t best = 0;
    for (std::size_t c = 1; c < d.cols; ++c) best = real_part(x[c]) > real_part(x[best]) ? c : best;
    label[r] = static_cast<std::int32_t>(best);
  }
}

/// y_r = x_r,label
template <class T>
void gather_reference(const IndexDims& d, const T* x, const std::int32_t* labels, T* y) {
  for (std::size_t r = 0; r < d.rows; ++r) y[r] = x[r * d.cols + static_cast<std::size_t>(labels[r])];
}

/// y_rc = x_r where c = label_r, else 0 (the adjoint of gather; of ones: one-hot rows)
template <class T>
void scatter_reference(const IndexDims& d, const T* x, const std::int32_t* labels, T* y) {
  for (std::size_t r = 0; r < d.rows; ++r) {
    for (std::size_t c = 0; c < d.cols; ++c) {
      y[r * d.cols + c] = c == static_cast<std::size_t>(labels[r]) ? x[r] : T{};
    }
  }
}

}  // namespace autodiff::kernels
