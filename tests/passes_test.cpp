// Passes and the archive.
#include "ev3/passes.h"

#include <algorithm>

#include "ev3/cli/checkpoint.h"
#include "tests/catch.h"
#include "tests/files.h"
#include "tests/synthetic_batches.h"

using namespace ev3;

namespace {

using nn::Distillation;

Distillation from(int teacher, float tau = 1) { return {.temperature = tau, .teacher = teacher}; }

// Learns from a teacher, and grows in every third round, whatever adapt has found.
Settings growing() {
  const nn::Network net = nn::Mlp{.inputs = {2}, .hidden = {3}, .classes = 3};
  const nn::Network big = nn::Mlp{.inputs = {2}, .hidden = {9}, .classes = 3};
  return {
      .model = net,
      .losses = {from(0)},
      .optimizers = {nn::AdamW{.learning_rate = 0.02}},
      .teachers = {std::make_shared<nn::Teacher>(nn::Teacher{big, nn::initialize(big, autodiff::Seed{9})})},
      .explore = {.trajectory_length = 5},
      .assess = {.batches = 2},
      .adapt = {.rule = AdaptRule::always_accept, .batches = 3, .rounds_before_growth = 2, .growth = Widen{}},
      .history_limit = -1};
}

Streams streams() { return synthetic_streams({.features = 2, .classes = 3, .batch = 16}); }

std::size_t parameters(int hidden) {
  return nn::layout(nn::Network(nn::Mlp{.inputs = {2}, .hidden = {hidden}, .classes = 3}))->size();
}

std::string bytes(const Passes& passes) { return cli::to_bytes({passes.state(), 1, 2}); }

std::vector<int> passes_of(const std::vector<StepRecord>& records) {
  std::vector<int> out;
  for (const StepRecord& r : records) out.push_back(r.pass);
  return out;
}

std::vector<StepRecord> run(Passes& passes, int most = 100) {
  std::vector<StepRecord> out;
  while (!passes.finished() && static_cast<int>(out.size()) < most) out.push_back(passes.step());
  return out;
}

}  // namespace

TEST_CASE("every archived network is one more teacher for each kind of distillation") {
  const Distillation hot{.temperature = 4}, cold{.temperature = 1};  // from the stream's logits
  const std::vector<nn::Loss> losses{hot, cold};
  CHECK(pass_losses(losses, 0, 0) == losses);
  // Temperature-major, as the reference has it.
  CHECK(pass_losses(losses, 0, 2) ==
        std::vector<nn::Loss>{hot, from(0, 4), from(1, 4), cold, from(0), from(1)});
  // After the last of its kind; others stay what they are.
  const std::vector<nn::Loss> mixed{from(0), nn::CrossEntropy{}, from(1)};
  CHECK(pass_losses(mixed, 2, 1) == std::vector<nn::Loss>{from(0), nn::CrossEntropy{}, from(1), from(2)});
  const Distillation forward{.divergence = nn::Divergence::forward, .teacher = 0};
  Distillation forward_archived = forward;
  forward_archived.teacher = 1;
  CHECK(pass_losses({from(0), forward}, 1, 1) ==
        std::vector<nn::Loss>{from(0), from(1), forward, forward_archived});
}

TEST_CASE("without options passes are one evolution, bit for bit") {
  Evolution evolution(growing(), streams());
  Passes passes(growing(), {}, streams());
  for (int i = 0; i < 7; ++i) {
    const StepRecord a = evolution.step(), b = passes.step();
    CHECK(a.adapt.bounds[0].mean == b.adapt.bounds[0].mean);
  }
  CHECK(cli::to_bytes({{.evolution = evolution.state()}, 1, 2}) ==
        cli::to_bytes({{.evolution = passes.state().evolution}, 1, 2}));
  CHECK(passes.archive().empty());
  CHECK_FALSE(passes.finished());
  CHECK(passes.kept().params == &passes.evolution().stable());
}

