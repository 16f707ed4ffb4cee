// Cross entropy of logits against class labels, one loss per row, and its derivative.
#pragma once

#include <cstddef>
#include <cstdint>

#include "autodiff/kernels/softmax.h"

namespace autodiff::kernels {

/// logits [rows, cols], labels [rows] in 0 .. cols-1, loss [rows].
struct CrossEntropyDims {
  std::size_t rows, cols;
};

/// loss_r = log(sum over c of exp(z_rc)) - z_r,label
template <class T>
void cross_entropy_reference(const CrossEntropyDims& d, const T* z, const std::int32_t* labels, T* loss) {
  using std::exp, std::log;
  for (std::size_t r = 0; r < d.rows; ++r, z += d.cols) {
    const auto m = row_max(z, d.cols);
    Accumulator<T> s{};
    for (std::size_t c = 0; c < d.cols; ++c) s += exp(z[c] - m);
    loss[r] = static_cast<T>(log(s)) - (z[labels[r]] - m);
  }
}

/// dz_rc = dloss_r (softmax(z_r)_c - [c = label_r])
template <class T>
void cross_entropy_grad_reference(const CrossEntropyDims& d, const T* z, const std::int32_t* labels,
                                  const T* dloss, T* dz) {
  softmax_reference({d.rows, d.cols}, z, dz);
  for (std::size_t r = 0; r < d.rows; ++r, dz += d.cols) {
    dz[labels[r]] -= T(1);
    for (std::size_t c = 0; c < d.cols; ++c) dz[c] *= dloss[r];
  }
}

}  // namespace autodiff::kernels
