// The vision transformer: its layout, its gradient as a whole, how programs cut it, and that it learns.
#include <cmath>

#include "autodiff/graph/ops.h"
#include "autodiff/program/program.h"
#include "datasets/digits.h"
#include "datasets/split.h"
#include "datasets/stream.h"
#include "nn/losses.h"
#include "nn/network.h"
#include "nn/optimizers.h"
#include "tests/catch.h"
#include "tests/files.h"
#include "tests/guards.h"
#include "tests/network_slopes.h"

using namespace autodiff;

namespace {

constexpr int heads = 2;
const nn::Vit small{
    .inputs = {4, 6, 2}, .patch = 2, .width = 6, .depth = 2, .heads = heads, .mlp = 5, .classes = 3};

// A network on a batch: its logits, its mean loss and all gradients.
struct Training {
  Graph graph;
  std::shared_ptr<const nn::Layout> layout;
  nn::GraphParameters parameters;
  Value features, labels, logits, loss;
  std::vector<Value> gradients;

  Training(const nn::Vit& net, int batch)
      : layout(std::make_shared<nn::Layout>(nn::layout(net))), parameters(graph, *layout) {
    features = graph.input(net.inputs.batched(batch), "features");
    labels = graph.labels(batch);
    logits = nn::forward(net, parameters, features);
    loss = nn::mean_loss(nn::CrossEntropy{}, logits, {.labels = labels});
    gradients = gradient(loss, parameters.values());
  }
};

// Parameters, none of them at a special value such as 0 or 1.
nn::Parameters shaken(std::shared_ptr<const nn::Layout> layout) {
  nn::Parameters p = nn::initialize(std::move(layout), Seed{1});
  const Random random(Seed{2});
  for (std::size_t i = 0; i < p.size(); ++i) p.values()[i] += static_cast<float>(0.3 * random.normal(i));
  return p;
}

std::vector<float> normals(std::size_t n) {
  const Random random(Seed{3});
  std::vector<float> out(n);
  for (std::size_t i = 0; i < n; ++i) out[i] = static_cast<float>(random.normal(i));
  return out;
}

}  // namespace

TEST_CASE("the layout of a vision transformer") {
  const nn::Layout layout = nn::layout(small);
  CHECK(nn::describe(small) == "vit 4x6x2 patch 2 width 6 depth 2 heads 2 mlp 5 classes 3");
  CHECK(layout.entries().size() == 3 + 2 * 16 + 4);
  CHECK(layout.find("embed.kernel").shape == Shape{8, 6});
  CHECK(layout.find("position").shape == Shape{6, 6});
  CHECK(layout.find("block2.mlp1.kernel").shape == Shape{6, 5});
  CHECK(layout.find("head.kernel").shape == Shape{6, 3});
  const int block = 2 * 2 * 6 + 4 * (36 + 6) + (30 + 5) + (30 + 6);
  CHECK(layout.size() == std::size_t{8 * 6 + 6 + 36 + 2 * block + 12 + 18 + 3});
  double squares = 0;
  const nn::Parameters p = nn::initialize(
      std::make_shared<nn::Layout>(nn::layout(nn::Vit{.inputs = {16, 16, 1}, .patch = 1, .width = 64})),
      Seed{1});
  for (const float x : p["position"]) squares += std::pow(static_cast<double>(x), 2);
  CHECK(std::sqrt(squares / (256 * 64)) == Approx(0.02).epsilon(5 / std::sqrt(2.0 * 256 * 64)));
}

TEST_CASE("a vision transformer refuses what it cannot be") {
  const std::pair<nn::Vit, const char*> wrong[] = {
      {{.inputs = {64}}, "[height, width, channels]"}, {{.inputs = {0, 8, 1}}, "got [0, 8, 1]"},
      {{.patch = 3}, "divides height and width"},      {{.patch = 0}, "got 0"},
      {{.width = 30}, "got 4 heads and width 30"},     {{.heads = 0}, "at least one head"},
      {{.depth = 0}, "depth of at least 1"},           {{.mlp = 0}, "hidden unit"},
      {{.classes = 0}, "at least one class"}};
  for (const auto& [net, words] : wrong) {
    CHECK_THAT(error_of([&net = net] { nn::layout(net); }),
               ContainsSubstring("vit: want") && ContainsSubstring(words));
  }
  CHECK_THAT(error_of([] { nn::layout(nn::Vit{.width = 1 << 16}); }),
             ContainsSubstring("more than 2^31 parameters"));
  Graph g;
  const nn::GraphParameters p(g, nn::layout(small));
  CHECK_THAT(error_of([&] {
               nn::forward(small, p, g.input({5, 4, 4, 2}));
             }),
             ContainsSubstring("want samples of shape [4, 6, 2], got x [5, 4, 4, 2]"));
}

TEST_CASE("patches are tokens: exchanging two of them exchanges two positions") {
  // Without positions the mean over tokens cannot tell their order; with them it can.
  Training t(small, 1);
  nn::Parameters p = shaken(t.layout);
  std::vector<float> image = normals(48), other = image;
  for (int row = 0; row < 2; ++row) {  // the patches at the left and the right of the upper row
    for (int i = 0; i < 4; ++i) {
      std::swap(other[static_cast<std::size_t>(row * 12 + i)],
                other[static_cast<std::size_t>(row * 12 + 8 + i)]);
    }
  }
  Program program = compile(t.graph, {t.logits});
  const auto logits = [&](const std::vector<float>& x) {
    for (const nn::ParameterInfo& info : t.layout->entries()) {
      program.bind(t.parameters[info.name], std::as_const(p)[info.name]);
    }
    program.bind(t.features, std::span<const float>(x));
    program.run();
    const auto view = program.value(t.logits);
    return std::vector<float>(view.data, view.data + 3);
  };
  const auto distance = [&] {
    const auto a = logits(image), b = logits(other);
    return std::abs(a[0] - b[0]) + std::abs(a[1] - b[1]) + std::abs(a[2] - b[2]);
  };
  CHECK(distance() > 0.01f);
  std::fill(p["position"].begin(), p["position"].end(), 0.0f);
  CHECK(distance() < 1e-5f);  // sums in another order
}

