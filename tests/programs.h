// What tests of programs ask them.
#pragma once

#include <string>
#include <vector>

#include "autodiff/graph/ops.h"
#include "autodiff/program/program.h"
#include "tests/catch.h"
#include "tests/error_bound.h"
#include "tests/op_cases.h"
#include "tests/plan_check.h"

namespace tests {

using namespace autodiff;
using Ops = std::vector<std::string>;
using Floats = std::vector<float>;

inline std::vector<float> output_of(const Program& program, Value v) {
  const auto view = program.value(v);
  return {view.data, view.data + view.shape.size()};
}

inline std::vector<std::string> ops_of(const Program& program) {
  std::vector<std::string> out;
  for (const Stage& stage : program.plan().stages) {
    for (const Step& step : stage.steps) out.push_back(step.row.op);
  }
  return out;
}

inline const Stage& first_chunked(const Program& program) {
  for (const Stage& stage : program.plan().stages) {
    if (stage.chunked) return stage;
  }
  throw Error("no chunked stage");
}

/// Compiles, checks the plan, runs, and compares with the interpretation in double.
inline void check_outputs(Graph& g, const Sources& sources, const std::vector<Value>& outputs) {
  const Filled filled = fill(sources.list, Seed{3});
  const auto want = interpret_bounded(g, outputs, filled.feeds<double>());
  for (const kernels::Backend* row : kernels::enabled_backends()) {
    Program program = compile(g, outputs, {.backends = kernels::parse_backends(row->name), .threads = 2});
    filled.bind(program, g);
    program.run();
    CHECK(unsound(program, g) == "");
    for (std::size_t i = 0; i < outputs.size(); ++i) {
      CHECK(beyond_bound<float>(output_of(program, outputs[i]), want[i]) == "");
    }
  }
}

}  // namespace tests
