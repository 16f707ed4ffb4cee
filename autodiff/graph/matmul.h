// Matrix product.
#pragma once

#include "autodiff/graph/graph.h"

namespace autodiff {

struct MatmulOptions {
  /// Take the transpose of what is given: its last two axes change places.
  bool transpose_a = false, transpose_b = false;
  /// The sum of the products of a stack: sum over s of op(a_s) op(b_s) = [m, n].
  bool sum_stack = false;
};

/// op(a) [m, k] times op(b) [k, n] = [m, n]. Of higher rank, each is a stack of matrices in its last two
/// axes, and matrix meets matrix: [..., m, k] times [..., k, n] = [..., m, n] with equal leading axes; where
/// one of the two has rank 2, it meets every matrix of the other. So x [n, tokens, k] times w [k, c] is a
/// dense layer on every token. Throws Error when sizes do not meet, and for a sum without two stacks.
Value matmul(Value a, Value b, const MatmulOptions& options = {});

}  // namespace autodiff
