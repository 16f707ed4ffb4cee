#include "ev3/cli/estimate.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <chrono>

#include "autodiff/kernels/parallel.h"
#include "ev3/assess.h"
#include "ev3/cli/run_report.h"
#include "ev3/explore.h"

namespace ev3::cli {
namespace {

template <class Work>
double seconds(const Work& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

std::string time_text(double seconds) {
  if (seconds < 100) return fmt::format("{:.2g} s", seconds);
  if (seconds < 6000) return fmt::format("{:.3g} minutes", seconds / 60);
  return fmt::format("{:.3g} hours", seconds / 3600);
}

}  // namespace

double Estimate::round(const Settings& s) const {
  const auto candidates = static_cast<double>(s.losses.size() * s.optimizers.size());
  const double compared = s.adapt.rule == AdaptRule::significance ? 3 : 1;
  return s.explore.trajectory_length * step + test +
         batch * (candidates * s.assess.batches + compared * s.adapt.batches);
}

Estimate estimate(const ExperimentData& data, const Settings& settings) {
  Model model;
  model.network = settings.model;
  model.params = model.stable = nn::initialize(model.network, settings.seed.stream("init"));
  Explorer explorer(settings.losses, settings.optimizers, settings.explore, settings.teachers);
  const auto steps = [&](int count) {
    return seconds([&] { explorer.explore(model, *data.streams.explore, 0, nullptr, count); });
  };
  Judge judge(settings.metric);
  const std::array<const nn::Parameters*, 1> params{&model.params};
  const auto batch = [&] {
    return seconds(
        [&] { judge.measure(model.network, params, {*data.streams.adapt}, settings.adapt.alpha); });
  };
  Estimate out;
  steps(1);  // compiles
  // As many as half a second has, at least one.
  const double one = steps(1);
  const int more = std::clamp(static_cast<int>(0.5 / std::max(one, 1e-9)), 1, 1000);
  out.step = steps(more) / more;
  batch();
  out.batch = std::min(batch(), batch());
  out.test = out.batch * data.test.size() / data.streams.adapt->batch();
  return out;
}

std::string estimate_text(const Estimate& estimate, const Experiment& experiment, const Settings& settings) {
  const auto candidates = static_cast<double>(settings.losses.size() * settings.optimizers.size());
  double rounds = experiment.rounds;
  if (experiment.max_gradient_steps) {
    rounds = std::min(rounds, static_cast<double>(*experiment.max_gradient_steps) /
                                  (candidates * settings.explore.trajectory_length));
  }
  const int threads = autodiff::kernels::threads();
  return fmt::format("{} on this machine with {} thread{}: {} a round, {} a step of {}{}",
                     time_text(rounds * estimate.round(settings)), threads, threads == 1 ? "" : "s",
                     time_text(estimate.round(settings)), time_text(estimate.step),
                     candidates > 1 ? "all candidates" : "the candidate",
                     settings.adapt.growth ? "; more after each growth" : "");
}

}  // namespace ev3::cli
