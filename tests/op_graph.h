// The graph of a case of op_cases.h with its gradients, and what a program of it computes.
#pragma once

#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "autodiff/program/program.h"
#include "tests/op_cases.h"

namespace tests {

// The graph of a case: its output, and the gradient of a weighted sum of the output by every source of
// floats.
struct CaseGraph {
  Graph graph;
  Sources sources{graph};
  std::vector<Value> outputs;
  Filled filled;

  explicit CaseGraph(const OpCase& c, bool heavy = false) {
    sources.heavy = heavy;
    const Value y = c.build(sources);
    outputs = {y};
    if (y.dtype() == autodiff::DType::F32) {
      const Value weights = y.batched() ? sources.batch(y.shape()) : sources.fixed(y.shape());
      std::vector<Value> wrt;
      for (const OpSource& s : sources.list) {
        if (s.fill != Fill::classes) wrt.push_back(s.value);
      }
      for (const Value& d : autodiff::gradient(sum(y * weights), wrt)) outputs.push_back(d);
    }
    filled = fill(sources.list, autodiff::Seed{7});
  }

  autodiff::Program compile(const autodiff::CompileOptions& options) {
    autodiff::Program program = autodiff::compile(graph, outputs, options);
    filled.bind(program, graph);
    return program;
  }
};

inline std::vector<float> case_output(const autodiff::Program& program, Value v) {
  if (v.dtype() == autodiff::DType::I32) {
    const auto view = program.labels(v);
    return {view.data, view.data + view.shape.size()};
  }
  const auto view = program.value(v);
  return {view.data, view.data + view.shape.size()};
}

inline bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() &&
         (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0);
}

// Each backend alone, portable behind it where it is not complete.
inline std::vector<std::pair<std::string, autodiff::kernels::Backends>> all_backends() {
  using namespace autodiff::kernels;
  std::vector<std::pair<std::string, Backends>> out;
  for (const Backend* row : enabled_backends()) out.emplace_back(row->name, parse_backends(row->name));
  return out;
}

}  // namespace tests
