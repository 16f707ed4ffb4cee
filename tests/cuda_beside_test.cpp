// Kernels that run beside others on a CUDA device: which ones do, that nobody takes their memory too early,
// and that results stay the same. On the emulated device (docs/cuda.md) they run as late as they may.
#include <limits>

#include "autodiff/graph/ops.h"
#include "nn/device_training.h"
#include "tests/catch.h"
#include "tests/device.h"
#include "tests/plan_check.h"

using namespace autodiff;
using namespace tests;

namespace {

constexpr double never = std::numeric_limits<double>::infinity();

/// Twenty-four convolutions one after the other, and the gradients of their filters.
struct Layers {
  Graph graph = {};
  std::vector<Value> outputs = {};
  Layers() {
    Value x = graph.input(Shape{4, 8, 16}.batched(2));
    std::vector<Value> filters;
    for (int k = 0; k < 24; ++k) {
      filters.push_back(graph.parameter(text("w", k), {3, 3, 16, 16}));
      x = relu(conv2d(x, filters.back()));
    }
    outputs = gradient(mean(square(x)), filters);
  }
  Program compiled(double above) const {
    return compile(graph, outputs, {.device = Device::cuda, .beside_above = above});
  }
};

int beside(const Plan& plan, std::string_view op) {
  int count = 0;
  for (const Stage& stage : plan.stages) {
    for (const Step& step : stage.steps) count += step.beside >= 0 && step.row.op == op;
  }
  return count;
}

int awaiting(const Plan& plan) {
  int count = 0;
  for (const Stage& stage : plan.stages) {
    for (const Step& step : stage.steps) count += step.awaits >= 0;
  }
  return count;
}

}  // namespace

TEST_CASE("gradients of filters go beside other kernels, and keep what they read") {
  if (no_device("plans of kernels beside others")) return;
  const Layers layers;
  const Program all = layers.compiled(0), none = layers.compiled(never);
  CHECK(all.plan().besides >= 24);
  CHECK(awaiting(all.plan()) > 0);
  CHECK(unsound(all, layers.graph) == "");
  CHECK(none.plan().besides == 0);
  CHECK(awaiting(none.plan()) == 0);
  CHECK(unsound(none, layers.graph) == "");
  CHECK(beside(all.plan(), "conv2d_filter_grad") == 24);
  CHECK(beside(layers.compiled(3e7).plan(), "conv2d_filter_grad") == 0);  // 0.3 MFLOP each are too few
  CHECK(table(all).find(", beside") != std::string::npos);
}

TEST_CASE("outputs that are the same are computed once") {
  if (no_device("equal outputs")) return;
  Graph graph;
  const Value x = graph.input(Shape{8, 16}.batched(4)), y = square(x);
  const std::vector<Value> outputs{sum(y, {.axes = {0, 1}}), sum(square(x), {.axes = {0, 1}}),
                                   sum(y, {.axes = {0, 1}}), mean(y, {.axes = {0, 1}})};
  Program program = compile(graph, outputs, {.device = Device::cuda});
  CHECK(unsound(program, graph) == "");
  int sums = 0, squares = 0;
  for (const Stage& stage : program.plan().stages) {
    for (const Step& step : stage.steps) sums += step.row.op == "sum", squares += step.row.op == "square";
  }
  CHECK(sums == 1);
  CHECK(squares == 1);
  const std::vector<float> numbers = random_floats(4 * 8 * 16, 1);
  program.bind(x, std::span<const float>(numbers));
  for (int turn = 0; turn < 2; ++turn) {
    program.run();
    for (const std::size_t c : {std::size_t{0}, std::size_t{15}}) {
      double want = 0;
      for (std::size_t i = c; i < numbers.size(); i += 16)
        want += static_cast<double>(numbers[i]) * static_cast<double>(numbers[i]);
      for (std::size_t k = 0; k < 3; ++k) CHECK(program.value(outputs[k]).data[c] == Approx(want));
      CHECK(program.value(outputs[3]).data[c] == Approx(want / 32));
    }
  }
}

TEST_CASE("what an element-wise function gives does not go beside, since it is a part of chains") {
  if (no_device("chains that are read late")) return;
  Graph graph;
  const Value x = graph.input(Shape{8, 64}.batched(8)), w = graph.parameter("w", {64, 64}), late = square(x);
  Value t = relu(0.5f * x);
  for (int k = 0; k < 6; ++k) {
    t = t - mean(t, {.axes = {0}});
    t = t * t;
  }
  const std::vector<Value> outputs{t + late + reshape(matmul(reshape(x, {64, 64}), w), x.shape())};
  std::vector<float> results[2];
  for (const bool all : {false, true}) {
    Program program = compile(graph, outputs, {.device = Device::cuda, .beside_above = all ? 0 : never});
    CHECK(unsound(program, graph) == "");
    const std::vector<float> numbers = random_floats(8 * 8 * 64, 1);
    program.bind(x, std::span<const float>(numbers));
    program.bind(w, std::span<const float>(numbers));
    program.run();
    const View<const float> out = program.value(outputs[0]);
    results[all].assign(out.data, out.data + out.shape.size());
  }
  CHECK((results[0] == results[1]));
}

