// Training of networks with batch norm: statistics, teachers, threads, and that they learn.
#include "datasets/digits.h"
#include "datasets/split.h"
#include "datasets/stream.h"
#include "nn/evaluate.h"
#include "nn/training.h"
#include "tests/catch.h"
#include "tests/files.h"
#include "tests/guards.h"
#include "tests/network_outputs.h"

using autodiff::Seed;
using nn::ResNet;

namespace {

constexpr int samples = 24;
const ResNet net{.inputs = {8, 8, 2}, .filters = 4, .blocks = {1, 2}, .classes = 3};

std::vector<std::int32_t> labels_of(int classes, Seed seed) {
  std::vector<std::int32_t> labels(samples);
  const autodiff::Random random(seed);
  for (std::size_t i = 0; i < labels.size(); ++i) {
    labels[i] = static_cast<std::int32_t>(random.below(i, static_cast<std::uint64_t>(classes)));
  }
  return labels;
}

struct Gradient {
  float loss = 0;
  std::vector<float> values;
};

Gradient gradient(nn::LossGradient& gradient_of, const nn::Parameters& params, std::span<const float> x,
                  const nn::Target& target) {
  Gradient out{0, std::vector<float>(params.size(), 9.0f)};
  out.loss = gradient_of(params.values(), x, target, out.values);
  return out;
}

}  // namespace

TEST_CASE("statistics of a gradient's batch are put into the parameters when asked, and nothing else is") {
  const nn::Parameters params = tests::random_parameters(net, {1});
  const auto x = tests::normal_samples(net, samples, {2});
  const auto labels = labels_of(net.classes, {3});
  nn::LossGradient gradient_of(net, nn::CrossEntropy{}, samples);
  const Gradient g = gradient(gradient_of, params, x, std::span<const std::int32_t>(labels));
  nn::Parameters updated = params;
  gradient_of.update_statistics(updated.values());
  const nn::Parameters want = tests::run_forward(net, params, x, {.training = true}).params;
  for (const nn::ParameterInfo& info : params.layout().entries()) {
    INFO(info.name);
    const bool statistic = info.kind == nn::Kind::statistic;
    CHECK(std::ranges::equal(updated[info.name], params[info.name]) == !statistic);
    // Another program with other chunks: rounding, 1e-6.
    CHECK(tests::relative_difference(updated[info.name], want[info.name]) <= 1e-6);
    const std::span<const float> own(g.values.data() + info.offset, info.shape.size());
    CHECK(std::ranges::all_of(own, [](float v) { return v == 0; }) == statistic);
  }
}

TEST_CASE("a training step replaces statistics and leaves them out of the optimizer") {
  nn::Parameters params = tests::random_parameters(net, {1});
  const nn::Parameters before = params;
  const auto x = tests::normal_samples(net, samples, {2});
  const auto labels = labels_of(net.classes, {3});
  // Decay would shrink them, if it saw them.
  const nn::AdamW optimizer{.learning_rate = 0.1, .weight_decay = 0.5f};
  nn::TrainingStep step(net, nn::CrossEntropy{}, optimizer, {.batch = samples});
  step.run(params, x, std::span<const std::int32_t>(labels));
  const nn::Parameters want = tests::run_forward(net, before, x, {.training = true}).params;
  for (const nn::ParameterInfo& info : params.layout().entries()) {
    if (info.kind != nn::Kind::statistic) continue;
    INFO(info.name);
    CHECK(tests::relative_difference(params[info.name], want[info.name]) <= 1e-6);
  }
}

