// Dropout while a network is trained: which masks a step draws, that any step can be repeated, and that it
// learns.
#include <algorithm>

#include "datasets/digits.h"
#include "datasets/split.h"
#include "datasets/stream.h"
#include "ev3/explore.h"
#include "nn/evaluate.h"
#include "nn/training.h"
#include "tests/catch.h"
#include "tests/guards.h"
#include "tests/network_outputs.h"
#include "tests/synthetic_batches.h"

using autodiff::Seed;
using nn::Sequential;

namespace {

constexpr int samples = 24;
const Sequential net{
    .inputs = {8, 8, 1},
    .layers = {nn::Conv2d{.filters = 8}, nn::BatchNorm{}, nn::Relu{}, nn::MaxPool{}, nn::Dropout{0.2},
               nn::Flatten{}, nn::Dense{32}, nn::Relu{}, nn::Dropout{0.5}, nn::Dense{}},
    .classes = 10};
const std::vector<std::int32_t> labels(samples, 3);

// Loss and gradient of a step with these masks.
std::vector<float> gradient(nn::LossGradient& gradient_of, const nn::Parameters& params,
                            const nn::Noise& noise) {
  static const auto x = tests::normal_samples(net, samples, {2});
  std::vector<float> out(params.size() + 1);
  out.back() =
      gradient_of(params.values(), x, nn::Target(labels), std::span(out).first(params.size()), noise);
  return out;
}

}  // namespace

TEST_CASE("the masks of a step are a pure function of seed and step, on any number of threads") {
  const nn::Parameters params = tests::random_parameters(net, {1});
  nn::LossGradient one(net, nn::CrossEntropy{}, samples, {.compile = {.threads = 1}});
  const auto first = gradient(one, params, {{7}, 3});
  CHECK(gradient(one, params, {{7}, 4}) != first);
  CHECK(gradient(one, params, {{8}, 3}) != first);
  CHECK(gradient(one, params, {{7}, 3}) == first);  // whatever came before
  for (const int threads : {2, 3}) {
    const tests::ThreadsGuard guard(threads);
    nn::LossGradient more(net, nn::CrossEntropy{}, samples, {.compile = {.threads = threads}});
    CHECK(gradient(more, params, {{7}, 3}) == first);
    nn::LossGradient copy = more;
    CHECK(gradient(copy, params, {{7}, 4}) != first);
    CHECK(gradient(more, params, {{7}, 3}) == first);
  }
}

TEST_CASE("the two dropouts of a network draw masks of their own, each sample its own") {
  // The gradient of the last kernel is zero where an element of its input is dropped for all samples: with
  // one sample, where it is dropped.
  const Sequential two{.inputs = {400},
                       .layers = {nn::Dropout{0.5}, nn::Dropout{0.5}, nn::Dense{.bias = false}},
                       .classes = 2};
  const nn::Parameters params = tests::random_parameters(two, {1});
  const std::vector<float> x(3 * 400, 1.0f);
  const std::vector<std::int32_t> classes{0, 0, 0};
  const auto kept = [&](int batch, std::int64_t step) {
    nn::LossGradient gradient_of(two, nn::CrossEntropy{}, batch);
    std::vector<float> out(params.size());
    const auto n = static_cast<std::size_t>(batch);
    gradient_of(params.values(), std::span(x).first(n * 400), nn::Target(std::span(classes).first(n)), out,
                {{1}, step});
    int count = 0;
    for (std::size_t i = 0; i < 400; ++i) count += out[2 * i] != 0;
    return count;
  };
  // A quarter of 400 is 100, with a standard deviation of 8.7; for three samples 1 - 0.75^3 = 0.578 of 400 is
  // 231, with one of 9.9: within five of them.
  for (const std::int64_t step : {0, 1, 2}) {
    CHECK(std::abs(kept(1, step) - 100) <= 43);
    CHECK(std::abs(kept(3, step) - 231) <= 50);
  }
}

