// The loop as a whole.
#include "ev3/evolution.h"

#include <algorithm>

#include "datasets/synthetic.h"
#include "tests/brute_force.h"
#include "tests/catch.h"
#include "tests/files.h"
#include "tests/small_run.h"

using namespace ev3;
using namespace tests;

namespace {

void check_close(std::span<const float> got, const std::vector<double>& want) {
  REQUIRE(got.size() == want.size());
  for (std::size_t i = 0; i < want.size(); ++i) {
    CHECK(static_cast<double>(got[i]) == Approx(want[i]).epsilon(1e-4).margin(1e-5));  // float against double
  }
}

void check_close(const std::vector<Bounds>& got, const std::vector<Bounds>& want) {
  REQUIRE(got.size() == want.size());
  for (std::size_t i = 0; i < want.size(); ++i) {
    CHECK(got[i].mean == Approx(want[i].mean).epsilon(1e-12));
    CHECK(got[i].lcb == Approx(want[i].lcb).epsilon(1e-6));  // the root of n is float's
    CHECK(got[i].ucb == Approx(want[i].ucb).epsilon(1e-6));
  }
}

}  // namespace

TEST_CASE("rounds agree with EV3 written out in double") {
  Settings settings = small_settings();
  settings.optimizers = {nn::Sgd{.learning_rate = 0.3}, nn::Sgd{.learning_rate = 0.05, .momentum = 0.9f}};
  settings.adapt.alpha = 0.7;
  Evolution evolution(settings, small_streams());
  BruteForce brute(std::get<nn::Mlp>(settings.model), evolution.model().params, small_streams());
  int refused = 0, significant = 0;
  for (int round = 0; round < 6; ++round) {
    INFO("round " << round);
    const StepRecord record = evolution.step();
    const BruteForce::Step expected = brute.step(
        {0.5, 2.0}, {{static_cast<double>(0.3f), 0}, {static_cast<double>(0.05f), static_cast<double>(0.9f)}},
        settings.explore.trajectory_length, settings.assess, settings.adapt);
    check_close(record.assess.candidates, expected.assess);
    check_close(record.adapt.bounds, expected.adapt);
    CHECK(record.assess.selected == static_cast<int>(expected.selected));
    CHECK(static_cast<std::size_t>(record.adapt.best) == expected.best);
    CHECK(record.adapt.significant == expected.significant);
    for (std::size_t c = 0; c < 4; ++c) {
      check_close(evolution.candidates()[c].params.values(), expected.candidates[c]);
    }
    check_close(evolution.model().params.values(), brute.current());
    check_close(evolution.model().stable.values(), brute.stable());
    refused += record.adapt.best != Best::candidate;
    significant += record.adapt.significant;
  }
  CHECK(refused > 0);  // else the test shows less than it should
  CHECK(significant > 0);
}

TEST_CASE("a record says which batches were used, and the next round goes on behind them") {
  Settings settings = growing_settings();
  settings.adapt.alpha = 50;  // nothing is significant: rounds 1, 3, ... grow
  Evolution evolution(settings, small_streams());
  std::int64_t adapt = 0;
  for (int round = 0; round < 4; ++round) {
    const StepRecord record = evolution.step();
    CHECK(record.round == round);
    CHECK(record.first_explore_batch == round * 4 * 6);
    CHECK(record.assess.first_batch == round * 2);
    CHECK(record.adapt.first_batch == adapt);
    CHECK(record.adapt.expanded == (round % 2 == 1));
    CHECK(record.growth.has_value() == record.adapt.expanded);
    CHECK(record.gradient_steps == (round + 1) * 4 * 6);
    CHECK(record.candidates.size() == 4);
    CHECK(record.candidates[3].losses.size() == 6);
    adapt += record.adapt.expanded ? 5 : 4;
  }
  CHECK(evolution.state().next_adapt == adapt);
  CHECK(evolution.model().growths == 2);
}

TEST_CASE("the reference gives up one assess and one adapt batch at start-up") {
  Evolution evolution(reference_profile(small_settings()), small_streams());
  const StepRecord record = evolution.step();
  CHECK(record.first_explore_batch == 0);
  CHECK(record.assess.first_batch == 1);
  CHECK(record.adapt.first_batch == 1);
}

