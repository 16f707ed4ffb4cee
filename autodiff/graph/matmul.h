// Matrix product.
#pragma once

#include "autodiff/graph/graph.h"

namespace autodiff {

struct MatmulOptions {
  bool transpose_a = false, transpose_b = false;
};

/// op(a) [m, k] times op(b) [k, n] = [m, n]; both of rank 2. Throws Error when the inner sizes differ.
Value matmul(Value a, Value b, const MatmulOptions& options = {});

}  // namespace autodiff
