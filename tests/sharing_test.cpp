// What the threads of a program share: filters packed once, one image, one row.
#include <algorithm>

#include "tests/programs.h"

using namespace autodiff;
using namespace tests;

TEST_CASE(
    "filters are packed once for all chunks, and one image is shared by the threads, with the same bits") {
  for (const int samples : {1, 3}) {
    Graph g;
    Sources s{g};
    const Value x = s.batch({samples, 30, 33, 16}), v = s.fixed({3, 3, 16, 16}), w = s.fixed({3, 3, 16, 40});
    const Value u = s.fixed({1, 1, 40, 24}), scale = s.fixed({40});
    const Value hidden = relu(conv2d(x, v) + s.fixed({16})),
                narrow = conv2d(hidden, w * scale, {.stride = 2});
    const Value before = relu(conv2d(narrow, s.fixed({3, 3, 40, 40})) + s.fixed({40})) + narrow;
    const Value z = relu(conv2d(before, s.fixed({3, 3, 40, 40})) + s.fixed({40})), y = conv2d(z, u),
                loss = sum(square(y));
    std::vector<Value> outputs = gradient(loss, std::vector<Value>{v, w, u, x});
    outputs.push_back(y);
    check_outputs(g, s, outputs);
    check_outputs(g, s, {y});
    const Filled filled = fill(s.list, Seed{5});
    for (const kernels::Backend* row : kernels::enabled_backends()) {
      if (row->name == "reference") continue;  // slow
      INFO(row->name << ' ' << samples);
      std::vector<Floats> first;
      for (const int threads : {1, 2, 3, 16}) {
        Program program =
            compile(g, outputs, {.backends = kernels::parse_backends(row->name), .threads = threads});
        std::size_t convolutions = 0, packed = 0, cut = 0;
        for (const Stage& stage : program.plan().stages) {
          for (const Step& step : stage.steps) {
            convolutions += step.row.op == "conv2d";
            packed += step.packs >= 0;
            cut += step.row.op == "conv2d" && step.parts.size() > 1;
          }
        }
        CHECK(convolutions == 9);
        CHECK(packed == (row->conv2d_packed.run ? 6 : 0));
        CHECK(cut == (threads > 1 && samples == 1 ? 7 : 0));
        filled.bind(program, g);
        program.run();
        std::vector<Floats> got;
        for (const Value& out : outputs) got.push_back(output_of(program, out));
        if (first.empty()) first = got;
        CHECK((got == first));
      }
    }
  }
}

TEST_CASE("a single row and a large matrix are shared by the threads as well") {
  Graph g;
  Sources s{g};
  const Value x = s.batch({1, 700}), w = s.fixed({700, 600});
  const Value y = tanh(matmul(x, w));
  check_outputs(g, s, {y});
  const Filled filled = fill(s.list, Seed{5});
  std::vector<Floats> got;
  for (const int threads : {1, 2, 3}) {
    Program program = compile(g, {y}, {.backends = kernels::parse_backends("portable"), .threads = threads});
    CHECK(program.plan().stages[0].steps[0].parts.size() ==
          (threads == 1 ? 0u : static_cast<unsigned>(threads)));
    filled.bind(program, g);
    program.run();
    got.push_back(output_of(program, y));
    CHECK(got.back() == got.front());
  }
}

TEST_CASE("a few rows meet a large matrix by panels where it stays as it is, with the same bits") {
  Graph g;
  const Value w = g.parameter("w", {300, 600}), v = g.parameter("v", {600, 200});
  const Value narrow = g.parameter("narrow", {200, 40});
  Sources s{g};
  const Value x = s.batch({3, 300});
  const Value hidden = tanh(matmul(x, w)), y = matmul(matmul(hidden, square(v)), narrow);
  const Filled filled = fill(s.list, Seed{5});
  Floats weights(300 * 600), others(600 * 200), last(200 * 40);
  for (std::size_t i = 0; i < weights.size(); ++i) weights[i] = static_cast<float>(i % 17) * 0.01f - 0.08f;
  for (std::size_t i = 0; i < others.size(); ++i) others[i] = static_cast<float>(i % 13) * 0.01f;
  for (std::size_t i = 0; i < last.size(); ++i) last[i] = static_cast<float>(i % 11) * 0.1f - 0.5f;
  for (const kernels::Backend* row : kernels::enabled_backends()) {
    for (const int threads : {1, 2, 3, 16}) {
      INFO(row->name << " on " << threads);
      const auto packed = [](const Program& program) {
        const Ops ops = ops_of(program);
        return std::count(ops.begin(), ops.end(), "pack_columns");
      };
      const auto run = [&](Program& program) {
        filled.bind(program, g);
        program.bind(w, weights);
        program.bind(v, others);
        program.bind(narrow, last);
        program.run();
        return output_of(program, y);
      };
      CompileOptions options{.backends = kernels::parse_backends(row->name), .threads = threads};
      Program plain = compile(g, {y}, options);
      CHECK(packed(plain) == 0);
      options.parameters_stay = true;
      Program program = compile(g, {y}, options);
      CHECK(unsound(program, g) == "");
      // Of those that are parameters, and long enough for two panels.
      const bool by_element = plain.plan().stages[0].steps[0].launch.backend != "blas";
      CHECK(packed(program) == (by_element ? 1 : 0));
      const Floats want = run(plain);
      CHECK(run(program) == want);
      for (float& weight : weights) weight = -weight;
      CHECK(run(program) == run(plain));
    }
  }
}

TEST_CASE("parts of an image are computed by the kernel of the whole, also where it is a parameter") {
  Graph g;
  Sources s{g};
  const Value x = s.fixed({1, 8, 8, 32}), w = s.fixed({3, 3, 32, 32}), y = conv2d(x, w);
  const Filled filled = fill(s.list, Seed{6});
  std::vector<Floats> got;
  for (const int threads : {1, 2}) {
    Program program = compile(g, {y}, {.threads = threads});
    filled.bind(program, g);
    program.run();
    got.push_back(output_of(program, y));
  }
  CHECK((got[1] == got[0]));
}