TEST_CASE("always accept with one loss and one optimizer is plain training") {
  Settings settings = small_settings();
  settings.losses.resize(1);
  settings.optimizers.resize(1);
  settings.adapt.rule = AdaptRule::always_accept;
  Evolution evolution(settings, small_streams());
  nn::Parameters params = evolution.model().params;
  const nn::Parameters initial = params;
  nn::TrainingStep step(settings.model, settings.losses[0], settings.optimizers[0], {.batch = 16});
  datasets::Batch buffer;
  for (int round = 0; round < 3; ++round) {
    const StepRecord record = evolution.step();
    CHECK(verdict(record) == "accepted");
    CHECK(record.adapt.bounds.size() == 1);
    for (int k = 0; k < 6; ++k) {
      const BatchView batch = evolution.streams().explore->read(6 * round + k, buffer);
      step.run(params, batch.features, batch.target());
    }
    CHECK(evolution.model().params == params);
    CHECK(evolution.model().stable == initial);
    CHECK(evolution.stable() == params);
  }
}

TEST_CASE("always accept grows every K + 1 steps") {
  for (const int k : {0, 1, 3}) {
    Settings settings = growing_settings();
    settings.adapt.rule = AdaptRule::always_accept;
    settings.adapt.rounds_before_growth = k;
    settings.adapt.growth = Widen{1};
    Evolution evolution(settings, small_streams());
    std::vector<int> grown;
    for (int round = 0; round < 10; ++round) {
      if (evolution.step().adapt.expanded) grown.push_back(round);
    }
    std::vector<int> expected;  // with K = 0 a history that is not empty, so K = 0 acts as 1
    for (int round = std::max(k, 1); round < 10; round += std::max(k, 1) + 1) expected.push_back(round);
    INFO("K = " << k);
    CHECK(grown == expected);
  }
}

TEST_CASE("without a way to grow the reference restarts, everybody else goes on") {
  Settings settings = small_settings();
  settings.adapt.alpha = 50;
  settings.adapt.rounds_before_growth = 1;
  Evolution plain(settings, small_streams());
  for (int round = 0; round < 4; ++round) CHECK_FALSE(plain.step().adapt.expanded);
  CHECK(plain.state().optimizers[1].step == 24);

  Evolution reference(reference_profile(settings), small_streams());
  CHECK_FALSE(reference.step().adapt.expanded);
  const Model before = reference.model();
  const StepRecord restart = reference.step();
  CHECK(restart.adapt.expanded);
  CHECK_FALSE(restart.growth.has_value());
  CHECK(verdict(restart) == "restarted");
  CHECK(reference.model().params == before.params);  // the candidate was thrown away
  CHECK(reference.model().network == before.network);
  CHECK(reference.model().history.size() == 0);
  CHECK(reference.state().next_adapt == 1 + 4 + 5);
  reference.step();
  CHECK(reference.state().optimizers[1].step == 6);  // restarted
}

TEST_CASE("growth keeps what the model computes, and takes the same fresh values for both") {
  Settings settings = growing_settings();
  settings.adapt.alpha = 50;
  Evolution evolution(settings, small_streams());
  evolution.step();
  const Model before = evolution.model();
  const StepRecord record = evolution.step();
  REQUIRE(record.growth.has_value());
  REQUIRE(evolution.growth().has_value());
  const GrowthStep& growth = *evolution.growth();
  CHECK(evolution.model().network == growth.plan.larger);
  CHECK(record.grown_to == nn::describe(growth.plan.larger));
  CHECK(verdict(record) == "grown to " + record.grown_to);
  CHECK(evolution.model().params == grow(growth.plan, before.network, before.params, growth.fresh));
  CHECK(evolution.model().stable == grow(growth.plan, before.network, before.stable, growth.fresh));
  datasets::Batch buffer;
  const BatchView batch = evolution.streams().explore->read(0, buffer);
  const auto outputs = [&](const Model& model) {
    nn::Evaluator evaluator(model.network, 16);
    const auto out = evaluator(model.params.values(), batch.features);
    return std::vector<double>(out.begin(), out.end());
  };
  const auto old_outputs = outputs(before), new_outputs = outputs(evolution.model());
  for (std::size_t i = 0; i < old_outputs.size(); ++i) {
    CHECK(new_outputs[i] == Approx(old_outputs[i]).epsilon(1e-5).margin(1e-6));
  }
  CHECK(evolution.step().network == record.grown_to);
  CHECK_FALSE(evolution.growth().has_value());
}