TEST_CASE("a pass ends when the network has outgrown it, and the next has the archive for teachers") {
  // 3 hidden units in rounds 1..3, 7 in 4..6; the sixth grows to 15, which is too large.
  const auto largest = static_cast<std::int64_t>(parameters(7));
  Passes passes(growing(), PassOptions{.count = 3, .most_parameters = largest}, streams());
  const std::vector<StepRecord> records = run(passes);
  CHECK(passes_of(records) == std::vector<int>{0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2});
  CHECK(records.back().last);
  CHECK_FALSE(records[16].last);
  CHECK_THROWS_AS(passes.step(), autodiff::Error);
  for (const StepRecord& r : records) {
    // Two archived networks teach from the second pass on. Streams run on: no batch is seen twice.
    CHECK(r.candidates.size() == (r.pass == 0 ? 1u : 3u));
    CHECK(r.archived_teachers.size() == (r.pass == 0 ? 0u : 2u));
    CHECK(r.adapt.first_batch == 3 * r.round + r.round / 3);
  }
  CHECK(records[6].first_explore_batch == 6 * 5);
  CHECK(records[7].first_explore_batch == 6 * 5 + 3 * 5);
  CHECK(records.back().archived_teachers ==
        std::vector<std::string>{describe(passes.state().teachers[0]), describe(passes.state().teachers[1])});
  CHECK(passes.archive().size() == 2);
}

TEST_CASE("the teachers of a pass are frozen: the archive as it was when the pass began") {
  Passes passes(growing(), PassOptions{.count = 2, .rounds = 4}, streams());
  run(passes, 4);
  CHECK(passes.pass() == 1);
  const std::vector<Archived> at_start = passes.archive();
  run(passes, 2);
  const PassesState state = passes.state();
  REQUIRE(state.teachers.size() == at_start.size());
  for (std::size_t i = 0; i < at_start.size(); ++i) CHECK(state.teachers[i].params == at_start[i].params);
  // Fresh parameters, others than those of the first pass; or the smallest archived ones.
  const Passes first(growing(), {}, streams());
  Passes smallest(growing(), PassOptions{.count = 2, .start = PassStart::smallest, .rounds = 4}, streams());
  run(smallest, 4);
  CHECK(values_of(smallest.evolution().model().params) == values_of(smallest.archive()[0].params));
  CHECK(smallest.archive()[0].params.size() < smallest.archive()[1].params.size());
  Passes fresh(growing(), PassOptions{.count = 2, .rounds = 4}, streams());
  run(fresh, 4);
  CHECK(fresh.evolution().model().params.size() == first.evolution().model().params.size());
  CHECK(values_of(fresh.evolution().model().params) != values_of(first.evolution().model().params));
}

TEST_CASE("what enters the archive when a network has grown") {
  for (const bool reference : {false, true}) {
    INFO(reference);
    PassOptions options{};
    if (reference) options.archive = ArchiveRule::reference;
    Passes passes(growing(), options, streams());
    const std::vector<StepRecord> records = run(passes, 3);
    REQUIRE(records[2].adapt.expanded);
    std::vector<double> means;
    for (const StepRecord& r : records) means.push_back(r.adapt.bounds[0].mean);
    const auto best = [&](std::size_t count) {
      return *std::max_element(means.begin(), means.begin() + static_cast<std::ptrdiff_t>(count));
    };
    REQUIRE(passes.archive().size() == (reference ? 2 : 1));
    const Archived& small = passes.archive()[0];
    CHECK(small.params.size() == parameters(3));
    CHECK(small.score == best(reference ? 2 : 3));
    CHECK(small.measured);
    // The parameters are those that had the score.
    CHECK(means[static_cast<std::size_t>(small.round)] == small.score);
    if (!reference) continue;
    // The larger network, which nobody has measured, stands there with the smaller one's figure.
    const Archived& large = passes.archive()[1];
    CHECK(large.params.size() == parameters(7));
    CHECK(large.params == passes.evolution().model().params);
    CHECK(large.score == means[2]);
    CHECK_FALSE(large.measured);
    CHECK(passes.kept().archived == &small);  // only what was measured is kept
  }
}

