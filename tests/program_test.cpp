// Programs: what compile() leaves out, folds and places; how a program is copied, profiled and shown.
#include <sstream>
#include <thread>

#include "autodiff/program/place.h"
#include "tests/guards.h"
#include "tests/programs.h"

using namespace autodiff;
using namespace tests;

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
    CHECK_THAT(shown, ContainsSubstring("64 samples in 64 chunks of 1") && ContainsSubstring("as a whole"));
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

TEST_CASE("what a kernel throws is told with its stage and op") {
  struct Failing final : Op {
    std::string name() const override { return "failing"; }
    BatchRole role(std::span<const Value> x) const override { return samplewise_role(x); }
    Launch launch(const LaunchArgs&) const override {
      return {"test", [](const void* const*, void*) { fail("this kernel fails"); }};
    }
    void reference(const Operands<double>&) const override {}
    void reference(const Operands<std::complex<double>>&) const override {}
  };
  Graph g;
  const Value x = g.input({64, 300}), w = g.input({300, 300}), h = matmul(x, w);
  const Value y = g.add(std::make_shared<Failing>(), {h}, h.shape());
  const Floats data(64 * 300), weights(300 * 300);
  for (const int threads : {1, 2}) {
    const ThreadsGuard guard(threads);
    Program program = compile(g, {y}, {.threads = threads});
    program.bind(x, data);
    program.bind(w, weights);
    CHECK_THROWS_WITH(program.run(), ContainsSubstring("stage 0, failing [64, 300]: this kernel fails"));
  }
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
