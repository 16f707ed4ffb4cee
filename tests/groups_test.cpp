// Groups: element-wise functions that a program runs together, a few rows at a time.
#include <algorithm>
#include <cstring>

#include "autodiff/kernels/cpu.h"
#include "tests/guards.h"
#include "tests/programs.h"

using namespace autodiff;
using namespace tests;

namespace {

// Backends like the default ones, but without chains: every step runs alone.
kernels::Backends without_chains() {
  static std::vector<kernels::Backend> rows;
  rows.clear();
  for (const kernels::Backend* row : kernels::enabled_backends()) rows.push_back(*row);
  kernels::Backends out;
  for (kernels::Backend& row : rows) {
    row.pointwise = nullptr;
    out.push_back(&row);
  }
  return out;
}

std::size_t grouped_steps(const Program& program) {
  std::size_t count = 0;
  for (const Stage& stage : program.plan().stages) {
    for (const Step& step : stage.steps) count += step.group.steps;
  }
  return count;
}

bool has_chains() {
  const auto& rows = kernels::enabled_backends();
  return std::any_of(rows.begin(), rows.end(),
                     [](const kernels::Backend* row) { return row->pointwise != nullptr; });
}

// The same bits with and without groups; a sound plan.
void check_bits(Graph& g, const Sources& sources, const std::vector<Value>& outputs, std::size_t least) {
  const Filled filled = fill(sources.list, Seed{5});
  Program together = compile(g, outputs, {.threads = 2});
  Program alone = compile(g, outputs, {.backends = without_chains(), .threads = 2});
  CHECK(grouped_steps(alone) == 0);
  if (has_chains()) CHECK(grouped_steps(together) >= least);
  for (Program* program : {&together, &alone}) {
    filled.bind(*program, g);
    program->run();
    CHECK(unsound(*program, g) == "");
  }
  for (const Value& out : outputs) {
    const Floats a = output_of(together, out), b = output_of(alone, out);
    CHECK(std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0);
  }
}

}  // namespace

TEST_CASE("steps that run together give the bits of steps that run alone") {
  for (const int channels : {1, 2, 3, 7, 16, 33, 64, 200, 2000}) {
    for (const int samples : {1, 5, 37}) {
      INFO(samples << " samples, " << channels << " channels");
      Graph g;
      Sources s{g};
      const Value x = s.batch({samples, 3, channels}), y = s.batch({samples, 3, channels});
      const Value scale_row = s.fixed({channels}), shift_row = s.fixed({channels}), one = s.fixed({1});
      const Value heavy = ballast(x);
      const Value normal = heavy * scale_row + shift_row;
      const Value active = relu(normal), squashed = tanh(normal + y) / (square(y) + one + 2.0f);
      const Value masked = sigmoid(active) * squashed - y * one;
      check_bits(g, s, {masked, sum(masked, {.axes = {0, 1}}), normal, mean(squashed)}, 5);
      check_bits(g, s, {gradient(sum(masked), scale_row), gradient(sum(square(masked)), y)}, 5);
    }
  }
}

TEST_CASE("every element-wise function in one chain, for every instruction set") {
  const auto& supported = kernels::simd_targets();
  const std::string before = kernels::simd_target();
  const std::string target = supported.empty() ? "best" : GENERATE_COPY(from_range(supported));
  kernels::force_simd_target(target);
  INFO(target);
  Graph g;
  Sources s{g};
  const Value x = s.batch({19, 5, 48}), row = s.fixed({48});
  Value v = ballast(x) + row;
  v = exp(tanh(v) - row);
  v = log(v + 0.5f) * sigmoid(v);
  v = sqrt(square(v) + 1.0f) / (square(row) + 1.0f);
  v = v * row + relu(row - v);
  check_bits(g, s, {v, gradient(sum(v), x), gradient(sum(v), row)}, 12);
  check_outputs(g, s, {v});
  kernels::force_simd_target(before);
}

TEST_CASE("what is between the steps of a group has no memory") {
  if (!has_chains()) {
    WARN("no backend has chains: nothing tested");
    return;
  }
  Graph g;
  Sources s{g};
  const Value x = s.batch({128, 4, 16}), row = s.fixed({16});
  const Value y = relu(ballast(x) * row + row);
  const Program program = compile(g, {y}, {.threads = 1});
  const Stage& stage = first_chunked(program);
  REQUIRE(stage.steps.size() == 4);
  CHECK(stage.steps[1].group.steps == 3);
  CHECK(stage.steps[1].group.dims.steps.size() == 2);  // the product is added to at once
  CHECK(stage.steps[1].output.base == Operand::nowhere);
  CHECK(stage.steps[2].output.base == Operand::nowhere);
  const auto chunk = static_cast<std::size_t>(stage.chunk);
  CHECK(program.plan().scratch_bytes == aligned(chunk * 4 * 16 * sizeof(float)));  // what ballast gives
}

TEST_CASE("a normalization is one step") {
  if (!has_chains()) {
    WARN("no backend has chains: nothing tested");
    return;
  }
  Graph g;
  Sources s{g};
  const Value x = s.batch({50, 4, 16}), mean = s.fixed({16}), factor = s.fixed({16}), bias = s.fixed({16});
  const Value y = (ballast(x) - mean) * factor + bias, z = bias + factor * (y - mean), again = (z - z) * z;
  check_bits(g, s, {z, again}, 8);
  const Program program = compile(g, {z, again});
  for (const Step& step : first_chunked(program).steps) {
    if (step.group.run) CHECK(step.group.dims.steps.size() == 3);  // y, z and `again`
  }
}

TEST_CASE("a group waits for what it needs from elsewhere") {
  Graph g;
  Sources s{g};
  const Value x = s.batch({37, 6, 6, 8}), w = s.fixed({3, 3, 8, 8}), row = s.fixed({8});
  const Value a = relu(ballast(x) * row), b = conv2d(a, w), c = relu(b + a * row), d = conv2d(c, w) + c;
  const Value total = sum(square(d + a));
  check_bits(g, s, {d, total, gradient(total, w), gradient(total, row)}, 6);
  check_outputs(g, s, {d, total});
}
