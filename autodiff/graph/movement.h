// Ops that move elements without changing them.
#pragma once

#include <span>
#include <vector>

#include "autodiff/graph/graph.h"

namespace autodiff {

/// The same elements in the same order under another shape of equal size. Costs nothing.
Value reshape(Value x, const Shape& shape);
/// [n, ...] -> [n, product of the rest]
Value flatten(Value x);
/// Axes in a new order: axis i of the result is axis axes[i] of x. Empty: the order reversed.
Value transpose(Value x, std::vector<int> axes = {});
/// x repeated to `shape` by NumPy's rule.
Value broadcast_to(Value x, const Shape& shape);
/// x repeated to the shape of `like`, sample by sample where `like` is batched.
Value broadcast_like(Value x, Value like);
/// Elements [begin, end) along `axis`.
Value slice(Value x, int axis, int begin, int end);
/// `before` and `after` zeros along `axis`.
Value pad(Value x, int axis, int before, int after);
/// Values one after the other along `axis`; all other sizes are equal. At least one
/// value, at most max_inputs (op.h).
Value concat(std::span<const Value> values, int axis);
/// x, but the derivative stops here: it counts as a constant.
Value stop_gradient(Value x);
/// Zeros of x's shape, batched as x is.
Value zeros_like(Value x);

}  // namespace autodiff
