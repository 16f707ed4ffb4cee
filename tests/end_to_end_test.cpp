// The reference's end-to-end check: on a task made of random numbers one round of EV3 finds a significantly
// better model that has lower losses and a higher accuracy.
#include <algorithm>
#include <cstdio>
#include <functional>
#include <numeric>

#include "datasets/synthetic.h"
#include "ev3/evolution.h"
#include "nn/evaluate.h"
#include "tests/catch.h"

using namespace ev3;

namespace {

constexpr int training_samples = 100000, held_out_samples = 20000, seeds = 20;
const std::vector<float> multipliers{0.5f, 1.0f, 1.5f};

// On samples that no phase has seen: the mean of each loss, and the accuracy.
struct Measured {
  std::vector<double> losses;
  double accuracy = 0;
};

Measured measure(const nn::Network& net, const nn::Parameters& params, const datasets::Dataset& data) {
  nn::Evaluator evaluator(net, data.size());
  const auto outputs = evaluator(params.values(), {data.features.data(), data.features.size()});
  const std::span<const std::int32_t> labels(data.labels.data(), data.labels.size());
  Measured m;
  for (const float t : multipliers) {
    std::vector<float> scaled(outputs.begin(), outputs.end());
    for (float& z : scaled) z *= t;
    const nn::Evaluation e = nn::evaluate({scaled, data.classes, labels});
    m.losses.push_back(e.loss);
    m.accuracy = e.accuracy();  // the same for every t
  }
  return m;
}

struct Run {
  Measured before, after;
  StepRecord record;

  bool significant() const { return record.adapt.significant; }
  bool all_losses_lower() const {
    return std::equal(after.losses.begin(), after.losses.end(), before.losses.begin(), std::less<>());
  }
  bool more_accurate() const { return after.accuracy > before.accuracy; }
};

datasets::Dataset slice(const datasets::Dataset& data, int first, int count) {
  std::vector<int> indices(static_cast<std::size_t>(count));
  std::iota(indices.begin(), indices.end(), first);
  return take(data, indices);
}

// One round. All three streams draw from the same samples, as the reference's do. Batches of 32: 4 of them
// make its assess batch (32 x 4 samples), 64 its adapt batch (32 x 64).
Run one_round(int labels, int seed) {
  const datasets::Dataset all = datasets::gaussian({.samples = training_samples + held_out_samples,
                                                    .features = 2,
                                                    .labels = labels,
                                                    .seed = static_cast<std::uint64_t>(seed)});
  const datasets::Dataset training = slice(all, 0, training_samples),
                          held_out = slice(all, training_samples, held_out_samples);
  Settings settings{
      .model = nn::two_layer_perceptron(2, labels),
      .losses = {},
      .optimizers = {nn::Sgd{.learning_rate = 0.1}, nn::Sgd{.learning_rate = 0.01, .momentum = 0.95f}},
      .explore = {.trajectory_length = 100},
      .assess = {.batches = 4, .alpha = 0.5},
      .adapt = {.batches = 64, .alpha = 4},
      .seed = {static_cast<std::uint64_t>(seed)}};
  for (const float t : multipliers) settings.losses.push_back(nn::CrossEntropy{{t}});
  Evolution evolution(reference_profile(settings), Pools{training, training, training, 32});
  Run run{measure(settings.model, evolution.model().params, held_out), {}, evolution.step()};
  run.after = measure(settings.model, evolution.stable(), held_out);
  return run;
}

std::vector<Run> all_seeds(int labels) {
  std::printf("\n%d labels: held-out losses (x0.5, x1, x1.5) and accuracy before -> after one round\n",
              labels);
  std::printf(
      "seed  loss x0.5         loss x1           loss x1.5         accuracy          candidate  "
      "significant\n");
  std::vector<Run> runs;
  for (int seed = 1; seed <= seeds; ++seed) {
    runs.push_back(one_round(labels, seed));
    const Run& r = runs.back();
    std::printf("%4d", seed);
    for (std::size_t i = 0; i < 3; ++i) std::printf("  %.4f -> %.4f", r.before.losses[i], r.after.losses[i]);
    std::printf("  %.4f -> %.4f  %9d  %s\n", r.before.accuracy, r.after.accuracy, r.record.selected(),
                r.significant() ? "yes" : "no");
  }
  const auto count = [&](bool (Run::*what)() const) {
    return static_cast<int>(
        std::count_if(runs.begin(), runs.end(), [&](const Run& r) { return (r.*what)(); }));
  };
  std::printf("of %d: %d significant, %d with all losses lower, %d more accurate\n", seeds,
              count(&Run::significant), count(&Run::all_losses_lower), count(&Run::more_accurate));
  std::fflush(stdout);
  return runs;
}

void check_every_seed(int labels) {
  const std::vector<Run> runs = all_seeds(labels);
  for (std::size_t i = 0; i < runs.size(); ++i) {
    INFO("seed " << i + 1);
    CHECK(runs[i].significant());
    CHECK(runs[i].all_losses_lower());
    CHECK(runs[i].more_accurate());
  }
}

}  // namespace

TEST_CASE("one round is significant, lowers all losses and raises accuracy: 2 labels") {
  check_every_seed(2);
}
TEST_CASE("one round is significant, lowers all losses and raises accuracy: 3 labels") {
  check_every_seed(3);
}
TEST_CASE("one round is significant, lowers all losses and raises accuracy: 5 labels") {
  check_every_seed(5);
}
