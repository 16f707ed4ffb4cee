// One list of cases: what every op is tested and timed with. Values, gradients, all backends, guard bytes and
// the benchmark follow from it; a builder in autodiff/graph without a case makes derivatives_test fail. Each
// family of ops has a file op_cases_FAMILY.h.
#pragma once

#include "tests/op_cases_classes.h"
#include "tests/op_cases_conv.h"
#include "tests/op_cases_dropout.h"
#include "tests/op_cases_elementwise.h"
#include "tests/op_cases_matmul.h"
#include "tests/op_cases_movement.h"
#include "tests/op_cases_reduce.h"
#include "tests/op_sources.h"

namespace tests {

/// All cases.
inline const std::vector<OpCase>& op_cases() {
  static const std::vector<OpCase> cases = [] {
    std::vector<OpCase> out;
    detail::matmul_cases(out);
    detail::matmul_stack_cases(out);
    detail::unary_cases(out);
    detail::binary_cases(out);
    detail::reduce_cases(out);
    detail::movement_cases(out);
    detail::class_cases(out);
    detail::dropout_cases(out);
    detail::conv2d_cases(out);
    detail::pool_cases(out);
    detail::moments_cases(out);
    return out;
  }();
  return cases;
}

}  // namespace tests
