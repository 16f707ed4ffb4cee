// The vector kernels: each file compiles its source once per instruction set (Google Highway), and fills its
// part of a backend's row with the functions for the best one this CPU has.
#pragma once

#include "autodiff/kernels/backend.h"

namespace autodiff::kernels::simd {

/// Fill in the entries of the chosen instruction set; nothing where it has no vectors.
void add_matmul(Backend& row);
void add_conv2d(Backend& row);
void add_winograd(Backend& row);
void add_elementwise(Backend& row);
void add_pointwise(Backend& row);
void add_reduce(Backend& row);
void add_softmax(Backend& row);
void add_update(Backend& row);

}  // namespace autodiff::kernels::simd