TEST_CASE("the three streams are shuffled differently, and by the seed") {
  const datasets::Dataset data = datasets::gaussian({.samples = 100});
  const Pools pools{data, data, data, 20};
  const Streams a = make_streams(pools, {1}), b = make_streams(pools, {1}), c = make_streams(pools, {2});
  const auto first = [](const Batches& batches) { return collect(batches, 0, 1).features; };
  CHECK(first(*a.explore) == first(*b.explore));
  CHECK(first(*a.explore) != first(*c.explore));
  CHECK(first(*a.explore) != first(*a.assess));
  CHECK(first(*a.assess) != first(*a.adapt));
}

TEST_CASE("a round prints itself in one line") {
  StepRecord record{
      .round = 4,
      .network = "mlp 2-4-3",
      .candidates = std::vector<StepRecord::Trajectory>(4),
      .assess = {.candidates = std::vector<Bounds>(4, Bounds{0.5, 0.4, 0.6}), .selected = 2},
      .adapt = {.bounds = {{0.6, 0.5, 0.7}, {0.5, 0.4, 0.6}, {0.4, 0.3, 0.45}}, .significant = true},
      .growth = {},
      .grown_to = {}};
  CHECK(autodiff::text(record) ==
        "round   5  mlp 2-4-3        candidate 3 of 4  assess 0.500  adapt 0.600 [0.500, 0.700]  "
        "stable 0.400 [0.300, 0.450]  better, new stable");
  CHECK(record.selected() == 2);
  record.adapt.significant = false;
  CHECK(verdict(record) == "kept");
  record.adapt.best = Best::stable;
  CHECK(record.selected() == -1);
  CHECK(verdict(record) == "back to stable");
  record.adapt.best = Best::params;
  CHECK(verdict(record) == "back to current");
  record.adapt.significant = true;
  CHECK(verdict(record) == "current is better, new stable");
}

TEST_CASE("a network does not grow beyond max_parameters, and the run goes on without restarts") {
  Settings settings = growing_settings();
  settings.adapt.growth = Widen{};
  settings.adapt.rule = AdaptRule::always_accept;
  settings.adapt.restart_without_growth = true;
  const auto widened = nn::layout(nn::Network(nn::Mlp{.inputs = {2}, .hidden = {9}, .classes = 3}))->size();
  settings.adapt.max_parameters = static_cast<std::int64_t>(widened);
  Evolution evolution(settings, small_streams());
  int acted = 0;
  for (int i = 0; i < 8; ++i) acted += evolution.step().adapt.expanded;
  CHECK(acted == 1);  // 4 units become 9; 19 would be too many
  CHECK(evolution.model().params.size() == widened);
  settings.adapt.max_parameters = static_cast<std::int64_t>(widened) - 1;
  Evolution small(settings, small_streams());
  for (int i = 0; i < 8; ++i) CHECK_FALSE(small.step().adapt.expanded);
}

TEST_CASE("rounds in which trajectory_factor leaves no step change nothing, and end nothing") {
  Settings settings = small_settings();
  settings.explore.trajectory_length = 1;
  settings.explore.trajectory_factor = 0.4;
  settings.adapt.alpha = 100;  // nothing is significant
  Evolution evolution(settings, small_streams());
  for (int round = 0; round < 3; ++round) {
    const nn::Parameters before = evolution.model().params;
    const StepRecord record = evolution.step();
    CHECK(record.trajectory_length == (round == 0 ? 1 : 0));
    CHECK_FALSE(record.last);
    for (const auto& candidate : record.candidates)
      CHECK(static_cast<int>(candidate.losses.size()) == record.trajectory_length);
    if (round > 0) CHECK(std::ranges::equal(evolution.model().params.values(), before.values()));
  }
}
