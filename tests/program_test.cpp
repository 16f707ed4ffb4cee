// Programs: what compile() leaves out, folds, cuts and places, and how a program is bound, run and shown.
// More than 300 lines, because each property of a plan has a graph of its own.
#include <cstring>
#include <sstream>
#include <thread>

#include "autodiff/graph/ops.h"
#include "autodiff/program/place.h"
#include "autodiff/program/program.h"
#include "tests/catch.h"
#include "tests/error_bound.h"
#include "tests/guards.h"
#include "tests/op_cases.h"
#include "tests/plan_check.h"

using namespace autodiff;
using namespace tests;

namespace {

std::vector<float> output_of(const Program& program, Value v) {
  const auto view = program.value(v);
  return {view.data, view.data + view.shape.size()};
}

std::vector<std::string> ops_of(const Program& program) {
  std::vector<std::string> out;
  for (const Stage& stage : program.plan().stages) {
    for (const Step& step : stage.steps) out.push_back(step.row.op);
  }
  return out;
}

const Stage& first_chunked(const Program& program) {
  for (const Stage& stage : program.plan().stages) {
    if (stage.chunked) return stage;
  }
  throw Error("no chunked stage");
}

using Ops = std::vector<std::string>;
using Floats = std::vector<float>;

// Compiles, checks the plan, runs, and compares with the interpretation in double.
void check_outputs(Graph& g, const Sources& sources, const std::vector<Value>& outputs) {
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

}  // namespace

TEST_CASE("what no output depends on is not computed") {
  Graph g;
  const Value x = g.input({4, 3}), dead_input = g.input({4, 3}, "dead");
  const Value y = relu(x), dead = tanh(x) + dead_input;
  Program program = compile(g, {y});
  CHECK(ops_of(program) == Ops{"relu"});
  const Floats data(12, 2.0f);
  program.bind(x, data);
  CHECK_NOTHROW(program.bind(dead_input, data));  // to no effect
  program.run();
  CHECK(output_of(program, y) == data);
  CHECK_THROWS_WITH(program.value(dead), ContainsSubstring("not one of the 1 outputs"));
  CHECK_THROWS_WITH(compile(g, {}), ContainsSubstring("at least one output"));
  Graph other;
  CHECK_THROWS_WITH(compile(other, {y}), ContainsSubstring("outputs of the given graph"));
}

TEST_CASE("ops on constants are computed when compiling") {
  Graph g;
  const Value a = g.constant(Tensor({2}, {1, 2})), x = g.input({3, 2});
  const Value b = square(a + 3.0f), y = x * reshape(b, {1, 2});
  Program program = compile(g, {y});
  CHECK(ops_of(program) == Ops{"mul"});
  const Floats ones(6, 1.0f);
  program.bind(x, ones);
  program.run();
  CHECK(output_of(program, y) == Floats{16, 25, 16, 25, 16, 25});
  // A large one is computed when the program runs, so that plans stay small.
  const Value large = broadcast_to(g.constant(2.0f), {1 << 9, 1 << 9});
  Program runs = compile(g, {sum(large)});
  CHECK(ops_of(runs) == Ops{"broadcast", "sum"});
  runs.run();
  CHECK(runs.scalar(runs.plan().outputs[0].value) == float(1 << 19));
}

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
  const Value x = g.input({37, 3}), y = sum(ballast(x), {.axes = {0}});
  Program program = compile(g, {y});
  REQUIRE(first_chunked(program).chunks == 13);
  const Floats ones(37 * 3, 1.0f);
  Floats here(3);
  program.bind(x, ones);
  program.write_to(y, here);
  program.run();
  CHECK(here == Floats{37, 37, 37});
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

TEST_CASE("stages are cut into chunks by cost, with tails, for any batch") {
  for (const int n : {1, 2, 7, 15, 16, 17, 37, 128, 1000}) {
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
      CHECK(stage.chunks <= std::min({n, 16, wanted}));
      CHECK(2 * stage.chunks >= std::min({n, 16, wanted}));
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
  CHECK(plan.scratch_bytes == 2 * 8 * 64 * sizeof(float));  // two values of a chunk of 8 samples
  CHECK(plan.arena_bytes <= (16 + 2) * alignment);          // 16 partial sums of one float, and the output
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
  const Value x = s.batch({37, 4});
  const Value centred = ballast(ballast(x) - mean(ballast(x), {.axes = {0}}));
  const Value spread = mean(square(centred), {.axes = {0}});
  const Value normal = ballast(centred / sqrt(spread + 1e-3f));
  check_outputs(g, s, {normal, gradient(sum(normal * x), x)});
  const Program program = compile(g, {normal});
  REQUIRE(program.plan().stages.size() == 4);    // the mean, the spread, its root as a whole, the quotient
  CHECK(program.plan().stages[0].chunks == 13);  // of 3 samples: 16 is the most where there are sums to add
  CHECK(program.plan().stages[1].chunks == 13);
  CHECK(program.plan().stages[3].chunks == 37);
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

TEST_CASE("an empty batch gives empty values, sums of nothing, and gradients of zeros") {
  Graph g;
  const Value x = g.input({0, 3}), labels = g.labels(0), w = g.parameter("w", {3, 2});
  const Value y = matmul(x, w), loss = sum(cross_entropy(y, labels)), dw = gradient(loss, w);
  Program program = compile(g, {y, loss, dw});
  const Floats weights(6, 1.0f);
  program.bind(w, weights);
  program.run();  // what is empty need not be bound
  CHECK(program.scalar(loss) == 0);
  CHECK(output_of(program, dw) == Floats(6));
  CHECK(program.value(y).shape == Shape{0, 2});
}

TEST_CASE("copies of a program run at the same time") {
  const ThreadsGuard guard(2);
  Graph g;
  Sources s{g};
  const Value x = s.batch({40, 8}), w = s.fixed({8, 5}), labels = s.labels(40, 5);
  const Value loss = mean(cross_entropy(matmul(ballast(tanh(x)), w), labels)), dw = gradient(loss, w);
  const Program program = compile(g, {loss, dw}, {.threads = 2});
  std::vector<Filled> inputs;
  std::vector<Floats> want, got(4);
  for (std::uint64_t i = 0; i < 4; ++i) {
    inputs.push_back(fill(s.list, Seed{i}));
    Program alone = program;
    inputs.back().bind(alone, g);
    alone.run();
    want.push_back(output_of(alone, dw));
  }
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < 4; ++i) {
    threads.emplace_back([&, i] {
      Program own = program;
      inputs[i].bind(own, g);
      for (int k = 0; k < 200; ++k) own.run();
      got[i] = output_of(own, dw);
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(got == want);
  CHECK(want[0] != want[1]);
}

TEST_CASE("a graph may grow, or go, after it was compiled") {
  Floats out(2);
  const Floats data = {3, 4};
  auto g = std::make_unique<Graph>();
  const Value x = g->input({2}), y = square(x) * g->constant(2.0f);
  Program program = compile(*g, {y});
  tanh(y);
  program.bind(x, data);
  program.write_to(y, out);
  g.reset();
  program.run();
  CHECK(out == Floats{18, 32});
}

TEST_CASE("a profile has the time of each step, and the table shows all of them") {
  Graph g;
  Sources s{g};
  const Value x = s.batch({64, 20}), w = s.fixed({20, 10});
  const Value y = softmax(matmul(ballast(x, 1e9), w)), top = max(y, {.axes = {0}}),
              dw = gradient(sum(y * y), w);
  Program program = compile(g, {y, top, dw, y}, {.backends = kernels::parse_backends("portable")});
  const Filled filled = fill(s.list, Seed{1});
  filled.bind(program, g);
  program.run();
  const Floats plain = output_of(program, dw);
  Profile profile;
  program.run_profiled(profile);
  program.run_profiled(profile);
  CHECK(output_of(program, dw) == plain);
  CHECK(profile.runs == 2);
  const Ops ops = ops_of(program);
  REQUIRE(profile.seconds.size() == ops.size());
  double total = 0;
  for (const double seconds : profile.seconds) {
    CHECK(seconds >= 0);
    total += seconds;
  }
  CHECK(total > 0);

  double flops = 0;
  for (const Stage& stage : program.plan().stages) {
    for (const Step& step : stage.steps) flops += step.row.flops;
  }
  CHECK(program.flops() == flops);
  for (const std::string& shown : {table(program), table(program, &profile)}) {
    std::istringstream lines(shown);
    std::string line;
    std::getline(lines, line);
    CHECK_THAT(line, ContainsSubstring("step") && ContainsSubstring("op") && ContainsSubstring("FLOPs") &&
                         ContainsSubstring("kernel") && ContainsSubstring("place"));
    for (const std::string& op : ops) {
      REQUIRE(std::getline(lines, line));
      CHECK_THAT(line, ContainsSubstring(op));
    }
    CHECK_THAT(shown, ContainsSubstring("64 samples in 16 chunks of 4") && ContainsSubstring("as a whole"));
    CHECK_THAT(shown, ContainsSubstring(std::to_string(program.workspace_bytes()) + " bytes"));
    CHECK_THAT(shown, ContainsSubstring("reads 1480 values"));  // 64 x 20 + 20 x 10
    CHECK_THAT(shown, ContainsSubstring("[64, 20] [20, 10]") && ContainsSubstring("[64, 10]"));
  }
  CHECK_THAT(table(program, &profile), ContainsSubstring("2 runs") && ContainsSubstring("us"));
  std::ostringstream streamed;
  streamed << program;
  CHECK(streamed.str() == table(program));
}

TEST_CASE("the kernel of each step is of the first backend that has one") {
  Graph g;
  const Value x = g.input({4, 3}), y = relu(x);
  for (const kernels::Backend* row : {kernels::portable_backend(), kernels::reference_backend()}) {
    const Program program = compile(g, {y}, {.backends = kernels::parse_backends(row->name)});
    CHECK(program.plan().stages[0].steps[0].launch.backend == row->name);
  }
  CHECK_THROWS_WITH(kernels::parse_backends("abacus"),
                    ContainsSubstring("'abacus'") && ContainsSubstring("portable"));
  CHECK_THROWS_WITH(kernels::parse_backends(""), ContainsSubstring("one or more"));
}

TEST_CASE("places of values that live at the same time do not overlap") {
  CHECK(place({}).bytes == 0);
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    const Random random(Seed{seed});
    std::vector<Lifetime> lives;
    std::size_t sum = 0, needed = 0;
    for (std::uint64_t i = 0; i < 40; ++i) {
      const int first = static_cast<int>(random.below(3 * i, 30));
      lives.push_back(
          {random.below(3 * i + 1, 1000), first, first + static_cast<int>(random.below(3 * i + 2, 6))});
      sum += aligned(lives.back().bytes);
    }
    const Placement placement = place(lives);
    for (int time = 0; time < 40; ++time) {
      std::size_t alive = 0;
      for (const Lifetime& life : lives)
        alive += life.first <= time && time <= life.last ? aligned(life.bytes) : 0;
      needed = std::max(needed, alive);
    }
    for (std::size_t a = 0; a < lives.size(); ++a) {
      CHECK(placement.offsets[a] % alignment == 0);
      CHECK(placement.offsets[a] + lives[a].bytes <= placement.bytes);
      for (std::size_t b = 0; b < a; ++b) {
        const bool together = lives[a].first <= lives[b].last && lives[b].first <= lives[a].last;
        const bool overlap = placement.offsets[a] < placement.offsets[b] + lives[b].bytes &&
                             placement.offsets[b] < placement.offsets[a] + lives[a].bytes;
        CHECK_FALSE((together && overlap));
      }
    }
    CHECK(placement.bytes >= needed);
    CHECK(placement.bytes <= std::min(sum, 2 * needed));  // greedy; far from twice the optimum in practice
  }
}
