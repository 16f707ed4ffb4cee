// Layouts, initializers, and networks that learn.
#include <cmath>
#include <numeric>
#include <thread>

#include "datasets/digits.h"
#include "datasets/split.h"
#include "datasets/stream.h"
#include "nn/evaluate.h"
#include "nn/network.h"
#include "nn/training.h"
#include "tests/catch.h"
#include "tests/files.h"

using autodiff::Seed;
using autodiff::Shape;

namespace {

struct Moments {
  double mean = 0, variance = 0, least = 0, most = 0;
};

Moments moments(std::span<const float> values) {
  Moments m{.least = values[0], .most = values[0]};
  for (const float x : values) {
    m.mean += static_cast<double>(x) / static_cast<double>(values.size());
    m.least = std::min(m.least, static_cast<double>(x));
    m.most = std::max(m.most, static_cast<double>(x));
  }
  for (const float x : values) {
    m.variance += (static_cast<double>(x) - m.mean) * (static_cast<double>(x) - m.mean) /
                  static_cast<double>(values.size());
  }
  return m;
}

std::vector<float> filled(const nn::Initializer& initializer, const Shape& shape, std::uint64_t seed = 1) {
  std::vector<float> values(shape.size());
  nn::fill(initializer, shape, Seed{seed}, values);
  return values;
}

}  // namespace

TEST_CASE("the layout of a multi-layer perceptron") {
  const nn::Network net = nn::Mlp{.inputs = {8, 8, 1}, .hidden = {8, 5}, .classes = 10};
  const auto layout = nn::layout(net);
  CHECK(nn::describe(net) == "mlp 64-8-5-10");
  CHECK(nn::input_shape(net) == Shape{8, 8, 1});
  CHECK(nn::classes(net) == 10);
  CHECK(layout->size() == 64 * 8 + 8 + 8 * 5 + 5 + 5 * 10 + 10);
  CHECK(layout->trainable() == layout->size());
  const std::vector<std::string> names{"dense1.kernel", "dense1.bias",   "dense2.kernel",
                                       "dense2.bias",   "dense3.kernel", "dense3.bias"};
  const std::vector<Shape> shapes{{64, 8}, {8}, {8, 5}, {5}, {5, 10}, {10}};
  std::size_t offset = 0;
  REQUIRE(layout->entries().size() == names.size());
  for (std::size_t i = 0; i < names.size(); ++i) {
    const nn::ParameterInfo& info = layout->entries()[i];
    CHECK(info.name == names[i]);
    CHECK(info.shape == shapes[i]);
    CHECK(info.offset == offset);
    offset += info.shape.size();
  }

  CHECK(nn::layout(nn::Mlp{.inputs = {3}, .hidden = {}, .classes = 2}).size() == 3 * 2 + 2);
  // The two-layer perceptron of the reference, 2 inputs and 2 labels: 2-8-2.
  CHECK(nn::two_layer_perceptron(2, 2) == nn::Mlp{.inputs = {2}, .hidden = {8}, .classes = 2});
}

TEST_CASE("layouts refuse what they cannot hold, and say what was wanted") {
  CHECK_THAT(error_of([] { nn::layout(nn::Mlp{.classes = 0}); }),
             ContainsSubstring("at least one class, got 0"));
  CHECK_THAT(error_of([] { nn::layout(nn::Mlp{.hidden = {4, 0}}); }), ContainsSubstring("got 0 for layer 2"));
  CHECK_THAT(error_of([] { nn::layout(nn::Mlp{.inputs = {0}}); }), ContainsSubstring("inputs"));
  CHECK_THAT(error_of([] { nn::layout(nn::Mlp{.inputs = {1 << 16}, .hidden = {1 << 16}}); }),
             ContainsSubstring("more than 2^31 parameters"));
  nn::Layout layout;
  layout.add("w", {2, 3}, nn::zeros);
  CHECK_THAT(error_of([&] { layout.add("w", {1}, nn::zeros); }), ContainsSubstring("'w' is taken"));
  nn::Parameters parameters(nn::layout(nn::Network(nn::Mlp{})));
  CHECK_THAT(error_of([&] { parameters["dense1.kernal"]; }),
             ContainsSubstring("did you mean 'dense1.kernel'?"));
}

TEST_CASE("statistics are part of the block, but not trainable") {
  nn::Layout layout;
  layout.add("scale", {4}, nn::ones);
  layout.add("mean", {4}, nn::zeros, nn::Kind::statistic);
  CHECK(layout.size() == 8);
  CHECK(layout.trainable() == 4);
}

