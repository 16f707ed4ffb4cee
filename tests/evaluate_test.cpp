// Evaluation of a network, metrics, and intervals.
#include <cmath>
#include <numeric>

#include "datasets/digits.h"
#include "nn/evaluate.h"
#include "tests/catch.h"
#include "tests/files.h"

using autodiff::Seed;

namespace {

// Six samples of three classes; the fourth has a tie, where the lower class counts.
const std::vector<float> outputs{5, 1, 0, 0, 2, 1, 1, 0, 3, 2, 2, 0, 0, 4, 1, -1, -2, -3};
const std::vector<std::int32_t> labels{0, 1, 2, 1, 0, 0};
const nn::Predictions predictions{outputs, 3, labels};

}  // namespace

TEST_CASE("evaluation counts hits and confusions, and means the cross entropy") {
  const nn::Evaluation e = nn::evaluate(predictions);
  CHECK(e.samples == 6);
  CHECK(e.hits == 4);
  CHECK(e.accuracy() == Approx(4.0 / 6));
  CHECK(e.confusion == std::vector<std::int64_t>{2, 1, 0, 1, 1, 0, 0, 0, 1});
  double loss = 0;
  for (std::size_t i = 0; i < labels.size(); ++i) {
    double sum = 0;
    for (std::size_t c = 0; c < 3; ++c) sum += std::exp(static_cast<double>(outputs[3 * i + c]));
    loss += std::log(sum) - static_cast<double>(outputs[3 * i + static_cast<std::size_t>(labels[i])]);
  }
  CHECK(e.loss == Approx(loss / 6).epsilon(1e-14));
  CHECK(autodiff::text(e) == "accuracy 0.667 [0.300, 0.903], loss 0.972, n = 6");
}

TEST_CASE("large outputs do not overflow the loss") {
  const std::vector<float> large{1000, -1000};
  CHECK(nn::evaluate({large, 2, std::vector<std::int32_t>{1}}).loss == 2000);
}

