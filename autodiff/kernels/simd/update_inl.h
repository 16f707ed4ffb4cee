// An optimizer's step for a vector of parameters, compiled once per instruction set: the operations of the
// reference, in its order, so that the bits are the same.

#if defined(EV3_KERNELS_SIMD_UPDATE_INL_H) == defined(HWY_TARGET_TOGGLE)  // Highway's include guard
#ifdef EV3_KERNELS_SIMD_UPDATE_INL_H
#undef EV3_KERNELS_SIMD_UPDATE_INL_H
#else
#define EV3_KERNELS_SIMD_UPDATE_INL_H
#endif

#include "autodiff/kernels/simd/math_inl.h"
#include "autodiff/kernels/update.h"

#if EV3_HAVE_VECTORS
HWY_BEFORE_NAMESPACE();
namespace autodiff::kernels::simd::HWY_NAMESPACE {

// The numbers that a step multiplies by.
struct UpdateFactors {
  float rate, momentum, epsilon, decay, rest, b1, b2, c1, c2, to_m, to_v, weight_decay;

  UpdateFactors(const UpdateDims& d, const UpdateScalars& s)
      : rate(s.learning_rate),
        momentum(d.momentum),
        epsilon(d.epsilon),
        decay(d.decay),
        rest(1 - d.decay),
        b1(d.b1),
        b2(d.b2),
        c1(1 - d.b1),
        c2(1 - d.b2),
        to_m(s.to_m),
        to_v(s.to_v),
        weight_decay(d.weight_decay) {}
};

// decay v + rest g^2
HWY_INLINE Vector mean_square(float decay, float rest, Vector v, Vector g) {
  return hn::Add(hn::Mul(set(decay), v), hn::Mul(set(rest), hn::Mul(g, g)));
}

constexpr bool has_m(UpdateDims::Kind kind) { return kind != UpdateDims::Kind::sgd; }

// The vector at the given addresses, of which load(x) and store(value, x) move as much as there is.
template <UpdateDims::Kind kind, class Load, class Store>
HWY_INLINE void update_vector(const UpdateFactors& f, Vector g, const ParameterArrays& a, Load load,
                              Store store) {
  using Kind = UpdateDims::Kind;
  const Vector momentum = set(f.momentum), epsilon = set(f.epsilon);
  Vector direction = g;
  if constexpr (kind == Kind::momentum || kind == Kind::nesterov) {
    const Vector velocity = hn::Add(g, hn::Mul(momentum, load(a.m)));
    store(velocity, a.m);
    direction = kind == Kind::momentum ? velocity : hn::Add(g, hn::Mul(momentum, velocity));
  } else if constexpr (kind == Kind::adamw) {
    const Vector first = hn::Add(hn::Mul(set(f.b1), load(a.m)), hn::Mul(set(f.c1), g));
    const Vector second = mean_square(f.b2, f.c2, load(a.v), g);
    const Vector decay = hn::Mul(set(f.weight_decay), load(a.from));
    store(first, a.m);
    store(second, a.v);
    const Vector below = hn::Add(hn::Sqrt(hn::Mul(second, set(f.to_v))), epsilon);
    direction = hn::Add(hn::Div(hn::Mul(first, set(f.to_m)), below), decay);
  } else if constexpr (divides(kind)) {
    const Vector square = mean_square(f.decay, f.rest, load(a.m), g);
    store(square, a.m);
    direction = hn::Div(g, hn::Add(hn::Sqrt(square), epsilon));
    if constexpr (kind == Kind::rmsprop_momentum) {
      direction = hn::Add(direction, hn::Mul(momentum, load(a.v)));
      store(direction, a.v);
    }
  }
  store(hn::Sub(load(a.p), hn::Mul(set(f.rate), direction)), a.p);
}

// Rows of `columns` parameters, `row` apart, by gradients `gradient_row` apart.
template <UpdateDims::Kind kind>
HWY_INLINE void update_rows(const UpdateFactors& f, std::size_t rows, std::size_t columns, const float* g,
                            std::size_t gradient_row, const ParameterArrays& all, std::size_t row) {
  for (std::size_t r = 0; r < rows; ++r, g += gradient_row) {
    const ParameterArrays a = all.at(r * row);
    for_each_vector(columns,
                    [&](auto load, auto store) HWY_ATTR { update_vector<kind>(f, load(g), a, load, store); });
  }
}

// Calls body with the kind as a constant.
template <class Body>
HWY_INLINE void with_kind(UpdateDims::Kind kind, Body body) {
  using Kind = UpdateDims::Kind;
  switch (kind) {
    case Kind::sgd:
      return body.template operator()<Kind::sgd>();
    case Kind::momentum:
      return body.template operator()<Kind::momentum>();
    case Kind::nesterov:
      return body.template operator()<Kind::nesterov>();
    case Kind::adamw:
      return body.template operator()<Kind::adamw>();
    case Kind::rmsprop:
      return body.template operator()<Kind::rmsprop>();
    case Kind::rmsprop_momentum:
      return body.template operator()<Kind::rmsprop_momentum>();
  }
}

}  // namespace autodiff::kernels::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif  // EV3_HAVE_VECTORS
#endif  // include guard
