// The update of an optimizer, in one pass over the parameters.
#pragma once

#include <cmath>
#include <cstddef>

namespace autodiff::kernels {

/// A step of AdamW (Loshchilov and Hutter, 2019), for n parameters.
struct AdamwDims {
  std::size_t n;
  float learning_rate, b1, b2, epsilon, weight_decay;
  float to_m, to_v;  ///< what makes unbiased means of the moments, 1 / (1 - b^t)
};

/// From gradients g and the parameters that decay, `from` (which may be p): new moments m and v, new p.
inline void adamw_reference(const AdamwDims& d, const float* g, const float* from, float* m, float* v,
                            float* p) {
  const float c1 = 1 - d.b1, c2 = 1 - d.b2;
  for (std::size_t i = 0; i < d.n; ++i) {
    m[i] = d.b1 * m[i] + c1 * g[i];
    v[i] = d.b2 * v[i] + c2 * (g[i] * g[i]);
    p[i] -=
        d.learning_rate * (m[i] * d.to_m / (std::sqrt(v[i] * d.to_v) + d.epsilon) + d.weight_decay * from[i]);
  }
}

}  // namespace autodiff::kernels
