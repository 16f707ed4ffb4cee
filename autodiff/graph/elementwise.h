// Element-wise functions of one and of two values.
#pragma once

#include "autodiff/graph/graph.h"

namespace autodiff {

/// max(x, 0); the derivative at 0 is 0.
Value relu(Value x);
Value tanh(Value x);
/// 1 / (1 + exp(-x))
Value sigmoid(Value x);
Value exp(Value x);
/// Natural logarithm.
Value log(Value x);
Value sqrt(Value x);
Value square(Value x);
/// factor * x
Value scale(Value x, float factor);
/// x + summand
Value shift(Value x, float summand);

/// Shapes meet by NumPy's rule (aligned at the end, equal or 1), else Error: add(x [32, 10], bias [10]).
Value add(Value a, Value b);
Value sub(Value a, Value b);
Value mul(Value a, Value b);
Value div(Value a, Value b);
/// 1 where a == b, else 0; has no derivative.
Value equal(Value a, Value b);

inline Value operator+(Value a, Value b) { return add(a, b); }
inline Value operator-(Value a, Value b) { return sub(a, b); }
inline Value operator*(Value a, Value b) { return mul(a, b); }
inline Value operator/(Value a, Value b) { return div(a, b); }
inline Value operator-(Value x) { return scale(x, -1); }
inline Value operator*(Value x, float c) { return scale(x, c); }
inline Value operator*(float c, Value x) { return scale(x, c); }
inline Value operator/(Value x, float c) { return scale(x, 1 / c); }
inline Value operator+(Value x, float c) { return shift(x, c); }
inline Value operator+(float c, Value x) { return shift(x, c); }
inline Value operator-(Value x, float c) { return shift(x, -c); }
inline Value operator-(float c, Value x) { return shift(scale(x, -1), c); }

}  // namespace autodiff