TEST_CASE("what runs beside other kernels gives the same bits as one after the other") {
  if (no_device("results of kernels beside others")) return;
  const Layers layers;
  const auto run = [&](double above) {
    Program program = layers.compiled(above);
    std::vector<std::vector<float>> values;
    for (int id = 0; id < layers.graph.size(); ++id) {
      const Node& n = layers.graph.node(id);
      if (n.source != Source::input && n.source != Source::parameter) continue;
      values.push_back(random_floats(n.shape.size(), static_cast<std::uint64_t>(id)));
      for (float& v : values.back()) v *= 0.12f;  // so that images keep their size from layer to layer
      program.bind(Value{const_cast<Graph*>(&layers.graph), id}, std::span<const float>(values.back()));
    }
    std::vector<std::vector<float>> out;
    for (int turn = 0; turn < 3; ++turn) {  // called, recorded, played again
      program.run();
      for (const Value& v : layers.outputs) {
        const View<const float> dw = program.value(v);
        out.emplace_back(dw.data, dw.data + dw.shape.size());
      }
    }
    return out;
  };
  const auto together = run(0), alone = run(never);
  REQUIRE(together.size() == 72);
  CHECK((together == alone));
  CHECK(distance(together[0], std::vector<float>(together[0].size())) > 0);
}

TEST_CASE("a residual net is trained with its filters' gradients beside the rest") {
  if (no_device("training with kernels beside others")) return;
  constexpr int batch = 4, steps = 2;
  const nn::Network net = small_resnet;
  const nn::Parameters params = nn::initialize(net, {1});
  std::vector<std::uint8_t> pixels(std::size_t{20} * 192);
  const Random random{Seed{2}};
  for (std::size_t i = 0; i < pixels.size(); ++i) pixels[i] = static_cast<std::uint8_t>(random.below(i, 256));
  std::vector<std::int32_t> classes;
  for (int i = 0; i < 20; ++i) classes.push_back(i % 10);
  std::vector<float> table;
  for (int i = 0; i < 3 * 256; ++i) table.push_back(static_cast<float>(i % 256) / 255);
  const nn::DeviceSamples samples(pixels, {8, 8, 3}, table, classes);
  std::vector<kernels::device::Sample> drawn;
  for (int i = 0; i < batch * steps; ++i) drawn.push_back({.index = i * 7 % 20});
  const auto train = [&](double above) {
    const nn::Optimizer optimizer = nn::Sgd{.learning_rate = 0.1, .momentum = 0.9f};
    nn::DeviceTrainer trainer(nn::LossGradient(net, nn::CrossEntropy{}, batch,
                                               {.compile = {.device = Device::cuda, .beside_above = above}}),
                              optimizer, {});
    for (const char* op : {"conv2d_filter_grad", "turn_filters"})
      CHECK((beside(trainer.program().plan(), op) > 0) == (above == 0));
    nn::OptimizerState state = nn::initial_state(optimizer, params.size());
    trainer.begin(params.values(), state);
    std::vector<float> losses(steps), out(params.size());
    trainer.run(samples, drawn, 0, losses);
    trainer.end(out, state);
    out.insert(out.end(), losses.begin(), losses.end());
    return out;
  };
  CHECK((train(0) == train(never)));
}

TEST_CASE("a recording that ends before what went beside it is an error, and the stream goes on") {
  if (no_device("recordings of kernels beside others")) return;
  kernels::DeviceStream work;
  kernels::DeviceMemory memory(4 * sizeof(int));  // zeros
  auto* numbers = reinterpret_cast<int*>(memory.data());
  const auto copy = [&] { kernels::device::take_row(numbers, 1, numbers + 3, numbers + 1); };
  CHECK_THROWS_AS(work.record([&] { kernels::DeviceStream::beside(copy); }), Error);
  const int seven = 7;
  work.to_device(numbers, &seven, sizeof seven);
  const auto recording =
      work.record([&] { kernels::DeviceStream::wait_for_beside(kernels::DeviceStream::beside(copy)); });
  const auto copied = [&] {
    int got = 0;
    work.to_host(&got, numbers + 1, sizeof got);
    return got;
  };
  CHECK(copied() == 0);
  work.play(recording);
  CHECK(copied() == 7);
  // An error inside leaves the stream as it was.
  work.zero(numbers + 1, sizeof(int));
  const auto fails = [] { kernels::DeviceStream::beside([] { throw Error("inside"); }); };
  CHECK_THROWS_AS(work.enqueue(fails), Error);
  work.enqueue(copy);
  CHECK(copied() == 7);
}
