// The activation of transformers: GELU, in its tanh form.
#pragma once

#include "autodiff/graph/ops.h"

namespace nn {

/// x / 2 (1 + tanh(u)), u = sqrt(2 / pi) (x + 0.044715 x^3): the tanh form of the Gaussian error linear unit
/// x Phi(x) (Hendrycks and Gimpel 2016), from which it is less than 0.0005 away. Element by element, any
/// shape.
inline autodiff::Value gelu(autodiff::Value x) {
  constexpr float twice_root = 1.5957691216057308f;  // 2 sqrt(2 / pi): (1 + tanh u) / 2 = sigmoid(2 u)
  return x * autodiff::sigmoid(x * (autodiff::square(x) * (twice_root * 0.044715f) + twice_root));
}

}  // namespace nn
