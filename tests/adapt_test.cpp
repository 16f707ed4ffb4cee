#include "ev3/adapt.h"

#include <cmath>

#include "tests/catch.h"
#include "tests/synthetic_batches.h"

using namespace ev3;

namespace {

// What a model knows of a candidate: told(mean, spread), in rounds of a model whose stderr is
// spread / sqrt(n - 1), here n = 4 batches x 8 samples.
struct Case {
  nn::Parameters candidate, params, stable;
  History history = History(5);
};

Model model_of(const Case& c) {
  return {.network = told_net, .params = c.params, .stable = c.stable, .history = c.history};
}

AdaptRecord decide(const Case& c, const AdaptOptions& options) {
  Judge judge(told_metric());
  const SyntheticBatches batches({.features = 1});
  return adapt(model_of(c), {.losses = {}, .params = c.candidate}, judge, batches, 3, options);
}

AdaptRecord decide(const Case& c) { return decide(c, {.batches = 4, .alpha = 1}); }

Model applied(const Case& c, const AdaptRecord& record, AdaptRule rule = AdaptRule::significance) {
  return apply(model_of(c), {.losses = {}, .params = c.candidate}, record, rule, 7, {});
}

History insignificant(int count, int limit = 5) {
  History history(limit);
  for (int i = 0; i < count; ++i) history.append({i, false});
  return history;
}

}  // namespace

TEST_CASE("a candidate that is significantly better becomes current and stable") {
  const Case c{told(3, 0.1f), told(2, 0.1f), told(1, 0.1f)};
  const AdaptRecord record = decide(c);
  CHECK(record.best == Best::candidate);
  CHECK(record.significant);
  CHECK_FALSE(record.expanded);
  CHECK(record.first_batch == 3);
  CHECK(record.batches_used == 4);
  REQUIRE(record.bounds.size() == 3);
  const double error = 0.1 / std::sqrt(31.0);
  CHECK(record.bounds[0].mean == Approx(3));
  CHECK(record.bounds[0].lcb == Approx(3 - error));
  CHECK(record.bounds[1].mean == Approx(2));
  CHECK(record.bounds[2].ucb == Approx(1 + error));
  const Model next = applied(c, record);
  CHECK(next.params == c.candidate);
  CHECK(next.stable == c.candidate);
  CHECK(next.history.entries().back() == HistoryEntry{7, true});
}

TEST_CASE("a candidate that is better, but not significantly, becomes current only") {
  const Case c{told(3, 8), told(1.4f, 1), told(1.5f, 1)};
  const AdaptRecord record = decide(c);
  CHECK(record.best == Best::candidate);
  CHECK_FALSE(record.significant);
  const Model next = applied(c, record);
  CHECK(next.params == c.candidate);
  CHECK(next.stable == c.stable);
  CHECK(next.history.entries().back() == HistoryEntry{7, false});
}

TEST_CASE("a candidate with the greatest mean, but not the greatest lower bound, is rejected") {
  const Case c{told(3, 20), told(2, 0), told(1, 0)};
  const AdaptRecord record = decide(c);
  CHECK(record.bounds[0].mean > record.bounds[1].mean);
  CHECK(record.best == Best::params);
  CHECK(applied(c, record).params == c.params);
}

TEST_CASE("current parameters that prove significantly better become stable") {
  const Case c{told(1, 0.1f), told(3, 0.1f), told(1, 0.1f)};
  const AdaptRecord record = decide(c);
  CHECK(record.best == Best::params);
  CHECK(record.significant);
  const Model next = applied(c, record);
  CHECK(next.params == c.params);
  CHECK(next.stable == c.params);
}

TEST_CASE("current parameters that are best, but not significantly, leave the stable ones alone") {
  const Case c{told(1, 1), told(1.2f, 1), told(1.1f, 1)};
  const AdaptRecord record = decide(c);
  CHECK(record.best == Best::params);
  CHECK_FALSE(record.significant);
  CHECK(applied(c, record).params == c.params);
  CHECK(applied(c, record).stable == c.stable);
}

TEST_CASE("stable parameters that are best come back, and are never significant") {
  const Case c{told(1, 0.1f), told(2, 0.1f), told(3, 0.1f)};
  const AdaptRecord record = decide(c);
  CHECK(record.best == Best::stable);
  CHECK_FALSE(record.significant);
  const Model next = applied(c, record);
  CHECK(next.params == c.stable);
  CHECK(next.stable == c.stable);
}

TEST_CASE("ties go to the candidate, then the current parameters") {
  CHECK(decide({told(2, 1), told(2, 1), told(2, 1)}).best == Best::candidate);
  CHECK(decide({told(1, 1), told(2, 1), told(2, 1)}).best == Best::params);
  CHECK(decide({told(2, 1), told(1, 1), told(2, 1)}).best == Best::candidate);
  CHECK(best_lower_bound(std::vector<Bounds>{{0, 1, 0}, {0, 3, 0}, {0, 3, 0}, {0, 2, 0}}) == 1);
}

TEST_CASE("a lower bound that equals the stable upper bound is not significant") {
  CHECK_FALSE(decide({told(2, 0), told(1, 0), told(2, 0)}).significant);
  CHECK(decide({told(2.0000002f, 0), told(1, 0), told(2, 0)}).significant);
}

