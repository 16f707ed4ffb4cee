// The immediate form, for lessons and tests: build, run and get the values in a line or two.
#pragma once

#include <utility>
#include <vector>

#include "autodiff/graph/ops.h"
#include "autodiff/program/program.h"

namespace autodiff {

/// The elements of a source of the graph.
using Binding = std::pair<Value, const Tensor&>;
using LabelBinding = std::pair<Value, const Labels&>;

/// The elements of a value: evaluate(matmul(a, b)) for constants, evaluate(y, {{x, tensor}}) for inputs.
/// Compiles and runs once; whoever wants it again and again compiles a Program.
Tensor evaluate(Value output, std::initializer_list<Binding> bindings = {},
                std::initializer_list<LabelBinding> labels = {}, const CompileOptions& options = {});

}  // namespace autodiff
