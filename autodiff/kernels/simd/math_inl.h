// exp, log, tanh and sigmoid of whole vectors, compiled once per instruction set.
//
// Polynomials: minimax (Remez) for the relative error, coefficients rounded to float. Largest errors over all
// floats, in units of the last place, with fused multiply-add: see tests/kernels_test.cpp, which states and
// checks them. NaN stays NaN.

#if defined(EV3_KERNELS_SIMD_MATH_INL_H) == defined(HWY_TARGET_TOGGLE)  // Highway's include guard
#ifdef EV3_KERNELS_SIMD_MATH_INL_H
#undef EV3_KERNELS_SIMD_MATH_INL_H
#else
#define EV3_KERNELS_SIMD_MATH_INL_H
#endif

#include <limits>

#include "autodiff/kernels/simd/vector_inl.h"

#if EV3_HAVE_VECTORS
HWY_BEFORE_NAMESPACE();
namespace autodiff::kernels::simd::HWY_NAMESPACE {

HWY_INLINE Vector set(float x) { return hn::Set(Full(), x); }

/// c[0] + c[1] x + ... by Horner's rule.
template <std::size_t count>
HWY_INLINE Vector polynomial(Vector x, const float (&c)[count]) {
  Vector sum = set(c[count - 1]);
  for (std::size_t i = count - 1; i-- > 0;) sum = hn::MulAdd(sum, x, set(c[i]));
  return sum;
}

/// x = q log(2) + r with |r| <= log(2) / 2; exp(r) = 1 + r + r^2 P(r); `power` is q as an integer.
struct ReducedExp {
  Vector value;
  hn::Vec<Ints> power;

