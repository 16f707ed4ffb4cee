#include "ev3/explore.h"

#include <algorithm>
#include <numeric>

#include "tests/catch.h"
#include "tests/files.h"
#include "tests/synthetic_batches.h"

using namespace ev3;

namespace {

const nn::Mlp net{.inputs = {2}, .hidden = {5}, .classes = 3};
const std::vector<nn::Loss> losses{nn::CrossEntropy{{0.5f}}, nn::CrossEntropy{{2.0f}}};
const std::vector<nn::Optimizer> optimizers{
    nn::Sgd{.learning_rate = 0.1}, nn::Sgd{.learning_rate = 0.05, .momentum = 0.9f},
    nn::AdamW{.learning_rate = nn::Cosine{.initial = 0.02, .steps = 10}, .weight_decay = 0.5f}};
const SyntheticBatches::Options data{.features = 2, .classes = 3, .batch = 8};

Model start(std::uint64_t seed = 1) {
  Model model;
  model.network = net;
  model.params = model.stable = nn::initialize(model.network, autodiff::Seed{seed});
  return model;
}

struct End {
  std::vector<float> params, losses;
};

// One trajectory written out: `length` steps from `model` on batches `first`, first + 1, ...
End trajectory(const Model& model, const nn::Loss& loss, const nn::Optimizer& optimizer,
               nn::OptimizerState& state, const Batches& batches, std::int64_t first, int length,
               bool decay_from_start = false, double clip = 0) {
  nn::LossGradient gradient_of(model.network, loss, batches.batch());
  End end{values_of(model.params), {}};
  std::vector<float> gradient(end.params.size());
  datasets::Batch buffer;
  for (int t = 0; t < length; ++t) {
    const BatchView batch = batches.read(first + t, buffer);
    end.losses.push_back(gradient_of(end.params, batch.features, batch.target(), gradient));
    if (clip > 0) nn::clip_by_norm(gradient, clip);
    const std::vector<float> from = decay_from_start ? values_of(model.params) : end.params;
    nn::update(optimizer, state, gradient, from, end.params);
  }
  return end;
}

bool equal(const std::vector<Candidate>& a, const std::vector<Candidate>& b) {
  return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin(), [](const auto& x, const auto& y) {
           return x.params == y.params && x.losses == y.losses;
         });
}

}  // namespace

TEST_CASE("candidates are loss-major, and each takes the batches after those of the one before") {
  const KeepSettings keep;
  autodiff::kernels::set_threads(1);
  Explorer explorer(losses, optimizers, {.trajectory_length = 4});
  CHECK(explorer.candidates() == 6);
  const SyntheticBatches batches(data);
  const Model model = start();
  const auto candidates = explorer.explore(model, batches, 10);
  std::vector<std::int64_t> expected(24);
  std::iota(expected.begin(), expected.end(), 10);
  CHECK(batches.reads() == expected);
  REQUIRE(candidates.size() == 6);
  for (std::size_t c = 0; c < 6; ++c) {
    INFO("candidate " << c);
    CHECK(candidates[c].loss == static_cast<int>(c / 3));
    CHECK(candidates[c].optimizer == static_cast<int>(c % 3));
    auto state = nn::initial_state(optimizers[c % 3], model.params.size());
    const End end = trajectory(model, losses[c / 3], optimizers[c % 3], state, batches,
                               10 + static_cast<std::int64_t>(c) * 4, 4);
    CHECK(values_of(candidates[c].params) == end.params);
    CHECK(candidates[c].losses == end.losses);
    CHECK(equal(explorer.states()[c], state));
  }
}

