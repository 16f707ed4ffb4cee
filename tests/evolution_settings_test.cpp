// What the loop is given: metrics of all kinds, and settings and data that are refused.
#include "ev3/evolution.h"

#include <algorithm>
#include <cmath>

#include "datasets/synthetic.h"
#include "tests/catch.h"
#include "tests/files.h"
#include "tests/small_run.h"

using namespace ev3;
using namespace tests;

TEST_CASE("a metric that cannot be used is found at start-up, and named") {
  const auto error = [](const nn::Metric& metric) {
    Settings settings = small_settings();
    settings.metric = metric;
    return error_of([&] { Evolution(settings, small_streams()); });
  };
  CHECK_THAT(error({"mean", [](const nn::Predictions&) { return std::vector<double>{0.5}; }}),
             ContainsSubstring("metric 'mean'") && ContainsSubstring("at least two, got 1"));
  CHECK_THAT(error({"none", [](const nn::Predictions&) { return std::vector<double>{}; }}),
             ContainsSubstring("metric 'none'") && ContainsSubstring("got 0"));
  CHECK_THAT(error(nn::per_sample("broken", [](auto, int) { return NAN; })),
             ContainsSubstring("metric 'broken'") && ContainsSubstring("finite"));
}

TEST_CASE("a metric of one's own is maximized, differentiable or not") {
  // Overlooking class 2 costs ten times as much as any other mistake.
  const auto cost = [](std::span<const float> z, int label) {
    const auto best = std::max_element(z.begin(), z.end()) - z.begin();
    return best == label ? 0.0 : label == 2 ? -10.0 : -1.0;
  };
  Settings settings = small_settings();
  settings.metric = nn::per_sample("cost", cost);
  Evolution evolution(settings, small_streams());
  const SampleSet samples = collect(*evolution.streams().assess, 0, 2);
  const StepRecord record = evolution.step();
  double best = -INFINITY;
  for (std::size_t c = 0; c < 4; ++c) {
    nn::Evaluator evaluator(settings.model, 32);
    const auto z = evaluator(evolution.candidates()[c].params.values(), samples.features);
    std::vector<double> values;
    for (std::size_t i = 0; i < 32; ++i) values.push_back(cost(z.subspan(3 * i, 3), samples.labels[i]));
    CHECK(record.assess.candidates[c] == bounds(values, 0.5));
    best = std::max(best, record.assess.candidates[c].lcb);
  }
  CHECK(record.assess.candidates[static_cast<std::size_t>(record.assess.selected)].lcb == best);
  const double first = record.adapt.bounds[2].mean;
  for (int round = 0; round < 10; ++round) evolution.step();
  CHECK(evolution.step().adapt.bounds[2].mean > first + 0.5);  // stable now, by the same metric
}

TEST_CASE("a metric for sets of samples works by resampling") {
  Settings settings = small_settings();
  settings.metric = nn::bootstrap("worst class",
                                  [](const nn::Predictions& p) {
                                    const nn::Evaluation e = nn::evaluate(p);
                                    double worst = 1;
                                    for (std::size_t c = 0; c < 3; ++c) {
                                      const auto row = std::span(e.confusion).subspan(3 * c, 3);
                                      const auto all = static_cast<double>(row[0] + row[1] + row[2]);
                                      if (all > 0) worst = std::min(worst, static_cast<double>(row[c]) / all);
                                    }
                                    return worst;
                                  },
                                  20, {1});
  Evolution evolution(settings, small_streams());
  const StepRecord record = evolution.step();
  for (const Bounds& b : record.adapt.bounds) CHECK((b.lcb <= b.mean && b.mean <= b.ucb));
}

TEST_CASE("settings out of range, and data that do not fit, are refused") {
  const auto error = [](const auto& change) {
    Settings settings = small_settings();
    change(settings);
    return error_of([&] { Evolution(settings, small_streams()); });
  };
  CHECK(error([](Settings&) {}) == "no error");
  CHECK_THAT(error([](Settings& s) { s.assess.batches = 0; }),
             ContainsSubstring("at least one batch to assess"));
  CHECK_THAT(error([](Settings& s) { s.adapt.batches = -1; }), ContainsSubstring("got 2 and -1"));
  CHECK_THAT(error([](Settings& s) { s.assess.alpha = -0.1; }),
             ContainsSubstring("alpha of at least 0, got -0.1"));
  CHECK_THAT(error([](Settings& s) { s.adapt.alpha = NAN; }), ContainsSubstring("alpha"));
  CHECK_THAT(error([](Settings& s) { s.adapt.alpha = INFINITY; }), ContainsSubstring("alpha"));
  CHECK_THAT(error([](Settings& s) { s.adapt.rounds_before_growth = -1; }),
             ContainsSubstring("rounds_before_growth"));
  CHECK_THAT(error([](Settings& s) { s.adapt.growth = Widen{0.1}; }), ContainsSubstring("factor"));
  CHECK_THAT(error([](Settings& s) { s.losses = {}; }), ContainsSubstring("at least one loss"));
  CHECK_THAT(error([](Settings& s) { s.model = nn::Mlp{.inputs = {3}, .hidden = {4}, .classes = 3}; }),
             ContainsSubstring("features"));

  const auto pools_error = [](int classes) {
    const datasets::Dataset data = datasets::gaussian({.samples = 100, .labels = classes});
    return error_of([&] { Evolution(small_settings(), Pools{data, data, data, 8}); });
  };
  CHECK(pools_error(3) == "no error");
  CHECK(pools_error(2) == "no error");  // one class has no samples
  CHECK_THAT(pools_error(5), ContainsSubstring("5 classes") && ContainsSubstring("mlp 2-4-3"));
}
