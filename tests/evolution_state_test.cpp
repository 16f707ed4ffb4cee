// Going on from a state, and having the same bits: resumption, threads, a step that was stopped.
#include "ev3/evolution.h"

#include <algorithm>

#include "tests/catch.h"
#include "tests/files.h"
#include "tests/small_run.h"

using namespace ev3;
using namespace tests;
namespace kernels = autodiff::kernels;

namespace {

bool same(const EvolutionState& a, const EvolutionState& b) {
  return a.model.network == b.model.network && a.model.params == b.model.params &&
         a.model.stable == b.model.stable && a.model.history == b.model.history &&
         a.model.just_expanded == b.model.just_expanded && a.model.growths == b.model.growths &&
         std::equal(a.optimizers.begin(), a.optimizers.end(), b.optimizers.begin(), b.optimizers.end(),
                    [](const auto& x, const auto& y) { return equal(x, y); }) &&
         a.round == b.round && a.gradient_steps == b.gradient_steps && a.next_explore == b.next_explore &&
         a.next_assess == b.next_assess && a.next_adapt == b.next_adapt;
}

}  // namespace

TEST_CASE("a run goes on from a saved state with the same bits") {
  Evolution whole(growing_settings(), small_streams());
  std::vector<EvolutionState> states{whole.state()};
  for (int round = 0; round < 7; ++round) {
    whole.step();
    states.push_back(whole.state());
  }
  REQUIRE(whole.model().growths > 0);
  for (std::size_t start = 0; start < states.size(); ++start) {
    INFO("from round " << start);
    Evolution resumed(growing_settings(), small_streams());
    resumed.step();  // whatever it did before
    resumed.restore(states[start]);
    CHECK(same(resumed.state(), states[start]));
    for (std::size_t round = start + 1; round < states.size(); ++round) {
      resumed.step();
      CHECK(same(resumed.state(), states[round]));
    }
  }
}

TEST_CASE("a state of other settings is refused") {
  Evolution evolution(small_settings(), small_streams());
  evolution.step();
  const EvolutionState good = evolution.state();
  const auto error = [&](const auto& change) {
    EvolutionState state = good;
    change(state);
    const std::string text = error_of([&] { evolution.restore(state); });
    CHECK(same(evolution.state(), good));
    return text;
  };
  const auto other = nn::initialize(nn::Network(nn::Mlp{.inputs = {2}, .hidden = {9}, .classes = 3}), {1});
  CHECK(error([](EvolutionState&) {}) == "no error");
  CHECK_THAT(error([&](EvolutionState& s) { s.model.params = other; }),
             ContainsSubstring("not those of mlp 2-4-3"));
  CHECK_THAT(error([&](EvolutionState& s) { s.model.stable = other; }),
             ContainsSubstring("not those of mlp 2-4-3"));
  CHECK_THAT(error([](EvolutionState& s) { s.optimizers.pop_back(); }),
             ContainsSubstring("want 4 optimizer states, got 3"));
  CHECK_THAT(error([](EvolutionState& s) { s.optimizers[1].moments.pop_back(); }),
             ContainsSubstring("optimizer state 1"));
  CHECK_THAT(error([](EvolutionState& s) { s.optimizers[3].moments[0] = autodiff::AlignedBuffer<float>(3); }),
             ContainsSubstring("optimizer state 3"));
}

TEST_CASE("a run has the same bits for one, two and three threads") {
  const KeepSettings keep;
  std::vector<EvolutionState> ends;
  for (const int threads : {1, 2, 3}) {
    kernels::set_threads(threads);
    Evolution evolution(growing_settings(), small_streams());
    for (int round = 0; round < 6; ++round) evolution.step();
    ends.push_back(evolution.state());
    CHECK(same(ends.front(), ends.back()));
  }
}

TEST_CASE("a stopped step changes nothing") {
  Evolution evolution(small_settings(), small_streams()), undisturbed(small_settings(), small_streams());
  evolution.step(), undisturbed.step();
  Progress progress;
  progress.stop = true;
  CHECK_FALSE(evolution.try_step(&progress).has_value());
  CHECK(same(evolution.state(), undisturbed.state()));
  CHECK(evolution.candidates().size() == 4);
  evolution.step(), undisturbed.step();
  CHECK(same(evolution.state(), undisturbed.state()));
}
