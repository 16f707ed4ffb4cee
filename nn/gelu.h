// The activation of transformers: GELU, in its tanh form.
#pragma once

#include "autodiff/graph/ops.h"

namespace nn {

/// x / 2 (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))): the tanh form of the Gaussian error linear unit x
/// Phi(x) (Hendrycks and Gimpel 2016), from which it is less than 0.0005 away. Element by element, any shape.
inline autodiff::Value gelu(autodiff::Value x) {
  constexpr float root = 0.7978845608028654f;  // sqrt(2 / pi)
  const autodiff::Value inner = x * (autodiff::square(x) * (root * 0.044715f) + root);
  return x * (autodiff::tanh(inner) * 0.5f + 0.5f);
}

}  // namespace nn
