// Values of every case of op_cases.h, and of their gradients, on every backend: within the bound of the
// rounding errors, and no byte written beside the output.
#include <cstring>
#include <iostream>

#include "autodiff/graph/ops.h"
#include "tests/catch.h"
#include "tests/error_bound.h"
#include "tests/guards.h"
#include "tests/op_graph.h"

using namespace autodiff;
using namespace tests;

TEST_CASE("every op and its gradient is within its rounding error on every backend, cut into chunks or not") {
  std::cout << "backends: " << kernels::describe(kernels::enabled_backends()) << '\n';
  for (const OpCase& c : op_cases()) {
    for (const bool heavy : {false, true}) {
      CaseGraph built(c, heavy);
      const auto want = interpret_bounded(built.graph, built.outputs, built.filled.feeds<double>());
      std::vector<std::vector<float>> reference;
      for (const auto& [name, backends] : all_backends()) {
        Program program = built.compile({.backends = backends, .threads = 1});
        program.run();
        std::vector<std::vector<float>> got;
        for (std::size_t i = 0; i < want.size(); ++i) {
          got.push_back(case_output(program, built.outputs[i]));
          INFO(c.op << " " << c.sizes << (heavy ? ", in chunks" : "") << " on " << name
                    << (i > 0 ? ", gradient" : ""));
          CHECK(beyond_bound<float>(got[i], want[i]) == "");
        }
        if (name == "reference") reference = got;
      }
      // The portable kernels keep the order of the sums.
      Program portable = built.compile({.backends = kernels::parse_backends("portable"), .threads = 1});
      portable.run();
      for (std::size_t i = 0; i < want.size(); ++i) {
        INFO(c.op << " " << c.sizes << (heavy ? ", in chunks" : "") << (i > 0 ? ", gradient" : ""));
        CHECK(same_bits(case_output(portable, built.outputs[i]), reference[i]));
      }
    }
  }
}

TEST_CASE("kernels write all of their output, and nothing else") {
  for (const OpCase& c : op_cases()) {
    CaseGraph built(c, false);
    const Graph& graph = built.graph;
    std::vector<Value> nodes;
    for (int id = 0; id < graph.size(); ++id) {
      const bool filled = built.filled.values.contains(id) || built.filled.labels.contains(id);
      if (filled || graph.node(id).constant || graph.node(id).op) nodes.push_back({&built.graph, id});
    }
    const auto values = interpret<double>(graph, nodes, built.filled.feeds<double>());
    std::map<int, std::vector<std::byte>> elements;  // as kernels read them
    for (std::size_t i = 0; i < nodes.size(); ++i) {
      auto& bytes = elements[nodes[i].id];
      bytes.resize(values[i].size() * 4);
      for (std::size_t k = 0; k < values[i].size(); ++k) {
        const auto x = static_cast<float>(values[i][k]);
        const auto label = static_cast<std::int32_t>(nodes[i].dtype() == DType::I32 ? values[i][k] : 0);
        std::memcpy(bytes.data() + 4 * k,
                    nodes[i].dtype() == DType::I32 ? static_cast<const void*>(&label) : &x, 4);
      }
    }
    for (const Value& v : nodes) {
      const Node& node = graph.node(v);
      if (!node.op) continue;
      std::vector<Shape> shapes;
      std::vector<const void*> inputs;
      for (const Value& in : node.inputs) {
        shapes.push_back(in.shape());
        inputs.push_back(elements.at(in.id).data());
      }
      for (const auto& [name, backends] : all_backends()) {
        INFO(c.op << " " << c.sizes << ": " << node.op->name() << " " << node.shape << " on " << name);
        const Launch launch = node.op->launch({.inputs = shapes, .output = node.shape, .backends = backends});
        CHECK(!launch.backend.empty());
        const auto before = elements;
        Guarded ones(node.shape.size() * 4, 0xFF), zeros(node.shape.size() * 4, 0x00);
        Guarded scratch(launch.scratch_bytes, 0xFF);
        inputs.resize(shapes.size());
        inputs.push_back(scratch.data());
        launch.run(inputs.data(), ones.data());
        launch.run(inputs.data(), zeros.data());
        CHECK(ones.intact());
        CHECK(zeros.intact());
        CHECK(scratch.intact());
        CHECK(ones.content() == zeros.content());  // nothing of what was there before is left
        CHECK(before == elements);
      }
    }
  }
}