  explicit HWY_INLINE ReducedExp(Vector x) {
    constexpr float to_integer = 12582912.0f;  // 1.5 * 2^23: what is added to it is rounded to an integer
    const Vector t = hn::MulAdd(x, set(1.44269504f), set(to_integer));
    power = hn::Sub(hn::BitCast(Ints(), t), hn::Set(Ints(), 0x4b400000));
    const Vector q = hn::Sub(t, set(to_integer));
    const Vector r = hn::NegMulAdd(q, set(-2.12194440e-4f), hn::NegMulAdd(q, set(0.693359375f), x));
    const Vector p =
        polynomial(r, {0.49999994f, 0.166665196f, 0.0416684076f, 0.00836892147f, 0.00138141704f});
    value = hn::Add(hn::MulAdd(hn::Mul(r, r), p, r), set(1.0f));
  }
};

/// 2^q for -127 < q < 128.
HWY_INLINE Vector power_of_two(hn::Vec<Ints> q) {
  return hn::BitCast(Full(), hn::ShiftLeft<23>(hn::Add(q, hn::Set(Ints(), 127))));
}

/// e^x: infinity above 88.72, gradual underflow to 0 below -87.3.
HWY_INLINE Vector exp(Vector x) {
  const ReducedExp e(x);
  const auto half = hn::ShiftRight<1>(e.power);  // 2^q in two factors: q reaches 128 and -150
  const Vector y = hn::Mul(hn::Mul(e.value, power_of_two(half)), power_of_two(hn::Sub(e.power, half)));
  const Vector finite = hn::IfThenZeroElse(hn::Lt(x, set(-104.0f)), y);
  return hn::IfThenElse(hn::Gt(x, set(88.7228394f)), set(std::numeric_limits<float>::infinity()), finite);
}

/// e^x for x <= 0, 0 where it would be subnormal.
HWY_INLINE Vector exp_nonpositive(Vector x) {
  const ReducedExp e(x);
  return hn::IfThenZeroElse(hn::Lt(x, set(-87.3f)), hn::Mul(e.value, power_of_two(e.power)));
}

/// log(x + rest) of a normal x > 0 and |rest| <= half an ulp of x.
HWY_INLINE Vector log_normal(Vector x, Vector rest) {
  // x = 2^q m with sqrt(1/2) <= m < sqrt(2); log(1 + f) = f - f^2 / 2 + f^3 P(f) with f = m - 1.
  const Ints di;
  const auto bits = hn::Sub(hn::BitCast(di, x), hn::Set(di, 0x3f3504f3));
  const auto power = hn::ShiftRight<23>(bits);
  const Vector q = hn::ConvertTo(Full(), power);
  const Vector m =
      hn::BitCast(Full(), hn::Add(hn::And(bits, hn::Set(di, 0x7fffff)), hn::Set(di, 0x3f3504f3)));
  const Vector f = hn::Add(hn::Sub(m, set(1.0f)), hn::Mul(rest, power_of_two(hn::Neg(power))));
  const Vector p = polynomial(f, {0.333333135f, -0.250000089f, 0.200021237f, -0.166680053f, 0.142194539f,
                                  -0.124053463f, 0.118886948f, -0.116774783f, 0.0674768835f});
  const Vector f2 = hn::Mul(f, f);
  Vector y = hn::Mul(hn::Mul(f2, f), p);
  y = hn::MulAdd(q, set(-2.12194440e-4f), y);
  y = hn::NegMulAdd(f2, set(0.5f), y);
  return hn::MulAdd(q, set(0.693359375f), hn::Add(f, y));
}

/// log(x): NaN below 0, -infinity at 0.
HWY_INLINE Vector log(Vector x) {
  constexpr float infinity = std::numeric_limits<float>::infinity();
  const auto tiny = hn::Lt(x, set(std::numeric_limits<float>::min()));
  const Vector scaled = hn::IfThenElse(tiny, hn::Mul(x, set(8388608.0f)), x);  // 2^23: no longer subnormal
  Vector y = log_normal(scaled, hn::Zero(Full()));
  y = hn::IfThenElse(tiny, hn::Sub(y, set(15.9423851f)), y);  // 23 log(2)
  y = hn::IfThenElse(hn::Eq(x, hn::Zero(Full())), set(-infinity), y);
  y = hn::IfThenElse(hn::Lt(x, set(infinity)), y, x);  // infinity and NaN
  return hn::IfThenElse(hn::Lt(x, hn::Zero(Full())), set(std::numeric_limits<float>::quiet_NaN()), y);
}

/// log(1 + x) for finite x >= 0 (and NaN), accurate where x is small.
HWY_INLINE Vector log1p_nonnegative(Vector x) {
  const Vector u = hn::Add(x, set(1.0f));
  // 1 + x = u + rest exactly, whichever of the two is greater (Knuth's two-sum).
  const Vector b = hn::Sub(u, x);
  const Vector rest = hn::Add(hn::Sub(set(1.0f), b), hn::Sub(x, hn::Sub(u, b)));
  return hn::IfThenElse(hn::Eq(x, x), log_normal(u, rest), x);
}

/// 1 - 2 / (e^2|x| + 1), or x + x^3 P(x^2) where that would cancel.
HWY_INLINE Vector tanh(Vector x) {
  const Vector a = hn::Abs(x), x2 = hn::Mul(x, x);
  const Vector p = polynomial(
      x2, {-0.333333313f, 0.133332059f, -0.0539467633f, 0.0217007045f, -0.00817739964f, 0.002142963f});
  const Vector near = hn::MulAdd(hn::Mul(x, x2), p, x);
  const ReducedExp e(hn::Add(a, a));
  const Vector s = hn::MulAdd(e.value, power_of_two(e.power), set(1.0f));
  const Vector far = hn::Sub(set(1.0f), hn::Div(set(2.0f), s));
  const Vector most = hn::IfThenElse(hn::Gt(a, set(9.1f)), set(1.0f), far);  // 1 - tanh is below half an ulp
  return hn::CopySign(hn::IfThenElse(hn::Lt(a, set(0.625f)), near, most), x);
}

/// 1 / (1 + e^-x), from e^-|x| only, so that nothing overflows.
HWY_INLINE Vector sigmoid(Vector x) {
  const Vector e = exp(hn::Neg(hn::Abs(x)));
  return hn::Div(hn::IfThenElse(hn::Lt(x, hn::Zero(Full())), e, set(1.0f)), hn::Add(e, set(1.0f)));
}

}  // namespace autodiff::kernels::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif  // EV3_HAVE_VECTORS
#endif  // include guard
