// What goes into a program and comes out of it: outputs of all kinds, memory of the caller, what is refused.
#include "tests/programs.h"

using namespace autodiff;
using namespace tests;

TEST_CASE("outputs may be sources, constants, views, labels, one another and asked for twice") {
  Graph g;
  const Value x = g.input({2, 3}), labels = g.labels(2), c = g.constant(Tensor({2}, {7, 8}));
  const Value folded = c + 1.0f, y = x * 2.0f, view = reshape(y, {3, 2}), view_of_x = flatten(x),
              best = argmax(x);
  const Value inner = relu(y), flat = reshape(x, {6});
  const std::vector<Value> outputs = {x, labels, c, folded, y, view, view_of_x, y, best, inner, best, flat};
  Program program = compile(g, outputs);
  CHECK(unsound(program, g) == "");
  const Floats data = {1, -2, 3, 4, 5, -6}, twice = {2, -4, 6, 8, 10, -12};
  const std::vector<std::int32_t> classes = {2, 1};
  program.bind(x, data);
  program.bind(labels, classes);
  program.run();
  CHECK(output_of(program, x) == data);
  CHECK(output_of(program, view_of_x) == data);
  CHECK(output_of(program, flat) == data);
  CHECK(output_of(program, c) == Floats{7, 8});
  CHECK(output_of(program, folded) == Floats{8, 9});
  CHECK(output_of(program, y) == twice);
  CHECK(output_of(program, view) == twice);
  CHECK(output_of(program, inner) == Floats{2, 0, 6, 8, 10, 0});
  CHECK(program.labels(labels)(0) == 2);
  CHECK(program.labels(best)(0) == 2);
  CHECK(program.labels(best)(1) == 1);
  for (const Plan::Output& out : program.plan().outputs) CHECK(out.shape == out.value.shape());
  // A copied output is no second computation.
  CHECK(compile(g, {y, y}).flops() == compile(g, {y}).flops());
  CHECK(ops_of(compile(g, {y, y})) == Ops{"scale", "copy"});
}

TEST_CASE("outputs are written to memory of the caller") {
  Graph g;
  const Value x = g.input({5, 2}), y = x + 1.0f, total = sum(y), view = reshape(y, {10}), best = argmax(x);
  Program program = compile(g, {y, total, view, best});
  const Floats data = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9};
  Floats here(10, -1.0f), there(1), viewed(10);
  program.bind(x, data);
  program.write_to(y, here);
  program.write_to(total, there);
  program.write_to(view, viewed);
  program.run();
  CHECK(here == Floats{1, 2, 3, 4, 5, 6, 7, 8, 9, 10});
  CHECK(there == Floats{55});
  CHECK(viewed == here);
  CHECK(program.value(y).data == here.data());
  CHECK(program.scalar(total) == 55);
  CHECK_THROWS_WITH(program.write_to(y, there),
                    ContainsSubstring("write_to: want 10 floats for shape [5, 2], got 1"));
  CHECK_THROWS_WITH(program.write_to(x, here), ContainsSubstring("not one of the 4 outputs"));
  Floats five(5);
  CHECK_THROWS_WITH(program.write_to(best, five),
                    ContainsSubstring("write_to") && ContainsSubstring("labels"));
}

TEST_CASE("sums over chunks go to memory of the caller too") {
  Graph g;
  const Value x = g.input({99, 3}), y = sum(ballast(x), {.axes = {0}});
  Program program = compile(g, {y});
  REQUIRE(first_chunked(program).chunks == 50);
  const Floats ones(99 * 3, 1.0f);
  Floats here(3);
  program.bind(x, ones);
  program.write_to(y, here);
  program.run();
  CHECK(here == Floats{99, 99, 99});
}