TEST_CASE("the gradient of a vision transformer agrees with the complex step to 1e-12") {
  const nn::Parameters p = shaken(nn::layout(nn::Network(small)));
  const auto [slopes, scale] = tests::network_slopes(small, p, normals(small.inputs.size() * 3), {2, 0, 1});
  int moving = 0;
  for (const tests::Slope& slope : slopes) {
    INFO(slope.name << ": complex step " << slope.step << ", gradient " << slope.gradient);
    CHECK(std::abs(slope.step - slope.gradient) <= 1e-12 * scale);
    // What is added to all scores of a query changes no softmax.
    const bool idle = slope.name.ends_with("key.bias");
    CHECK((std::abs(slope.gradient) > 1e-5 * scale) == !idle);
    moving += !idle;
  }
  CHECK(moving == 37);
}

TEST_CASE("programs cut a vision transformer by samples, and add up its weight gradients") {
  Training t(nn::Vit{.inputs = {8, 8, 1}, .classes = 10}, 128);
  std::vector<Value> outputs{t.loss};
  outputs.insert(outputs.end(), t.gradients.begin(), t.gradients.end());
  const nn::Parameters p = shaken(t.layout);
  const std::vector<float> x = normals(128 * 64);
  std::vector<std::int32_t> labels(128);
  for (std::size_t i = 0; i < labels.size(); ++i) labels[i] = static_cast<std::int32_t>(i % 10);
  std::vector<std::vector<float>> first;
  for (const int threads : {1, 2, 3}) {
    const tests::ThreadsGuard guard(threads);
    Program program = compile(t.graph, outputs, {.threads = threads});
    int products = 0, summed = 0;
    for (const Stage& stage : program.plan().stages) {
      for (const Step& step : stage.steps) {
        if (!step.row.op.starts_with("matmul")) continue;
        CHECK(stage.chunked);
        CHECK(stage.chunks > 1);
        ++products;
        summed += step.row.op == "matmul sum" && step.output.per_chunk;
      }
    }
    // Dense layers: the embedding and six a block on tokens; products of a block's heads: two, and their two
    // derivatives each. The output layer is one on samples.
    CHECK(summed == 1 + 2 * 6);
    CHECK(products == (2 + 2 * 6 * 3 + 2 * 6) + 3);
    for (const nn::ParameterInfo& info : t.layout->entries())
      program.bind(t.parameters[info.name], p[info.name]);
    program.bind(t.features, std::span<const float>(x));
    program.bind(t.labels, std::span<const std::int32_t>(labels));
    program.run();
    for (std::size_t i = 0; i < outputs.size(); ++i) {
      const auto view = program.value(outputs[i]);
      std::vector<float> values(view.data, view.data + view.shape.size());
      if (threads == 1) {
        first.push_back(std::move(values));
      } else {
        CHECK(values == first[i]);
      }
    }
  }
}

TEST_CASE("a vision transformer learns to read the digits") {
  const auto [train, test] = datasets::split(datasets::digits(), {.fractions = {0.8, 0.2}, .seed = 1});
  const nn::Vit net{.inputs = {8, 8, 1}, .patch = 4, .classes = 10};
  constexpr int batch = 32, steps = 1000;
  Training t(net, batch);
  std::vector<Value> outputs{t.loss};
  outputs.insert(outputs.end(), t.gradients.begin(), t.gradients.end());
  Program program = compile(t.graph, outputs);
  nn::Parameters p = nn::initialize(t.layout, Seed{1});
  nn::Parameters gradient(t.layout);
  for (std::size_t i = 0; i < t.gradients.size(); ++i) {
    const std::string& name = t.layout->entries()[i].name;
    program.bind(t.parameters[name], std::as_const(p)[name]);
    program.write_to(t.gradients[i], gradient[name]);
  }
  const nn::Optimizer adam = nn::AdamW{.learning_rate = nn::Cosine{.initial = 3e-3, .steps = steps}};
  nn::OptimizerState state = nn::initial_state(adam, p.size());
  const datasets::Stream batches(train, {.batch = batch, .seed = 2});
  for (int k = 0; k < steps; ++k) {
    const datasets::Batch b = batches[k];
    program.bind(t.features, {b.features.data(), b.features.size()});
    program.bind(t.labels, {b.labels.data(), b.labels.size()});
    program.run();
    if (k == 0) CHECK(program.scalar(t.loss) == Approx(std::log(10.0)).margin(0.7));  // nothing known yet
    nn::update(adam, state, gradient.values(), p.values());
  }
  Training all(net, test.size());
  Program forward = compile(all.graph, {argmax(all.logits)});
  for (const nn::ParameterInfo& info : t.layout->entries()) {
    forward.bind(all.parameters[info.name], std::as_const(p)[info.name]);
  }
  forward.bind(all.features, {test.features.data(), test.features.size()});
  forward.run();
  const auto classes = forward.labels(forward.plan().outputs[0].value);
  int right = 0;
  for (std::size_t i = 0; i < classes.shape.size(); ++i) right += classes.data[i] == test.labels[i];
  INFO(right << " of " << test.size());
  CHECK(right >= 0.94 * test.size());  // 345 of 359; with settings nearby 341 to 349
}
