// Stages: how a program is cut into chunks of samples, and what has to wait for all of them.
#include <algorithm>

#include "tests/programs.h"

using namespace autodiff;
using namespace tests;

TEST_CASE("stages are cut into chunks by cost, with tails, for any batch") {
  for (const int n : {1, 2, 7, 37, 63, 64, 65, 128, 1000}) {
    for (const int wanted : {1, 2, 3, 5, 16, 400}) {
      INFO(n << " samples, " << wanted << " chunks wanted");
      Graph g;
      Sources s{g};
      const Value x = s.batch({n, 3}), w = s.fixed({3, 4});
      const Value heavy = ballast(x, 4e6 * wanted * 1.01);
      const Value y = tanh(matmul(heavy, w)), total = mean(y), columns = sum(y, {.axes = {0}});
      const Value dw = gradient(total, w);
      check_outputs(g, s, {y, total, columns, dw});
      const Program program = compile(g, {y, total, columns, dw});
      const Stage& stage = first_chunked(program);
      CHECK(stage.samples == n);
      CHECK(stage.chunks <= std::min({n, most_partials, wanted}));
      CHECK(2 * stage.chunks >= std::min({n, most_partials, wanted}));
      CHECK((stage.chunks - 1) * stage.chunk < n);
      CHECK(stage.chunks * stage.chunk >= n);
    }
  }
}

TEST_CASE("what is inside a stage never touches the arena") {
  Graph g;
  const Value x = g.input({128, 64});
  const Value total = sum(square(tanh(relu(ballast(x)))));
  const Program program = compile(g, {total}, {.threads = 1});
  const Plan& plan = program.plan();
  CHECK(plan.stages.size() == 1);
  CHECK(plan.scratch_bytes == 2 * 2 * 64 * sizeof(float));  // two values of a chunk of 2 samples
  CHECK(plan.arena_bytes <= (64 + 2) * alignment);          // 64 partial sums of one float, and the output
  CHECK(program.workspace_bytes() == plan.arena_bytes + plan.scratch_bytes);
  const Program three = compile(g, {total}, {.threads = 3});
  CHECK(three.workspace_bytes() == plan.arena_bytes + 3 * plan.scratch_bytes);
}

TEST_CASE("ops that need all samples wait for them") {
  Graph g;
  Sources s{g};
  const Value x = ballast(s.batch({37, 4})), w = s.fixed({37, 4});
  const Value turned = transpose(x), top = max(x, {.axes = {0}}),
              longer = concat(std::vector<Value>{x, w, x}, 0);
  const Value middle = slice(x, 0, 5, 11), padded = pad(x, 0, 1, 2), flat = reshape(x, {4, 37});
  const Value gram = matmul(x, x, {.transpose_b = true});
  // ... and go on in chunks afterwards, where the values have the length of the batch.
  const Value back = tanh(transpose(turned)), centred = x - top, again = ballast(centred) * x;
  check_outputs(g, s,
                {turned, top, longer, middle, padded, flat, gram, back, centred, sum(again), softmax(gram)});
  const Value loss = sum(centred * centred) + sum(square(turned)) + mean(gram);
  check_outputs(g, s, {gradient(loss, s.list[0].value), gradient(loss, s.list[1].value)});
}

TEST_CASE("after a sum over all samples, chunks begin again") {
  Graph g;
  Sources s{g};
  const Value x = s.batch({130, 4});
  const Value centred = ballast(ballast(x) - mean(ballast(x), {.axes = {0}}));
  const Value spread = mean(square(centred), {.axes = {0}});
  const Value normal = ballast(centred / sqrt(spread + 1e-3f));
  check_outputs(g, s, {normal, gradient(sum(normal * x), x)});
  const Program program = compile(g, {normal});
  REQUIRE(program.plan().stages.size() == 4);    // the mean, the spread, its root as a whole, the quotient
  CHECK(program.plan().stages[0].chunks == 44);  // of 3 samples: 64 is the most where there are sums to add
  CHECK(program.plan().stages[1].chunks == 44);
  CHECK(program.plan().stages[3].chunks == 130);
  CHECK_FALSE(program.plan().stages[2].chunked);
}

TEST_CASE("values of another batch are taken as a whole") {
  Graph g;
  Sources s{g};
  const Value x = ballast(s.batch({12, 3})), longer = ballast(s.batch({29, 3})), w = s.fixed({3, 2});
  const Value a = matmul(relu(x), w), b = matmul(relu(longer), w);
  const Value loss = mean(square(a)) + mean(square(b));
  check_outputs(g, s, {a, b, loss, gradient(loss, w)});
  check_outputs(g, s, {b, a});
  const Value one = s.batch({1, 3});  // a batch of one sample that is repeated
  check_outputs(g, s, {x * one, one + longer, broadcast_to(one, {12, 3})});
  check_outputs(g, s, {broadcast_like(one, x) * x});
}

TEST_CASE("products with large matrices meet all samples at once, on all threads, with the same bits") {
  Graph g;
  Sources s{g};
  const Value x = s.batch({70, 300}), w = s.fixed({300, 500}), v = s.fixed({500, 290});
  const Value hidden = tanh(matmul(x, w)), y = matmul(hidden, v), loss = sum(square(y));
  std::vector<Value> outputs = gradient(loss, std::vector<Value>{w, v, x});
  outputs.push_back(y);
  check_outputs(g, s, outputs);
  const Filled filled = fill(s.list, Seed{5});
  for (const kernels::Backend* row : kernels::enabled_backends()) {
    INFO(row->name);
    std::vector<Floats> first;
    for (const int threads : {1, 2, 3, 16}) {
      Program program =
          compile(g, outputs, {.backends = kernels::parse_backends(row->name), .threads = threads});
      std::size_t products = 0, cut = 0, left_to_blas = 0;  // which an old OpenBLAS on a newer CPU is not
      for (const Stage& stage : program.plan().stages) {
        for (const Step& step : stage.steps) {
          if (!step.row.op.starts_with("matmul")) continue;
          ++products;
          CHECK_FALSE(stage.chunked);
          cut += step.parts.size() > 1;
          left_to_blas += step.launch.backend == "blas";
          CHECK(step.parts.size() <= static_cast<std::size_t>(threads));
        }
      }
      CHECK(products == 6);
      CHECK(cut == (threads > 1 ? products - left_to_blas : 0));
      if (row->name != "blas") CHECK(left_to_blas == 0);
      filled.bind(program, g);
      program.run();
      std::vector<Floats> got;
      for (const Value& out : outputs) got.push_back(output_of(program, out));
      if (first.empty()) first = got;
      CHECK(got == first);
    }
  }
}
