// The transforms of kernels/winograd.h, compiled once per instruction set: a vector holds one element of as
// many channels as it has lanes.

#if defined(EV3_KERNELS_SIMD_WINOGRAD_INL_H) == defined(HWY_TARGET_TOGGLE)  // Highway's include guard
#ifdef EV3_KERNELS_SIMD_WINOGRAD_INL_H
#undef EV3_KERNELS_SIMD_WINOGRAD_INL_H
#else
#define EV3_KERNELS_SIMD_WINOGRAD_INL_H
#endif

#include "autodiff/kernels/simd/vector_inl.h"
#include "autodiff/kernels/winograd.h"

#if EV3_HAVE_VECTORS
HWY_BEFORE_NAMESPACE();
namespace autodiff::kernels::simd::HWY_NAMESPACE {
namespace winograd {

namespace points = kernels::winograd;
using points::patch, points::products, points::tile, points::window;
constexpr auto a = static_cast<float>(points::a), b = static_cast<float>(points::b);
constexpr float aa = a * a, bb = b * b;
constexpr auto at_0 = static_cast<float>(points::at_0), at_a = static_cast<float>(points::at_a),
               at_b = static_cast<float>(points::at_b);

/// even +- point odd: the values of a polynomial at two opposite points.
template <class V>
HWY_INLINE void sum_and_difference(V point, V odd, V even, V& sum, V& difference) {
  sum = hn::MulAdd(point, odd, even);
  difference = hn::NegMulAdd(point, odd, even);
}

// B^T x: 6 -> 6
struct Patch {
  static constexpr int from = patch, to = patch;
  template <class D, class V = hn::Vec<D>>
  static HWY_INLINE void apply(D d, const V (&x)[from], V (&y)[to]) {
    const auto all = hn::Set(d, aa * bb), middle = hn::Set(d, -(aa + bb));
    y[0] = hn::MulAdd(all, x[0], hn::MulAdd(middle, x[2], x[4]));
    y[5] = hn::MulAdd(all, x[1], hn::MulAdd(middle, x[3], x[5]));
    const auto other_a = hn::Set(d, bb), other_b = hn::Set(d, aa);
    const auto even_a = hn::NegMulAdd(other_a, x[2], x[4]), odd_a = hn::NegMulAdd(other_a, x[1], x[3]);
    const auto even_b = hn::NegMulAdd(other_b, x[2], x[4]), odd_b = hn::NegMulAdd(other_b, x[1], x[3]);
    sum_and_difference(hn::Set(d, a), odd_a, even_a, y[1], y[2]);
    sum_and_difference(hn::Set(d, b), odd_b, even_b, y[3], y[4]);
  }
};

// G g: 3 -> 6
struct Filter {
  static constexpr int from = window, to = patch;
  template <class D, class V = hn::Vec<D>>
  static HWY_INLINE void apply(D d, const V (&g)[from], V (&y)[to]) {
    y[0] = hn::Mul(hn::Set(d, at_0), g[0]);
    y[5] = g[2];
    const auto even_a = hn::MulAdd(hn::Set(d, aa * at_a), g[2], hn::Mul(hn::Set(d, at_a), g[0]));
    const auto even_b = hn::MulAdd(hn::Set(d, bb * at_b), g[2], hn::Mul(hn::Set(d, at_b), g[0]));
    sum_and_difference(hn::Set(d, a * at_a), g[1], even_a, y[1], y[2]);
    sum_and_difference(hn::Set(d, b * at_b), g[1], even_b, y[3], y[4]);
  }
};

// A^T m: 6 -> 4
struct Outputs {
  static constexpr int from = patch, to = tile;
  template <class D, class V = hn::Vec<D>>
  static HWY_INLINE void apply(D d, const V (&m)[from], V (&y)[to]) {
    const auto even_a = hn::Add(m[1], m[2]), odd_a = hn::Sub(m[1], m[2]);
    const auto even_b = hn::Add(m[3], m[4]), odd_b = hn::Sub(m[3], m[4]);
    y[0] = hn::Add(m[0], hn::Add(even_a, even_b));
    y[1] = hn::MulAdd(hn::Set(d, b), odd_b, hn::Mul(hn::Set(d, a), odd_a));
    y[2] = hn::MulAdd(hn::Set(d, bb), even_b, hn::Mul(hn::Set(d, aa), even_a));
    y[3] = hn::MulAdd(hn::Set(d, b * bb), odd_b, hn::MulAdd(hn::Set(d, a * aa), odd_a, m[5]));
  }
};

// A dy: 4 -> 6, the adjoint of Outputs
struct OutputsBack {
  static constexpr int from = tile, to = patch;
  template <class D, class V = hn::Vec<D>>
  static HWY_INLINE void apply(D d, const V (&y)[from], V (&m)[to]) {
    m[0] = y[0];
    m[5] = y[3];
    const auto even_a = hn::MulAdd(hn::Set(d, aa), y[2], y[0]),
               even_b = hn::MulAdd(hn::Set(d, bb), y[2], y[0]);
    const auto odd_a = hn::MulAdd(hn::Set(d, aa), y[3], y[1]), odd_b = hn::MulAdd(hn::Set(d, bb), y[3], y[1]);
    sum_and_difference(hn::Set(d, a), odd_a, even_a, m[1], m[2]);
    sum_and_difference(hn::Set(d, b), odd_b, even_b, m[3], m[4]);
  }
};

// G^T u: 6 -> 3, the adjoint of Filter
struct FilterBack {
  static constexpr int from = patch, to = window;
  template <class D, class V = hn::Vec<D>>
  static HWY_INLINE void apply(D d, const V (&u)[from], V (&g)[to]) {
    const auto even_a = hn::Mul(hn::Set(d, at_a), hn::Add(u[1], u[2]));
    const auto even_b = hn::Mul(hn::Set(d, at_b), hn::Add(u[3], u[4]));
    const auto odd_b = hn::Mul(hn::Set(d, b * at_b), hn::Sub(u[3], u[4]));
    g[0] = hn::MulAdd(hn::Set(d, at_0), u[0], hn::Add(even_a, even_b));
    g[1] = hn::MulAdd(hn::Set(d, a * at_a), hn::Sub(u[1], u[2]), odd_b);
    g[2] = hn::MulAdd(hn::Set(d, aa), even_a, hn::MulAdd(hn::Set(d, bb), even_b, u[5]));
  }
};

/// The transform along both axes: load(i, j) gives the elements, store(i, j, v) takes the results.
template <class Transform, class D, class Load, class Store>
HWY_INLINE void both_ways(D d, Load load, Store store) {
  hn::Vec<D> half[Transform::to][Transform::from];
#pragma GCC unroll 16
  for (int j = 0; j < Transform::from; ++j) {
    hn::Vec<D> x[Transform::from], y[Transform::to];
#pragma GCC unroll 16
    for (int i = 0; i < Transform::from; ++i) x[i] = load(i, j);
    Transform::apply(d, x, y);
#pragma GCC unroll 16
    for (int i = 0; i < Transform::to; ++i) half[i][j] = y[i];
  }
#pragma GCC unroll 16
  for (int i = 0; i < Transform::to; ++i) {
    hn::Vec<D> y[Transform::to];
    Transform::apply(d, half[i], y);
#pragma GCC unroll 16
    for (int j = 0; j < Transform::to; ++j) store(i, j, y[j]);
  }
}

/// What both_ways() wants where all elements are whole vectors.
template <class D, class T>
HWY_INLINE auto loads_from(D d, const Grid<T>& elements) {
  return [=](int i, int j) HWY_ATTR { return hn::LoadU(d, elements.at(i, j)); };
}
template <class D>
HWY_INLINE auto stores_to(D d, const Grid<float>& elements) {
  return [=](int i, int j, hn::Vec<D> v) HWY_ATTR { hn::StoreU(v, d, elements.at(i, j)); };
}

}  // namespace winograd
}  // namespace autodiff::kernels::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif  // EV3_HAVE_VECTORS
#endif  // include guard