TEST_CASE("optimizer states go on from round to round and start anew after a growth") {
  Explorer explorer(losses, optimizers, {.trajectory_length = 3});
  const SyntheticBatches batches(data);
  const Model first = start(1), second = start(2);  // as if another candidate had been selected
  explorer.explore(first, batches, 0);
  const auto carried = explorer.explore(second, batches, 18);
  for (std::size_t c = 0; c < 6; ++c) {
    INFO("candidate " << c);
    const nn::Optimizer& optimizer = optimizers[c % 3];
    const auto at = static_cast<std::int64_t>(c) * 3;
    auto state = nn::initial_state(optimizer, first.params.size());
    trajectory(first, losses[c / 3], optimizer, state, batches, at, 3);
    const End end = trajectory(second, losses[c / 3], optimizer, state, batches, 18 + at, 3);
    CHECK(values_of(carried[c].params) == end.params);
    CHECK(state.step == 6);
  }

  Model grown;
  grown.network = nn::Mlp{.inputs = {2}, .hidden = {7}, .classes = 3};
  grown.params = grown.stable = nn::initialize(grown.network, {3});
  grown.just_expanded = true;
  const auto afresh = explorer.explore(grown, batches, 36);
  for (std::size_t c = 0; c < 6; ++c) {
    INFO("candidate " << c);
    auto state = nn::initial_state(optimizers[c % 3], grown.params.size());
    const End end = trajectory(grown, losses[c / 3], optimizers[c % 3], state, batches,
                               36 + static_cast<std::int64_t>(c) * 3, 3);
    CHECK(values_of(afresh[c].params) == end.params);
    CHECK(equal(explorer.states()[c], state));  // schedules start again at step 0
  }
}

TEST_CASE("a restart of the same network starts the optimizers anew as well") {
  Explorer explorer(losses, optimizers, {.trajectory_length = 3});
  const SyntheticBatches batches(data);
  Model model = start();
  const auto first = explorer.explore(model, batches, 0);
  CHECK_FALSE(equal(explorer.explore(model, batches, 0), first));  // momentum has built up
  model.just_expanded = true;
  CHECK(equal(explorer.explore(model, batches, 0), first));
}

TEST_CASE("trajectories grow with every insignificant step in a row, and are cut to whole steps") {
  const auto length = [](int base, double factor, const std::vector<bool>& significant, int limit = -1) {
    Model model = start();
    model.history = History(limit);
    for (const bool s : significant) model.history.append({0, s});
    return Explorer(losses, optimizers, {.trajectory_length = base, .trajectory_factor = factor})
        .trajectory_length(model);
  };
  CHECK(length(4, 1.5, {}) == 4);
  CHECK(length(4, 1.5, {false}) == 6);
  CHECK(length(4, 1.5, {false, false, false}) == 13);  // 13.5
  CHECK(length(4, 1.5, {false, false, true, false}) == 6);
  CHECK(length(4, 1.5, {false, true}) == 4);
  CHECK(length(4, 1.5, {false, false, false}, 2) == 9);  // history keeps two
  CHECK(length(4, 1.5, {false, false, false}, 0) == 4);
  CHECK(length(7, 1, std::vector<bool>(30, false)) == 7);
  CHECK(length(3, 0.5, {false}) == 1);
  CHECK(length(3, 0.5, {false, false}) == 0);
  CHECK_THAT(error_of([&] { length(100, 10, std::vector<bool>(8, false)); }),
             ContainsSubstring("lower trajectory_factor"));
}

TEST_CASE("the length that has grown is what is taken") {
  Explorer explorer({losses[0]}, {optimizers[0]}, {.trajectory_length = 4, .trajectory_factor = 1.5});
  const SyntheticBatches batches(data);
  Model model = start();
  model.history.append({0, false});
  CHECK(explorer.explore(model, batches, 0).front().losses.size() == 6);
  CHECK(batches.reads().size() == 6);
}

TEST_CASE("weight decay is computed from the moving parameters, or from the start of the trajectory") {
  const SyntheticBatches batches(data);
  const Model model = start();
  std::vector<std::vector<float>> ends;
  for (const auto from : {WeightDecayFrom::moving, WeightDecayFrom::start}) {
    Explorer explorer({losses[0]}, {optimizers[2]}, {.trajectory_length = 5, .weight_decay_from = from});
    auto state = nn::initial_state(optimizers[2], model.params.size());
    const End end =
        trajectory(model, losses[0], optimizers[2], state, batches, 0, 5, from == WeightDecayFrom::start);
    ends.push_back(values_of(explorer.explore(model, batches, 0).front().params));
    CHECK(ends.back() == end.params);
  }
  CHECK(ends[0] != ends[1]);
}

