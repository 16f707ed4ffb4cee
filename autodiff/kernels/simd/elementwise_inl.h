// What every vector of an element-wise function does, compiled once per instruction set.

#if defined(EV3_KERNELS_SIMD_ELEMENTWISE_INL_H) == defined(HWY_TARGET_TOGGLE)  // Highway's include guard
#ifdef EV3_KERNELS_SIMD_ELEMENTWISE_INL_H
#undef EV3_KERNELS_SIMD_ELEMENTWISE_INL_H
#else
#define EV3_KERNELS_SIMD_ELEMENTWISE_INL_H
#endif

#include "autodiff/kernels/elementwise.h"
#include "autodiff/kernels/simd/math_inl.h"

#if EV3_HAVE_VECTORS
HWY_BEFORE_NAMESPACE();
namespace autodiff::kernels::simd::HWY_NAMESPACE {

template <Unary kind>
HWY_INLINE Vector unary(Vector x, Vector constant) {
  switch (kind) {
    case Unary::relu:
      return hn::IfThenElseZero(hn::Gt(x, hn::Zero(Full())), x);
    case Unary::tanh:
      return tanh(x);
    case Unary::sigmoid:
      return sigmoid(x);
    case Unary::exp:
      return exp(x);
    case Unary::log:
      return log(x);
    case Unary::sqrt:
      return hn::Sqrt(x);
    case Unary::square:
      return hn::Mul(x, x);
    case Unary::scale:
      return hn::Mul(constant, x);
    case Unary::shift:
      return hn::Add(constant, x);
  }
  return x;
}

// Operation by operation what the reference does, so that both give the same bits.
template <Binary kind>
HWY_INLINE Vector binary(Vector a, Vector b) {
  const Vector one = set(1.0f);
  switch (kind) {
    case Binary::add:
      return hn::Add(a, b);
    case Binary::sub:
      return hn::Sub(a, b);
    case Binary::mul:
      return hn::Mul(a, b);
    case Binary::div:
      return hn::Div(a, b);
    case Binary::equal:
      return hn::IfThenElseZero(hn::Eq(a, b), one);
    case Binary::relu_grad:
      return hn::IfThenElseZero(hn::Gt(a, hn::Zero(Full())), b);
    case Binary::tanh_grad:
      return hn::Mul(b, hn::Sub(one, hn::Mul(a, a)));
    case Binary::sigmoid_grad:
      return hn::Mul(b, hn::Mul(a, hn::Sub(one, a)));
  }
  return a;
}

}  // namespace autodiff::kernels::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif  // EV3_HAVE_VECTORS
#endif  // include guard