TEST_CASE("parameters are values: a copy is independent, equality is by bits") {
  const nn::Network net = nn::Mlp{.inputs = {3}, .hidden = {4}, .classes = 2};
  const nn::Parameters a = nn::initialize(net, Seed{1});
  nn::Parameters b = a;
  CHECK(a == b);
  b["dense1.bias"][0] = -0.0f;  // equal as a number, another bit pattern
  CHECK_FALSE(a == b);
  CHECK(nn::initialize(net, Seed{2}) == nn::initialize(net, Seed{2}));
  CHECK_FALSE(nn::initialize(net, Seed{2}) == a);
  CHECK(a.tensor("dense1.kernel").shape() == Shape{3, 4});
  // A parameter's values depend on the seed and its name, not on what else the network holds.
  const nn::Parameters deeper =
      nn::initialize(nn::Network(nn::Mlp{.inputs = {3}, .hidden = {4, 4}, .classes = 2}), Seed{1});
  CHECK(std::ranges::equal(a["dense1.kernel"], deeper["dense1.kernel"]));
}

TEST_CASE("initializers have the variance that their names promise") {
  const int in = 200, out = 300;
  const std::size_t n = 200 * 300;
  const auto check = [&](const nn::Initializer& initializer, double variance, double bound) {
    const Moments m = moments(filled(initializer, {in, out}));
    // Five standard errors; that of a variance is at most sqrt(2 / n) of it for these distributions.
    CHECK(std::abs(m.mean) < 5 * std::sqrt(variance / static_cast<double>(n)));
    CHECK(m.variance == Approx(variance).epsilon(5 * std::sqrt(2.0 / static_cast<double>(n))));
    CHECK(m.most <= bound * 1.000001);
    CHECK(m.least >= -bound * 1.000001);
    CHECK(m.most > 0.99 * bound);
  };
  // Cut at two standard deviations of the untruncated normal, which is wider by 1 / 0.87962566.
  const auto cut = [](double variance) { return 2 * std::sqrt(variance) / 0.87962566103423978; };
  const auto edge = [](double variance) { return std::sqrt(3 * variance); };
  check(nn::lecun_normal, 1.0 / in, cut(1.0 / in));
  check(nn::lecun_uniform, 1.0 / in, edge(1.0 / in));
  check(nn::glorot_normal, 2.0 / (in + out), cut(2.0 / (in + out)));
  check(nn::glorot_uniform, 2.0 / (in + out), edge(2.0 / (in + out)));
  check(nn::he_normal, 2.0 / in, cut(2.0 / in));
  check(nn::he_uniform, 2.0 / in, edge(2.0 / in));

  const Moments normal = moments(filled({nn::Distribution::normal, 1, nn::Fan::out}, {in, out}));
  CHECK(normal.variance == Approx(1.0 / out).epsilon(5 * std::sqrt(2.0 / static_cast<double>(n))));
  CHECK(normal.most > 3 / std::sqrt(out));  // not cut
  CHECK(filled(nn::zeros, {3}) == std::vector<float>{0, 0, 0});
  CHECK(filled(nn::ones, {3}) == std::vector<float>{1, 1, 1});
}

TEST_CASE("the fan of a convolution counts its window") {
  const Moments m = moments(filled(nn::he_uniform, {3, 3, 20, 40}));  // fan_in 180
  CHECK(m.most == Approx(std::sqrt(6.0 / 180)).epsilon(1e-3));
}

TEST_CASE("initial values are the same everywhere and for ever") {
  // Written down once; a change of these numbers changes every run of every user.
  const nn::Parameters p =
      nn::initialize(nn::Network(nn::Mlp{.inputs = {2}, .hidden = {2}, .classes = 2}), Seed{1});
  const std::vector<float> expected{-0.42330575f, -1.2081461f, -1.26715207f, -1.22088802f};
  CHECK(std::ranges::equal(p["dense1.kernel"], expected));
  CHECK(std::ranges::equal(p["dense1.bias"], std::vector<float>{0, 0}));
}

TEST_CASE("a network trained by hand reads the digits") {
  const auto [train, test] = datasets::split(datasets::digits(), {.fractions = {0.8, 0.2}, .seed = 1});
  const nn::Mlp net{.inputs = {8, 8, 1}, .hidden = {64}, .classes = 10};
  nn::Parameters parameters = nn::initialize(net, Seed{1});
  nn::TrainingStep step(net, nn::CrossEntropy{}, nn::AdamW{.learning_rate = 3e-3}, {.batch = 32});
  const datasets::Stream batches(train, {.batch = 32, .seed = 2});
  const float before = step.run(parameters, batches[0]);
  CHECK(before == Approx(std::log(10.0)).margin(0.7));  // nothing known yet
  for (int k = 1; k < 2000; ++k) step.run(parameters, batches[k]);
  const nn::Evaluation result = nn::evaluate(net, parameters, test);
  INFO(result);
  CHECK(result.accuracy() >= 0.95);
  CHECK(step.state().step == 2000);
}