TEST_CASE("Wilson's interval") {
  // Known values at 95 %: Newcombe 1998, table I: 81/263, 15/148, 0/20, 1/29.
  const auto check = [](std::int64_t hits, std::int64_t n, double low, double high) {
    const nn::Interval i = nn::wilson_interval(hits, n);
    CHECK(i.low == Approx(low).margin(5e-5));
    CHECK(i.high == Approx(high).margin(5e-5));
  };
  check(81, 263, 0.2553, 0.3662);
  check(15, 148, 0.0624, 0.1605);
  check(0, 20, 0.0, 0.1611);
  check(1, 29, 0.0061, 0.1718);
  const nn::Interval all = nn::wilson_interval(20, 20), none = nn::wilson_interval(0, 20);
  CHECK(all.low == Approx(1 - none.high));  // symmetric
  CHECK(all.high == 1);
  CHECK(none.low == 0);
  const nn::Interval nothing = nn::wilson_interval(0, 0);
  CHECK(nothing.low == 0);
  CHECK(nothing.high == 1);
  // Narrower with fewer standard deviations: one is sqrt(p (1 - p) / n) for large n.
  const nn::Interval one = nn::wilson_interval(500'000, 1'000'000, 1);
  CHECK(one.high - one.low == Approx(2 * 0.0005).epsilon(1e-5));
}

TEST_CASE("metrics give a number per sample") {
  CHECK(nn::accuracy().name == "accuracy");
  CHECK(nn::accuracy().values(predictions) == std::vector<double>{1, 1, 1, 0, 0, 1});
  const nn::Metric margin = nn::per_sample("label's output", [](std::span<const float> z, int label) {
    return static_cast<double>(z[static_cast<std::size_t>(label)]);
  });
  CHECK(margin.values(predictions) == std::vector<double>{5, 2, 3, 2, 0, -1});
}

TEST_CASE("the bootstrap is a function of its seed, and spreads as theory says") {
  const auto share = [](const nn::Predictions& p) {
    const auto hits = nn::accuracy().values(p);
    return std::accumulate(hits.begin(), hits.end(), 0.0) / static_cast<double>(hits.size());
  };
  std::vector<float> z;
  std::vector<std::int32_t> y;
  for (int i = 0; i < 100; ++i) {  // 70 of 100 are right
    z.insert(z.end(), {1, 0});
    y.push_back(i < 70 ? 0 : 1);
  }
  const nn::Predictions p{z, 2, y};
  const auto values = nn::bootstrap("share", share, 2000, Seed{1}).values(p);
  CHECK(values == nn::bootstrap("share", share, 2000, Seed{1}).values(p));
  CHECK(values != nn::bootstrap("share", share, 2000, Seed{2}).values(p));
  // More resamples begin with the fewer.
  const auto few = nn::bootstrap("share", share, 10, Seed{1}).values(p);
  CHECK(std::equal(few.begin(), few.end(), values.begin()));
  const double mean = std::accumulate(values.begin(), values.end(), 0.0) / 2000;
  double variance = 0;
  for (const double v : values) variance += (v - mean) * (v - mean) / 2000;
  CHECK(mean == Approx(0.7).margin(5 * std::sqrt(0.0021 / 2000)));                // five standard errors
  CHECK(variance == Approx(0.7 * 0.3 / 100).epsilon(5 * std::sqrt(2.0 / 2000)));  // of a binomial share
  CHECK_THAT(error_of([&] { nn::bootstrap("share", share, 1, Seed{1}); }),
             ContainsSubstring("at least 2 resamples, got 1"));
}

TEST_CASE("an evaluator gives the outputs of the formula") {
  const nn::Network net = nn::Mlp{.inputs = {2}, .hidden = {2}, .classes = 2};
  nn::Parameters p(nn::layout(net));
  const std::vector<float> values{1, -1, 2, 0.5f, 0.5f, 0, 1, 2, 3, 4, 0.25f, -0.25f};
  std::copy(values.begin(), values.end(), p.values().begin());
  // x = (1, 2): x W1 + b1 = (1 + 4 + 0.5, -1 + 1) = (5.5, 0); y = (5.5 + 0.25, 11 - 0.25).
  // x = (-1, 0): (-1 + 0.5, 1) -> relu (0, 1); y = (3 + 0.25, 4 - 0.25).
  nn::Evaluator evaluator(net, 2);
  const auto out = evaluator(p.values(), std::vector<float>{1, 2, -1, 0});
  CHECK(std::vector<float>(out.begin(), out.end()) == std::vector<float>{5.75f, 10.75f, 3.25f, 3.75f});
  CHECK(evaluator.samples() == 2);
  std::vector<float> moved(p.values().begin(), p.values().end());
  moved.back() += 1;
  evaluator.load(moved);
  for (const float first : {1.0f, -1.0f}) {
    const auto again = evaluator(std::vector<float>{first, 2, -1, 0});
    CHECK(again[3] == 4.75f);
    CHECK(again[0] == (first > 0 ? 5.75f : 9.75f));
  }
  CHECK_THAT(error_of([&] { evaluator(p.values().first(3), std::vector<float>(4)); }),
             ContainsSubstring("want 12 parameters, got 3"));
  CHECK_THAT(error_of([&] { evaluator(p.values(), std::vector<float>(3)); }), ContainsSubstring("features"));
}

TEST_CASE("evaluating nothing is no error") {
  const nn::Network net = nn::Mlp{.inputs = {2}, .hidden = {3}, .classes = 2};
  const nn::Evaluation e = nn::evaluate(net, nn::initialize(net, Seed{1}), std::span<const float>{},
                                        std::span<const std::int32_t>{});
  CHECK(e.samples == 0);
  CHECK(e.accuracy() == 0);
}

TEST_CASE("evaluation refuses data that do not fit the network") {
  const nn::Network net = nn::Mlp{.inputs = {2}, .hidden = {}, .classes = 2};
  const nn::Parameters p = nn::initialize(net, Seed{1});
  CHECK_THAT(error_of([&] { nn::evaluate(net, p, datasets::digits()); }),
             ContainsSubstring("has 2 classes, but sample 2 is of class 2"));
  const std::vector<std::int32_t> two{0, 1};
  CHECK_THAT(error_of([&] { nn::evaluate(net, p, std::vector<float>(5), two); }),
             ContainsSubstring("wants samples of shape [2], got 5 values for 2 samples"));
  CHECK_THAT(error_of([&] {
               nn::evaluate(net, p, std::vector<float>(4), std::vector<std::int32_t>{0, -1});
             }),
             ContainsSubstring("sample 1 is of class -1"));
}