TEST_CASE("alpha decides what is significant") {
  const Case c{told(2, 1), told(1, 1), told(1, 1)};  // 1 apart, stderr 0.18
  CHECK(decide(c, {.batches = 4, .alpha = 2.7}).significant);
  CHECK_FALSE(decide(c, {.batches = 4, .alpha = 2.9}).significant);
  CHECK(decide(c, {.batches = 16, .alpha = 2.9}).significant);  // more samples
}

TEST_CASE("an update appends to history by its limit and ends 'just expanded'") {
  Case c{told(3, 1), told(2, 1), told(1, 1), insignificant(2, 2)};
  const AdaptRecord record = decide(c);
  Model model = model_of(c);
  model.just_expanded = true;
  const Model next =
      apply(model, {.losses = {}, .params = c.candidate}, record, AdaptRule::significance, 9, {});
  CHECK_FALSE(next.just_expanded);
  CHECK(next.history.size() == 2);
  CHECK(next.history.entries().back().round == 9);
  c.history = History(0);
  CHECK(applied(c, record).history.size() == 0);
}

TEST_CASE("always accept takes any candidate and only measures it") {
  const Case c{told(0, 1), told(2, 1), told(9, 0)};
  const AdaptRecord record = decide(c, {.rule = AdaptRule::always_accept, .batches = 4, .alpha = 1});
  REQUIRE(record.bounds.size() == 1);
  CHECK(record.bounds[0].mean == Approx(0).margin(1e-12));
  CHECK(record.best == Best::candidate);
  CHECK_FALSE(record.significant);
  const Model next = applied(c, record, AdaptRule::always_accept);
  CHECK(next.params == c.candidate);
  CHECK(next.stable == c.stable);
  CHECK(next.history.entries().back() == HistoryEntry{7, false});
}

TEST_CASE("growth is due after K insignificant steps, and draws one more batch") {
  Case c{told(3, 0.1f), told(2, 0.1f), told(1, 0.1f)};
  const AdaptOptions options{.batches = 4, .alpha = 1, .rounds_before_growth = 2, .growth = Widen{}};
  for (int entries = 0; entries < 4; ++entries) {
    c.history = insignificant(entries);
    const AdaptRecord record = decide(c, options);
    CHECK(record.expanded == (entries >= 2));
    CHECK(record.batches_used == (entries >= 2 ? 5 : 4));
    CHECK(record.significant);  // measured before, and of no effect where it grows
  }
  c.history = insignificant(3);
  c.history.append({3, true});
  CHECK_FALSE(decide(c, options).expanded);
  c.history = insignificant(5, 1);  // keeps less than K
  CHECK_FALSE(decide(c, options).expanded);
  c.history = insignificant(5);
  CHECK_FALSE(decide(c, {.batches = 4, .growth = Widen{}}).expanded);          // no K: never
  CHECK_FALSE(decide(c, {.batches = 4, .rounds_before_growth = 2}).expanded);  // no growth
  CHECK(decide(c, {.batches = 4, .rounds_before_growth = 2, .restart_without_growth = true}).expanded);
}

TEST_CASE("K = 0 grows after any history without a significant step") {
  Case c{told(3, 0.1f), told(2, 0.1f), told(1, 0.1f)};
  const AdaptOptions options{.batches = 4, .alpha = 1, .rounds_before_growth = 0, .growth = Widen{}};
  CHECK_FALSE(decide(c, options).expanded);
  c.history = insignificant(1);
  CHECK(decide(c, options).expanded);
  c.history.append({1, true});
  CHECK_FALSE(decide(c, options).expanded);
}

TEST_CASE("a restart without growth throws the candidate away, even a significant one") {
  const Case c{told(3, 0.1f), told(2, 0.1f), told(1, 0.1f), insignificant(2)};
  AdaptRecord record = decide(c);
  REQUIRE(record.significant);
  record.expanded = true;
  const Model next = applied(c, record);
  CHECK(next.params == c.params);
  CHECK(next.stable == c.stable);
  CHECK(next.network == nn::Network(told_net));
  CHECK(next.history.size() == 0);
  CHECK(next.history.limit() == 5);
  CHECK(next.just_expanded);
  CHECK(next.growths == 1);
}

TEST_CASE("growth applies to current and stable parameters with the same fresh values") {
  const nn::Mlp net{.inputs = {2}, .hidden = {3}, .classes = 2};
  Model model{.network = net,
              .params = nn::initialize(nn::Network(net), {1}),
              .stable = nn::initialize(nn::Network(net), {2}),
              .history = insignificant(2)};
  const GrowthPlan widen = plan(Widen{}, net, {5});
  const GrowthStep step{widen, nn::initialize(widen.larger, {3})};
  const Candidate candidate{.losses = {}, .params = nn::initialize(nn::Network(net), {4})};
  AdaptRecord record{.bounds = {}, .best = Best::candidate, .significant = true, .expanded = true};
  const Model next = apply(model, candidate, record, AdaptRule::significance, 7, step);
  CHECK(next.network == widen.larger);
  CHECK(next.params == grow(widen, net, model.params, step.fresh));
  CHECK(next.stable == grow(widen, net, model.stable, step.fresh));
  CHECK(next.history.size() == 0);
  CHECK(next.just_expanded);
  // Only the places of old values differ.
  for (int j = 3; j < 7; ++j) {
    const auto k = static_cast<std::size_t>(j);
    CHECK(next.params["dense1.kernel"][k] == next.stable["dense1.kernel"][k]);
  }
  CHECK(next.params["dense1.kernel"][0] != next.stable["dense1.kernel"][0]);
}