TEST_CASE("archived parameters are those that adapt found best, and their score is its mean") {
  Settings settings = growing();
  settings.adapt.rule = AdaptRule::significance;
  settings.adapt.alpha = 2;
  Passes passes(settings, PassOptions{}, streams());
  Judge judge(nn::accuracy());
  const Streams same = streams();
  int grown = 0;
  for (int i = 0; i < 12; ++i) {
    const StepRecord r = passes.step();
    grown += r.adapt.expanded;
    for (const Archived& a : passes.archive()) {
      if (a.round != r.round) continue;
      const BatchRange seen{*same.adapt, r.adapt.first_batch, settings.adapt.batches};
      const std::array<const nn::Parameters*, 1> params{&a.params};
      CHECK(judge.measure(a.network, params, seen, 1)[0].mean == a.score);
    }
  }
  CHECK(grown > 0);
}

TEST_CASE("passes go on from a state, at any round, to the same bits") {
  Settings settings = growing();
  settings.consume_check_batches = true;
  const PassOptions options{.count = 3, .start = PassStart::smallest, .rounds = 4};
  Passes whole(settings, options, streams());
  std::vector<std::string> expected{bytes(whole)};
  while (!whole.finished()) {
    whole.step();
    expected.push_back(bytes(whole));
  }
  CHECK(expected.size() == 13);
  for (std::size_t begin = 0; begin + 1 < expected.size(); ++begin) {
    Passes resumed(settings, options, streams());
    resumed.restore(cli::parse_checkpoint(expected[begin], "x").passes);
    CHECK(bytes(resumed) == expected[begin]);
    run(resumed);
    CHECK(bytes(resumed) == expected.back());
  }
  Passes other(settings, PassOptions{.rounds = 4}, streams());
  CHECK_THAT(error_of([&] { other.restore(whole.state()); }),
             ContainsSubstring("want a pass below 1, got 2"));
}

TEST_CASE("the reference's step limit counts one candidate, over all passes") {
  Passes passes(growing(), PassOptions{.count = 3, .step_limit = 3 * 5}, streams());
  CHECK(passes_of(run(passes)) == std::vector<int>{0, 0, 0, 1, 2});
}

TEST_CASE("a budget of gradient steps is used up to the last that all candidates can take") {
  Settings settings = growing();
  settings.max_gradient_steps = 4 * 5 + 2 * 15 + 8;
  Passes passes(settings, PassOptions{.count = 9, .rounds = 4}, streams());
  const std::vector<StepRecord> records = run(passes);
  // 4 rounds of 1 candidate, 2 of 3, and one with the 8 / 3 = 2 steps that are left for each.
  REQUIRE(records.size() == 7);
  CHECK(records.back().trajectory_length == 2);
  CHECK(records.back().candidates[2].losses.size() == 2);
  CHECK(records.back().gradient_steps == 4 * 5 + 2 * 15 + 6);
  CHECK(records.back().last);
  CHECK_FALSE(records[5].last);
  Evolution evolution(settings, streams());
  for (int i = 0; i < 12; ++i) evolution.step();
  CHECK(evolution.trajectory_length() == 0);
  CHECK_THAT(error_of([&] { evolution.step(); }),
             ContainsSubstring("all of the 58 gradient steps are used up"));
}

TEST_CASE("passes that cannot be are refused") {
  const auto refuses = [](const PassOptions& options, const std::string& why, Settings settings = growing()) {
    CHECK_THAT(error_of([&] { Passes(settings, options, streams()); }), ContainsSubstring(why));
  };
  refuses({.count = 0}, "want count of at least 1, got 0");
  refuses({.rounds = 0}, "want rounds of at least 1, got 0");
  refuses({.count = 2}, "the first of 2 would never end");
  refuses({.largest_blocks = 2}, "largest_blocks wants a residual network, got mlp");
  Settings no_teacher = growing();
  no_teacher.losses = {nn::CrossEntropy{}};
  refuses({.count = 2, .rounds = 3}, "want a distillation loss", no_teacher);
}