TEST_CASE("clipping bounds the step, and only where the gradient is longer") {
  const nn::Mlp net{.inputs = {2}, .hidden = {}, .classes = 2};
  const std::vector<float> features{3, -1, 2, 5};
  const std::vector<std::int32_t> labels{0, 1};
  const auto step_length = [&](std::optional<double> most) {
    nn::Parameters p(nn::layout(nn::Network(net)));
    nn::TrainingStep step(net, nn::CrossEntropy{}, nn::Sgd{.learning_rate = 1},
                          {.batch = 2, .clip_norm = most});
    step.run(p, features, std::span<const std::int32_t>(labels));
    return nn::norm(p.values());
  };
  const double free = step_length({});
  CHECK(free > 0.5);
  CHECK(step_length(0.5) == Approx(0.5).epsilon(1e-6));
  CHECK(step_length(100.0) == free);
  CHECK_THAT(error_of([&] { step_length(0.0); }), ContainsSubstring("clip_norm above 0, got 0"));
}

TEST_CASE("training refuses batches that do not fit") {
  const nn::Mlp net{.inputs = {2}, .hidden = {3}, .classes = 2};
  nn::Parameters p = nn::initialize(net, Seed{1});
  nn::TrainingStep step(net, nn::CrossEntropy{}, nn::Sgd{}, {.batch = 2});
  const std::vector<float> four(4), six(6);
  const std::vector<std::int32_t> labels{0, 1};
  CHECK_THAT(error_of([&] { step.run(p, six, std::span<const std::int32_t>(labels)); }),
             ContainsSubstring("features"));
  CHECK_THAT(error_of([&] { step.run(p, four, std::span<const std::int32_t>(labels).first(1)); }),
             ContainsSubstring("labels"));
  for (const std::int32_t label : {2, -1}) {
    const std::vector<std::int32_t> wrong{0, label};
    CHECK_THAT(error_of([&] { step.run(p, four, std::span<const std::int32_t>(wrong)); }),
               ContainsSubstring("has 2 classes, but sample 1 is of class " + std::to_string(label)));
  }
  nn::Parameters other = nn::initialize(nn::Network(nn::Mlp{}), Seed{1});
  CHECK_THAT(error_of([&] { step.run(other, four, std::span<const std::int32_t>(labels)); }),
             ContainsSubstring("want 17 parameters"));
  CHECK_THAT(error_of([&] { nn::LossGradient(net, nn::CrossEntropy{}, 0); }),
             ContainsSubstring("batch of at least 1"));
}

TEST_CASE("copies of a gradient run at the same time, each with its own memory") {
  const nn::Mlp net{.inputs = {16}, .hidden = {24}, .classes = 4};
  const nn::LossGradient original(net, nn::CrossEntropy{}, 8);
  struct Work {
    nn::LossGradient gradient_of;
    nn::Parameters parameters;
    std::vector<float> features = {}, gradient = {};
    std::vector<std::int32_t> labels = {};
    float loss = 0;
    void run(int repeats) {
      for (int i = 0; i < repeats; ++i) {
        loss = gradient_of(parameters.values(), features, std::span<const std::int32_t>(labels), gradient);
      }
    }
  };
  std::vector<Work> together;
  for (std::uint64_t t = 0; t < 4; ++t) {
    Work work{.gradient_of = original, .parameters = nn::initialize(net, Seed{t})};
    work.gradient.resize(work.parameters.size());
    const autodiff::Random random(Seed{100 + t});
    for (std::uint64_t i = 0; i < 8 * 16; ++i) work.features.push_back(static_cast<float>(random.normal(i)));
    for (std::uint64_t i = 0; i < 8; ++i)
      work.labels.push_back(static_cast<std::int32_t>(random.below(i, 4)));
    together.push_back(std::move(work));
  }
  std::vector<Work> alone = together;
  for (Work& work : alone) work.run(1);
  std::vector<std::thread> threads;
  for (Work& work : together) threads.emplace_back([&work] { work.run(200); });
  for (std::thread& thread : threads) thread.join();
  for (std::size_t t = 0; t < together.size(); ++t) {
    CHECK(together[t].loss == alone[t].loss);
    CHECK(together[t].gradient == alone[t].gradient);
    CHECK(nn::norm(together[t].gradient) > 0);
  }
}
