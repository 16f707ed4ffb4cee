// What reference templates share: they are written once over the scalar type T, one of float (the slow path
// that can be run), double (the oracle of fast kernels) and std::complex<double> (derivatives by the complex
// step).
#pragma once

#include <cmath>
#include <complex>

/// Functions of single elements, which kernels for a CUDA device share.
#ifdef __CUDACC__
#define EV3_SHARED __host__ __device__
#else
#define EV3_SHARED
#endif

namespace autodiff::kernels {

/// Sums of float are formed in double, all others in their own type.
template <class T>
struct AccumulatorOf {
  using type = T;
};
template <>
struct AccumulatorOf<float> {
  using type = double;
};
template <class T>
using Accumulator = typename AccumulatorOf<T>::type;

/// The real part, on which comparisons branch: an imaginary perturbation never changes a decision.
EV3_SHARED inline float real_part(float x) { return x; }
EV3_SHARED inline double real_part(double x) { return x; }
inline double real_part(const std::complex<double>& x) { return x.real(); }

/// A double as a T.
template <class T>
EV3_SHARED T constant(double x) {
  return T(static_cast<decltype(real_part(T()))>(x));
}

}  // namespace autodiff::kernels