TEST_CASE("a teacher in the program teaches what its logits as data do") {
  const auto x = tests::normal_samples(net, samples, {2});
  const auto labels = labels_of(net.classes, {3});
  const nn::Network student = nn::Cnn{.inputs = {8, 8, 2}, .stages = {{3}}, .hidden = {4}, .classes = 3};
  const nn::Parameters params = tests::random_parameters(student, {4});
  const nn::Teachers teachers{
      std::make_shared<nn::Teacher>(nn::Teacher{nn::Mlp{.inputs = {128}, .hidden = {5}, .classes = 3}, {}}),
      std::make_shared<nn::Teacher>(nn::Teacher{net, tests::random_parameters(net, {1})})};
  const nn::Teacher& teacher = *teachers[1];
  nn::Evaluator logits_of(teacher.network, samples);
  const auto out = logits_of(teacher.parameters.values(), x);
  const std::vector<float> logits(out.begin(), out.end());
  for (const float hard_weight : {0.0f, 0.25f}) {
    nn::Distillation loss{.temperature = 2, .hard_weight = hard_weight};
    nn::LossGradient from_data(student, loss, samples);
    const Gradient want = gradient(from_data, params, x, nn::Target(labels, logits));
    loss.teacher = 1;
    nn::LossGradient from_teacher(student, loss, samples, {.teachers = teachers});
    const Gradient got = gradient(from_teacher, params, x, std::span<const std::int32_t>(labels));
    CHECK(want.loss > 0);
    // Another program with other chunks: rounding, 1e-5 of the greatest.
    CHECK(got.loss == Approx(want.loss).epsilon(1e-5));
    CHECK(tests::relative_difference(got.values, want.values) <= 1e-5);
    // A training step brings the student closer.
    nn::Parameters learning = params;
    nn::TrainingStep step(student, loss, nn::AdamW{.learning_rate = 1e-2},
                          {.batch = samples, .teachers = teachers});
    float last = 0;
    for (int k = 0; k < 30; ++k) last = step.run(learning, x, std::span<const std::int32_t>(labels));
    CHECK(last < want.loss);
  }
}

TEST_CASE("teachers that are not there or do not fit are refused") {
  const auto refused = [](const nn::Network& teacher, int number) {
    const nn::Teachers teachers{
        std::make_shared<nn::Teacher>(nn::Teacher{teacher, nn::initialize(teacher, {1})})};
    return error_of([&] {
      nn::LossGradient(nn::Mlp{.inputs = {128}, .hidden = {}, .classes = 3},
                       nn::Distillation{.teacher = number}, 2, {.teachers = teachers});
    });
  };
  CHECK(refused(net, 0) == "no error");  // the same 128 numbers as an image
  CHECK_THAT(refused(net, 1), ContainsSubstring("wants teacher 1, but there are 1"));
  CHECK_THAT(refused(nn::Mlp{.inputs = {128}, .classes = 4}, 0),
             ContainsSubstring("and 4 classes; want those of"));
  CHECK_THAT(refused(nn::Mlp{.inputs = {64}, .classes = 3}, 0), ContainsSubstring("has inputs [64]"));
}

TEST_CASE("the gradient of a residual net has the same bits on 1, 2 and 3 threads") {
  const ResNet larger{
      .inputs = {13, 12, 3}, .filters = 6, .blocks = {2, 1}, .classes = 5, .form = ResNet::Form::imagenet};
  for (const ResNet& of : {net, larger}) {
    const nn::Parameters params = tests::random_parameters(of, {1});
    const auto x = tests::normal_samples(of, samples, {2});
    const auto labels = labels_of(of.classes, {3});
    std::vector<Gradient> all;
    std::vector<nn::Parameters> statistics;
    for (const int threads : {1, 2, 3}) {
      const tests::ThreadsGuard guard(threads);
      nn::LossGradient gradient_of(of, nn::CrossEntropy{}, samples, {.compile = {.threads = threads}});
      all.push_back(gradient(gradient_of, params, x, std::span<const std::int32_t>(labels)));
      statistics.push_back(params);
      gradient_of.update_statistics(statistics.back().values());
    }
    CHECK(nn::norm(all[0].values) > 0);
    for (std::size_t t = 1; t < all.size(); ++t) {
      CHECK(all[t].loss == all[0].loss);
      CHECK(all[t].values == all[0].values);
      CHECK(statistics[t] == statistics[0]);
    }
  }
}

TEST_CASE("residual and convolutional networks learn to read the digits") {
  const auto [train, test] = datasets::split(datasets::digits(), {.fractions = {0.8, 0.2}, .seed = 1});
  const datasets::Stream batches(train, {.batch = 32, .seed = 2});
  const std::vector<nn::Network> nets{
      ResNet{.inputs = {8, 8, 1}, .filters = 8, .blocks = {1, 1}, .classes = 10},
      nn::Cnn{.inputs = {8, 8, 1}, .stages = {{8}, {16}}, .hidden = {32}, .classes = 10}};
  for (const nn::Network& of : nets) {
    nn::Parameters params = nn::initialize(of, Seed{1});
    nn::TrainingStep step(of, nn::CrossEntropy{}, nn::AdamW{.learning_rate = 4e-3}, {.batch = 32});
    for (int k = 0; k < 500; ++k) step.run(params, batches[k]);
    const nn::Evaluation result = nn::evaluate(of, params, test);  // a resnet's: with running statistics
    INFO(nn::describe(of) << ": " << result);
    CHECK(result.accuracy() >= 0.9);
  }
}
