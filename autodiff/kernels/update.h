// The update of an optimizer, in one pass over the parameters.
#pragma once

#include <cmath>
#include <cstddef>

#include "autodiff/kernels/scalar.h"

namespace autodiff::kernels {

/// A step of AdamW (Loshchilov and Hutter, 2019), for n parameters.
struct AdamwDims {
  std::size_t n;
  float learning_rate, b1, b2, epsilon, weight_decay;
  float to_m, to_v;  ///< what makes unbiased means of the moments, 1 / (1 - b^t)
};

/// What a step does to one parameter p, with gradient g, and to what the optimizer remembers of it. See
/// nn/optimizers.h.
EV3_SHARED inline void sgd_element(float learning_rate, float g, float& p) { p -= learning_rate * g; }

EV3_SHARED inline void momentum_element(float learning_rate, float momentum, float g, float& v, float& p) {
  v = g + momentum * v;
  p -= learning_rate * v;
}

EV3_SHARED inline void nesterov_element(float learning_rate, float momentum, float g, float& v, float& p) {
  v = g + momentum * v;
  p -= learning_rate * (g + momentum * v);
}

EV3_SHARED inline void adamw_element(const AdamwDims& d, float g, float from, float& m, float& v, float& p) {
  m = d.b1 * m + (1 - d.b1) * g;
  v = d.b2 * v + (1 - d.b2) * (g * g);
  p -= d.learning_rate * (m * d.to_m / (std::sqrt(v * d.to_v) + d.epsilon) + d.weight_decay * from);
}

/// The direction in which RMSProp moves, before momentum.
EV3_SHARED inline float rmsprop_element(float decay, float epsilon, float g, float& v) {
  v = decay * v + (1 - decay) * (g * g);
  return g / (std::sqrt(v) + epsilon);
}

/// From gradients g and the parameters that decay, `from` (which may be p): new moments m and v, new p.
inline void adamw_reference(const AdamwDims& d, const float* g, const float* from, float* m, float* v,
                            float* p) {
  for (std::size_t i = 0; i < d.n; ++i) adamw_element(d, g[i], from[i], m[i], v[i], p[i]);
}

}  // namespace autodiff::kernels
