// The update of an optimizer, in one pass over the parameters.
#pragma once

#include <cmath>
#include <cstddef>

#include "autodiff/kernels/scalar.h"

namespace autodiff::kernels {

/// What changes from step to step of an optimizer; to_m and to_v make unbiased means of the moments, 1 / (1 -
/// b^t).
struct UpdateScalars {
  float learning_rate = 0, to_m = 0, to_v = 0;
};

/// An optimizer's settings, and the parameters that a kernel meets: `rows` of n, `row` elements apart, with
/// gradients `gradient_row` apart; on a device one row. See nn/optimizers.h for the formulas.
struct UpdateDims {
  enum class Kind { sgd, momentum, nesterov, adamw, rmsprop, rmsprop_momentum };
  Kind kind = Kind::sgd;
  std::size_t n = 0;
  float b1 = 0, b2 = 0, epsilon = 0, weight_decay = 0, momentum = 0, decay = 0;
  std::size_t rows = 1, row = 0, gradient_row = 0;
};

/// Whether an update takes a square root and a division.
constexpr bool divides(UpdateDims::Kind kind) {
  using Kind = UpdateDims::Kind;
  return kind == Kind::adamw || kind == Kind::rmsprop || kind == Kind::rmsprop_momentum;
}

/// What an update reads and writes besides the gradient: the parameters that decay (which may be `p`), two
/// arrays of moments (null where the optimizer has none) and the parameters.
struct ParameterArrays {
  const float* from = nullptr;
  float *m = nullptr, *v = nullptr, *p = nullptr;

  /// From element i on.
  EV3_SHARED ParameterArrays at(std::size_t i) const {
    return {from ? from + i : from, m ? m + i : m, v ? v + i : v, p + i};
  }
};

/// All that is to be known of an update but the gradient; sizes are those of whoever has that.
struct ParameterUpdate {
  UpdateDims dims = {};
  UpdateScalars scalars = {};
  ParameterArrays arrays = {};
};

/// What a step does to one parameter p, with gradient g, and to what the optimizer remembers of it. `from`
/// is the parameter that decays, which may be p.
EV3_SHARED inline void sgd_element(float learning_rate, float g, float& p) { p -= learning_rate * g; }

EV3_SHARED inline void momentum_element(float learning_rate, float momentum, float g, float& v, float& p) {
  v = g + momentum * v;
  p -= learning_rate * v;
}

EV3_SHARED inline void nesterov_element(float learning_rate, float momentum, float g, float& v, float& p) {
  v = g + momentum * v;
  p -= learning_rate * (g + momentum * v);
}

EV3_SHARED inline void adamw_element(const UpdateDims& d, const UpdateScalars& s, float g, float from,
                                     float& m, float& v, float& p) {
  m = d.b1 * m + (1 - d.b1) * g;
  v = d.b2 * v + (1 - d.b2) * (g * g);
  p -= s.learning_rate * (m * s.to_m / (std::sqrt(v * s.to_v) + d.epsilon) + d.weight_decay * from);
}

/// The direction in which RMSProp moves, before momentum.
EV3_SHARED inline float rmsprop_element(float decay, float epsilon, float g, float& v) {
  v = decay * v + (1 - decay) * (g * g);
  return g / (std::sqrt(v) + epsilon);
}

/// One step of the optimizer for parameter i.
EV3_SHARED inline void update_element(const UpdateDims& d, const UpdateScalars& s, std::size_t i,
                                      const float* g, const ParameterArrays& a) {
  using Kind = UpdateDims::Kind;
  switch (d.kind) {
    case Kind::sgd:
      return sgd_element(s.learning_rate, g[i], a.p[i]);
    case Kind::momentum:
      return momentum_element(s.learning_rate, d.momentum, g[i], a.m[i], a.p[i]);
    case Kind::nesterov:
      return nesterov_element(s.learning_rate, d.momentum, g[i], a.m[i], a.p[i]);
    case Kind::adamw:
      return adamw_element(d, s, g[i], a.from[i], a.m[i], a.v[i], a.p[i]);
    case Kind::rmsprop:
      return sgd_element(s.learning_rate, rmsprop_element(d.decay, d.epsilon, g[i], a.m[i]), a.p[i]);
    case Kind::rmsprop_momentum:
      return momentum_element(s.learning_rate, d.momentum, rmsprop_element(d.decay, d.epsilon, g[i], a.m[i]),
                              a.v[i], a.p[i]);
  }
}

/// From gradients g: new moments and parameters.
inline void update_reference(const UpdateDims& d, const UpdateScalars& s, const float* g,
                             const ParameterArrays& a) {
  for (std::size_t r = 0; r < d.rows; ++r, g += d.gradient_row) {
    for (std::size_t i = 0; i < d.n; ++i) update_element(d, s, i, g, a.at(r * d.row));
  }
}

}  // namespace autodiff::kernels