TEST_CASE("a training step counts its masks by the optimizer's steps") {
  const auto x = tests::normal_samples(net, samples, {2});
  const auto train = [&](Seed seed, int steps, nn::Parameters& params, nn::OptimizerState* state) {
    nn::TrainingStep step(net, nn::CrossEntropy{}, nn::AdamW{}, {.batch = samples, .seed = seed});
    if (state) step.state() = *state;
    for (int k = 0; k < steps; ++k) step.run(params, x, std::span<const std::int32_t>(labels));
    return step.state();
  };
  nn::Parameters whole = tests::random_parameters(net, {1}), halves = whole, other = whole;
  train({1}, 6, whole, nullptr);
  nn::OptimizerState state = train({1}, 3, halves, nullptr);
  CHECK_FALSE(halves == whole);
  train({1}, 3, halves, &state);  // as after a resume
  CHECK(halves == whole);
  train({2}, 6, other, nullptr);
  CHECK_FALSE(other == whole);
}

TEST_CASE("explore draws masks by the number of the batch") {
  const SyntheticBatches::Options data{.features = 6, .classes = 3, .batch = 8};
  const SyntheticBatches batches(data);
  const nn::Optimizer sgd = nn::Sgd{.learning_rate = 0.1};
  ev3::Model model;
  model.network = Sequential{
      .inputs = {6}, .layers = {nn::Dense{20}, nn::Relu{}, nn::Dropout{}, nn::Dense{}}, .classes = 3};
  model.params = model.stable = nn::initialize(model.network, {1});
  ev3::Explorer explorer({nn::CrossEntropy{}}, {sgd, sgd}, {.trajectory_length = 4}, {}, Seed{5});
  const auto candidates = explorer.explore(model, batches, 30);
  REQUIRE(candidates.size() == 2);
  nn::LossGradient gradient_of(model.network, nn::CrossEntropy{}, data.batch);
  for (std::size_t c = 0; c < 2; ++c) {
    nn::Parameters params = model.params;
    nn::OptimizerState state = nn::initial_state(sgd, params.size());
    std::vector<float> slope(params.size());
    datasets::Batch buffer;
    for (int t = 0; t < 4; ++t) {
      const std::int64_t number = 30 + 4 * static_cast<std::int64_t>(c) + t;
      const ev3::BatchView batch = batches.read(number, buffer);
      gradient_of(params.values(), batch.features, batch.target(), slope, {Seed{5}, number});
      nn::update(sgd, state, slope, params.values());
    }
    CHECK(candidates[c].params == params);
  }
  ev3::Explorer again({nn::CrossEntropy{}}, {sgd, sgd}, {.trajectory_length = 4}, {}, Seed{6});
  CHECK_FALSE(again.explore(model, batches, 30)[0].params == candidates[0].params);
}

TEST_CASE("a teacher with dropout teaches in evaluation mode") {
  const nn::Network student = nn::Mlp{.inputs = {64}, .hidden = {}, .classes = 10};
  const nn::Teachers teachers{
      std::make_shared<nn::Teacher>(nn::Teacher{net, tests::random_parameters(net, {1})})};
  nn::LossGradient gradient_of(student, nn::Distillation{.teacher = 0}, samples, {.teachers = teachers});
  const nn::Parameters params = tests::random_parameters(student, {4});
  CHECK(gradient(gradient_of, params, {{1}, 1}) == gradient(gradient_of, params, {{2}, 2}));
}

TEST_CASE("a small network with dropout learns to read the digits") {
  const auto [train, test] = datasets::split(datasets::digits(), {.fractions = {0.8, 0.2}, .seed = 1});
  const datasets::Stream batches(train, {.batch = 32, .seed = 2});
  const Sequential larger{.inputs = {8, 8, 1},
                          .layers = {nn::Conv2d{.filters = 16}, nn::Relu{}, nn::MaxPool{}, nn::Dropout{0.1},
                                     nn::Flatten{}, nn::Dense{64}, nn::Relu{}, nn::Dropout{0.3}, nn::Dense{}},
                          .classes = 10};
  nn::Parameters params = nn::initialize(larger, {1});
  nn::TrainingStep step(larger, nn::CrossEntropy{}, nn::AdamW{.learning_rate = 3e-3}, {.batch = 32});
  double first = 0, last = 0;
  constexpr int steps = 400;
  for (int k = 0; k < steps; ++k) {
    const double loss = static_cast<double>(step.run(params, batches[k]));
    if (k < 20) first += loss / 20;
    if (k >= steps - 20) last += loss / 20;
  }
  INFO("loss " << first << " -> " << last);
  CHECK(last < first / 4);
  const nn::Evaluation result = nn::evaluate(larger, params, test);
  INFO(result.accuracy());
  CHECK(result.accuracy() >= 0.94);
}