TEST_CASE("what depends on parameters that stay is computed when they are bound") {
  Graph g;
  const Value x = g.input({4, 3}), w = g.parameter("w", {3, 2}), scale = g.parameter("scale", {2});
  const Value factor = exp(scale) * 0.5f, scaled = w * factor, y = matmul(x, scaled), size = sum(square(w));
  Program program = compile(g, {y, size}, {.parameters_stay = true});
  CHECK(unsound(program, g) == "");
  REQUIRE(program.plan().fixed_stages == 1);
  CHECK(program.plan().stages[0].steps.size() == 5);
  Floats weights = {1, 2, 3, 4, 5, 6}, scales(2), ones(12, 1.0f), there(1);
  program.bind(x, ones);
  program.bind(w, weights);
  program.bind(scale, scales);
  program.run();
  const Floats want = {4.5f, 6, 4.5f, 6, 4.5f, 6, 4.5f, 6};
  CHECK(output_of(program, y) == want);
  CHECK(program.scalar(size) == 91);
  weights.assign(6, 2);
  program.run();  // as they were when they were bound
  CHECK(output_of(program, y) == want);
  CHECK(program.scalar(size) == 91);
  program.write_to(size, there);
  program.run();
  CHECK(there[0] == 24);
  CHECK(output_of(program, y) == Floats(8, 3));
  weights.assign(6, 4);
  program.bind(w, weights);
  program.run();
  CHECK(output_of(program, y) == Floats(8, 6));
  CHECK(there[0] == 96);
  Program copy = program;
  CHECK_THROWS_WITH(copy.run(), ContainsSubstring("has not been bound"));
  copy.bind(x, ones);
  copy.bind(w, weights);
  copy.bind(scale, scales);
  copy.run();
  CHECK(output_of(copy, y) == Floats(8, 6));
}

TEST_CASE("binding is checked") {
  Graph g, other;
  const Value x = g.input({4, 3}, "images"), labels = g.labels(4), w = g.parameter("w", {3});
  const Value y = x * w, constant = g.constant(Tensor({3}, {1, 2, 3})), folded = square(constant);
  const Value loss = cross_entropy(y * folded, labels);
  Program program = compile(g, {loss, y});
  const Floats twelve(12), three(3);
  const std::vector<std::int32_t> four(4);
  CHECK_THROWS_WITH(program.run(), ContainsSubstring("run: 'images' has not been bound; want 12 floats"));
  CHECK_THROWS_WITH(program.bind(x, three), ContainsSubstring("bind 'images': want 12 floats, got 3 floats"));
  CHECK_THROWS_WITH(program.bind(x, four), ContainsSubstring("want 12 floats, got 4 labels"));
  CHECK_THROWS_WITH(program.bind(labels, three), ContainsSubstring("want 4 labels, got 3 floats"));
  CHECK_THROWS_WITH(program.bind(y, twelve),
                    ContainsSubstring("want an input or a parameter") && ContainsSubstring("mul"));
  CHECK_THROWS_WITH(program.bind(constant, three), ContainsSubstring("got a constant"));
  CHECK_THROWS_WITH(program.bind(folded, three), ContainsSubstring("square"));  // computed when compiling
  CHECK_THROWS_WITH(program.bind(Value{}, three), ContainsSubstring("bind: want an input or a parameter"));
  CHECK_THROWS_WITH(program.bind(other.input({4, 3}), twelve),
                    ContainsSubstring("of the graph that was compiled"));
  program.bind(x, twelve);
  program.bind(w, three);
  CHECK_THROWS_WITH(program.run(), ContainsSubstring("'labels' has not been bound; want 4 labels"));
  program.bind(labels, four);
  CHECK_NOTHROW(program.run());
  CHECK_THROWS_WITH(program.scalar(loss),
                    ContainsSubstring("scalar: want an output of one element, got [4]"));
  CHECK_THROWS_WITH(program.labels(loss), ContainsSubstring("use value()"));
  const Value best = argmax(x);
  CHECK_THROWS_WITH(compile(g, {best}).value(best), ContainsSubstring("use labels()"));
}

TEST_CASE("bindings are looked at anew in each run, and can be changed") {
  Graph g;
  const Value x = g.input({2}), y = square(x);
  Program program = compile(g, {y});
  Floats first = {1, 2}, second = {3, 4};
  program.bind(x, first);
  program.run();
  CHECK(output_of(program, y) == Floats{1, 4});
  first = {5, 6};
  program.run();
  CHECK(output_of(program, y) == Floats{25, 36});
  program.bind(x, second);
  program.run();
  CHECK(output_of(program, y) == Floats{9, 16});
  Program moved = std::move(program);
  moved.run();
  CHECK(output_of(moved, y) == Floats{9, 16});
  Program copy = moved;  // has bindings of its own
  CHECK_THROWS_WITH(copy.run(), ContainsSubstring("has not been bound"));
}
