// Losses against their formulas in double.
#include <cmath>
#include <limits>

#include "autodiff/program/immediate.h"
#include "nn/losses.h"
#include "tests/catch.h"
#include "tests/files.h"

namespace {

constexpr int samples = 5, classes = 3;
const autodiff::Tensor student({samples, classes},
                               {1, 2, 3, -1, 0.5f, 0, 4, 4, 4, 0, -20, 30, 0.25f, -0.75f, 1.5f});
const autodiff::Tensor teacher({samples, classes},
                               {3, 2, 1, 0, 0, 0, -1, 2, 0.5f, 10, -10, 0, 0.25f, -0.75f, 1.5f});
const autodiff::Labels labels({samples}, {2, 0, 1, 0, 1});

/// log softmax(t z) of one row, in double.
std::vector<double> log_softmax(const autodiff::Tensor& logits, int row, double t) {
  std::vector<double> z;
  double sum = 0, most = -std::numeric_limits<double>::infinity();
  for (int c = 0; c < classes; ++c) {
    z.push_back(t * static_cast<double>(logits[static_cast<std::size_t>(row * classes + c)]));
    most = std::max(most, z.back());
  }
  for (const double x : z) sum += std::exp(x - most);
  for (double& x : z) x -= most + std::log(sum);
  return z;
}

std::vector<double> per_sample(const nn::Loss& loss) {
  autodiff::Graph g;
  const autodiff::Value x = g.input({samples, classes}, "x");
  autodiff::Tensor out;
  if (nn::wants_logits(loss)) {
    const autodiff::Value target = g.input({samples, classes}, "teacher");
    const autodiff::Value truth = g.labels(samples);
    out = autodiff::evaluate(nn::per_sample(loss, x, {.labels = truth, .logits = target}),
                             {{x, student}, {target, teacher}}, {{truth, labels}});
  } else {
    const autodiff::Value target = g.labels(samples);
    out = autodiff::evaluate(nn::per_sample(loss, x, {.labels = target}), {{x, student}}, {{target, labels}});
  }
  return {out.begin(), out.end()};
}

/// Float rounding of a handful of operations on numbers up to 60: 1e-5.
void check_close(const std::vector<double>& got, const std::vector<double>& expected) {
  REQUIRE(got.size() == expected.size());
  for (std::size_t i = 0; i < got.size(); ++i) {
    CAPTURE(i);
    CHECK(got[i] == Approx(expected[i]).margin(1e-5).epsilon(0));
  }
}

}  // namespace

TEST_CASE("cross entropy: minus the log probability of the label, the mean over the multipliers") {
  for (const std::vector<float>& multipliers : {std::vector<float>{1}, {0.5f}, {1.5f}, {0.5f, 1, 2}}) {
    std::vector<double> expected;
    for (int i = 0; i < samples; ++i) {
      double sum = 0;
      for (const float t : multipliers) {
        sum -= log_softmax(
            student, i,
            static_cast<double>(t))[static_cast<std::size_t>(labels[static_cast<std::size_t>(i)])];
      }
      expected.push_back(sum / static_cast<double>(multipliers.size()));
    }
    check_close(per_sample(nn::CrossEntropy{.multipliers = multipliers}), expected);
  }
  CHECK(per_sample(nn::CrossEntropy{})[2] == Approx(std::log(3.0)));  // equal logits
}

TEST_CASE("distillation: tau times KL(student || teacher), in that direction") {
  for (const float tau : {1.0f, 2.0f, 0.5f}) {
    std::vector<double> expected;
    const double t = 1 / static_cast<double>(tau);
    for (int i = 0; i < samples; ++i) {
      const auto p = log_softmax(student, i, t), q = log_softmax(teacher, i, t);
      double kl = 0;
      for (std::size_t c = 0; c < classes; ++c) kl += std::exp(p[c]) * (p[c] - q[c]);
      expected.push_back(static_cast<double>(tau) * kl);
    }
    const auto got = per_sample(nn::Distillation{.temperature = tau});
    check_close(got, expected);
    CHECK(std::abs(got[4]) < 1e-6);  // the same logits
    CHECK(got[1] > 0.01);
  }
}