TEST_CASE("gradients are clipped to the norm asked for") {
  const SyntheticBatches batches(data);
  const Model model = start();
  Explorer explorer({losses[1]}, {optimizers[0]}, {.trajectory_length = 5, .clip_norm = 0.05});
  auto state = nn::initial_state(optimizers[0], model.params.size()), free = state;
  const auto clipped = values_of(explorer.explore(model, batches, 0).front().params);
  CHECK(clipped == trajectory(model, losses[1], optimizers[0], state, batches, 0, 5, false, 0.05).params);
  CHECK(clipped != trajectory(model, losses[1], optimizers[0], free, batches, 0, 5).params);
}

TEST_CASE("candidates have the same bits for one, two and three threads") {
  const KeepSettings keep;
  const SyntheticBatches batches(data);
  const Model model = start();
  std::vector<Candidate> first;
  for (const int threads : {1, 2, 3}) {
    autodiff::kernels::set_threads(threads);
    Explorer explorer(losses, optimizers, {.trajectory_length = 50});
    explorer.explore(model, batches, 0);
    const auto candidates = explorer.explore(model, batches, 300);
    if (first.empty()) first = candidates;
    CHECK(equal(candidates, first));
  }
}

TEST_CASE("a stopped explore changes nothing") {
  Explorer explorer(losses, optimizers, {.trajectory_length = 3}),
      undisturbed(losses, optimizers, {.trajectory_length = 3});
  const SyntheticBatches batches(data);
  const Model model = start();
  Progress stopped;
  stopped.stop = true;
  CHECK(explorer.explore(model, batches, 0, &stopped).empty());
  CHECK(stopped.steps == 0);
  Progress progress;
  CHECK(equal(explorer.explore(model, batches, 0, &progress), undisturbed.explore(model, batches, 0)));
  CHECK(progress.steps == 18);
  CHECK(explorer.explore(model, batches, 18, &stopped).empty());
  for (std::size_t c = 0; c < 6; ++c) CHECK(equal(explorer.states()[c], undisturbed.states()[c]));
  CHECK(equal(explorer.explore(model, batches, 18), undisturbed.explore(model, batches, 18)));
}

TEST_CASE("a stop in the middle of a trajectory changes nothing") {
  // Asks for a stop when batch 7 is read.
  class Stopping final : public Batches {
   public:
    Stopping(const Batches& batches, Progress& progress) : batches_(batches), progress_(progress) {}
    int batch() const override { return batches_.batch(); }
    BatchView read(std::int64_t k, datasets::Batch& buffer) const override {
      if (k == 7) progress_.stop = true;
      return batches_.read(k, buffer);
    }

   private:
    const Batches& batches_;
    Progress& progress_;
  };
  Explorer explorer(losses, optimizers, {.trajectory_length = 3}),
      undisturbed(losses, optimizers, {.trajectory_length = 3});
  const SyntheticBatches batches(data);
  const Model model = start();
  Progress progress;
  CHECK(explorer.explore(model, Stopping(batches, progress), 0, &progress).empty());
  CHECK(progress.steps < 18);
  CHECK(equal(explorer.explore(model, batches, 0), undisturbed.explore(model, batches, 0)));
}

TEST_CASE("settings of explore that are out of range are refused") {
  const auto error = [](const std::vector<nn::Loss>& l, const std::vector<nn::Optimizer>& o,
                        const ExploreOptions& options) { return error_of([&] { Explorer(l, o, options); }); };
  CHECK_THAT(error({}, optimizers, {}),
             ContainsSubstring("at least one loss and one optimizer, got 0 and 3"));
  CHECK_THAT(error(losses, {}, {}), ContainsSubstring("got 2 and 0"));
  CHECK_THAT(error(losses, optimizers, {.trajectory_length = 0}), ContainsSubstring("trajectory_length"));
  CHECK_THAT(error(losses, optimizers, {.trajectory_factor = 0}), ContainsSubstring("trajectory_factor"));
  CHECK_THAT(error(losses, optimizers, {.clip_norm = -1}), ContainsSubstring("clip_norm"));
  CHECK_THAT(error({nn::CrossEntropy{{-1.0f}}}, optimizers, {}), ContainsSubstring("multiplier"));
  CHECK_THAT(error(losses, {nn::Sgd{.learning_rate = -0.1}}, {}), ContainsSubstring("-0.1"));
}
