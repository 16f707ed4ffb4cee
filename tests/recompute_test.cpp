// Cheap intermediates are computed again in later stages: the same values in less memory. Random graphs with
// it are in program_fuzz_test.cpp.
#include <vector>

#include "autodiff/graph/ops.h"
#include "autodiff/program/program.h"
#include "tests/catch.h"

using namespace autodiff;

TEST_CASE("cheap values that later stages read are computed again instead of being kept") {
  Graph g;
  const Value x = g.input({64, 32});
  std::vector<Value> weights;
  Value hidden = x;
  for (const char* name : {"w1", "w2", "w3", "w4"}) {
    weights.push_back(g.parameter(name, {32, 32}));
    const Value product = matmul(hidden, weights.back());
    // The mean ends a stage; the product is needed in any case, for the slope of its square.
    hidden = relu(square(product) - mean(product, {.axes = {0}}));
  }
  std::vector<Value> outputs = gradient(mean(square(hidden)), weights);
  const auto run = [&](std::size_t above) {
    Program program = compile(g, outputs, {.recompute_above = above});
    std::vector<float> numbers(64 * 32);
    for (std::size_t i = 0; i < numbers.size(); ++i)
      numbers[i] = static_cast<float>(i * i % 13) * 0.1f - 0.5f;
    program.bind(x, std::span<const float>(numbers));
    for (const Value& w : weights) program.bind(w, std::span<const float>(numbers).first(32 * 32));
    program.run();
    std::vector<float> out;
    for (const Value& o : outputs) {
      out.insert(out.end(), program.value(o).data, program.value(o).data + o.shape().size());
    }
    return std::pair(out, program.workspace_bytes());
  };
  const auto again = run(0), kept = run(std::size_t{1} << 40);
  CHECK(again.first == kept.first);  // cut alike, so even the sums
  CHECK(again.second < kept.second);
  int rectified_again = 0;
  const Program program = compile(g, outputs, {.recompute_above = 0});
  for (const Stage& stage : program.plan().stages) {
    for (const Step& step : stage.steps) rectified_again += step.row.op == "relu again";
  }
  CHECK(rectified_again >= 1);
}