TEST_CASE("distillation: forward, Hinton's scale, and a share of hard labels") {
  const double t = 0.5;
  std::vector<double> expected;
  for (int i = 0; i < samples; ++i) {
    const auto p = log_softmax(student, i, t), q = log_softmax(teacher, i, t),
               hard = log_softmax(student, i, 1);
    double kl = 0;
    for (std::size_t c = 0; c < classes; ++c) kl += std::exp(q[c]) * (q[c] - p[c]);
    const auto label = static_cast<std::size_t>(labels[static_cast<std::size_t>(i)]);
    expected.push_back(0.75 * 4 * kl - 0.25 * hard[label]);
  }
  const nn::Distillation loss{.temperature = 2,
                              .divergence = nn::Divergence::forward,
                              .scale = nn::TemperatureScale::tau_squared,
                              .hard_weight = 0.25f};
  CHECK(nn::wants_labels(loss));
  CHECK(nn::wants_logits(loss));
  check_close(per_sample(loss), expected);
  CHECK(nn::describe(nn::Loss(loss)) == "distill tau 2 forward x tau^2 hard 0.25");
}

TEST_CASE("the mean loss is the mean over the batch") {
  autodiff::Graph g;
  const autodiff::Value x = g.input({samples, classes}, "x"), target = g.labels(samples);
  const float mean = autodiff::evaluate(nn::mean_loss(nn::CrossEntropy{}, x, {.labels = target}),
                                        {{x, student}}, {{target, labels}})
                         .item();
  double sum = 0;
  for (const double one : per_sample(nn::CrossEntropy{})) sum += one;
  CHECK(static_cast<double>(mean) == Approx(sum / samples).epsilon(1e-6));
}

TEST_CASE("no gradient flows into the teacher") {
  autodiff::Graph g;
  const autodiff::Value x = g.input({samples, classes}, "x"), target = g.input({samples, classes}, "teacher");
  const autodiff::Value loss = nn::mean_loss(nn::Distillation{.temperature = 2}, x, {.logits = target});
  const auto gradients = autodiff::gradient(loss, std::vector<autodiff::Value>{x, target});
  const autodiff::Tensor dx = autodiff::evaluate(gradients[0], {{x, student}, {target, teacher}});
  const autodiff::Tensor dt = autodiff::evaluate(gradients[1], {{x, student}, {target, teacher}});
  CHECK(std::any_of(dx.begin(), dx.end(), [](float v) { return std::abs(v) > 1e-3f; }));
  CHECK(std::all_of(dt.begin(), dt.end(), [](float v) { return v == 0; }));
}

TEST_CASE("descriptions, and what is refused") {
  CHECK(nn::describe(nn::Loss(nn::CrossEntropy{.multipliers = {0.5f, 2}})) == "xent x0.5,2");
  CHECK(nn::describe(nn::Loss(nn::Distillation{.temperature = 2})) == "distill tau 2");
  const auto refusal = [](const nn::Loss& loss) { return error_of([&] { nn::check(loss); }); };
  const float infinity = std::numeric_limits<float>::infinity();
  CHECK(refusal(nn::CrossEntropy{}) == "no error");
  CHECK_THAT(refusal(nn::CrossEntropy{.multipliers = {}}), ContainsSubstring("at least one multiplier"));
  CHECK_THAT(refusal(nn::CrossEntropy{.multipliers = {1, -0.5f}}), ContainsSubstring("got -0.5"));
  CHECK_THAT(refusal(nn::CrossEntropy{.multipliers = {infinity}}), ContainsSubstring("got inf"));
  CHECK_THAT(refusal(nn::Distillation{.temperature = 0}), ContainsSubstring("positive temperature, got 0"));
  CHECK_THAT(refusal(nn::Distillation{.hard_weight = 1.5f}),
             ContainsSubstring("hard_weight from 0 to 1, got 1.5"));
  CHECK_THAT(refusal(nn::Distillation{.teacher = -1}), ContainsSubstring("teacher from 0 on, got -1"));
}
