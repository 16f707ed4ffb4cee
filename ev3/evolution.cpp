#include "ev3/evolution.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <memory>
#include <ostream>

#include "autodiff/tensor/error.h"

namespace ev3 {

using autodiff::fail;

Settings reference_profile(Settings settings) {
  const bool norms = nn::has_statistics(settings.model);
  settings.explore.weight_decay_from = norms ? WeightDecayFrom::moving : WeightDecayFrom::start;
  if (auto* widen = settings.adapt.growth ? std::get_if<Widen>(&*settings.adapt.growth) : nullptr;
      widen && norms && !widen->new_units) {
    widen->new_units = NewUnits::scale_zero;
  }
  settings.adapt.restart_without_growth = true;
  settings.consume_check_batches = true;
  return settings;
}

namespace {

// Throws Error unless the pools' samples and classes are those of the network.
void check_fit(const nn::Network& network, const Pools& pools) {
  for (const datasets::Dataset* pool : {&pools.explore, &pools.assess, &pools.adapt}) {
    if (pool->size() > 0 && pool->sample().size() == nn::input_shape(network).size() &&
        pool->classes <= nn::classes(network)) {
      continue;
    }
    fail("evolution: ", nn::describe(network), " wants samples of shape ", nn::input_shape(network),
         " and at most ", nn::classes(network), " classes; '", pool->name, "' has ", pool->size(),
         " of shape ", pool->sample(), " and ", pool->classes, " classes");
  }
}

// Throws Error unless the state is that of this optimizer for `size` parameters.
void check_fit(const nn::Optimizer& optimizer, const nn::OptimizerState& state, std::size_t size,
               std::size_t candidate) {
  bool good = static_cast<int>(state.moments.size()) == nn::moment_count(optimizer);
  for (const auto& moments : state.moments) good = good && moments.size() == size;
  if (!good) {
    fail("restore: optimizer state ", candidate, " is not one of '", nn::describe(optimizer), "' for ", size,
         " parameters");
  }
}

}  // namespace

Streams make_streams(const Pools& pools, autodiff::Seed seed) {
  const auto stream = [&](const datasets::Dataset& pool, const char* name) {
    const datasets::StreamOptions options{.batch = pools.batch, .seed = seed.stream(name).value};
    return std::make_shared<PoolBatches>(
        datasets::Stream(std::make_shared<const datasets::Dataset>(pool), options));
  };
  return {stream(pools.explore, "explore"), stream(pools.assess, "assess"), stream(pools.adapt, "adapt")};
}

Evolution::Evolution(Settings settings, Streams streams)
    : settings_(std::move(settings)),
      streams_(std::move(streams)),
      explorer_(settings_.losses, settings_.optimizers, settings_.explore, settings_.teachers,
                settings_.seed.stream("dropout")),
      assess_judge_(settings_.metric),
      adapt_judge_(settings_.metric) {
  if (settings_.adapt.growth) check(*settings_.adapt.growth);
  if (settings_.assess.batches < 1 || settings_.adapt.batches < 1) {
    fail("evolution: want at least one batch to assess and one to adapt, got ", settings_.assess.batches,
         " and ", settings_.adapt.batches);
  }
  const auto good = [](double alpha) { return alpha >= 0 && std::isfinite(alpha); };
  if (!good(settings_.assess.alpha) || !good(settings_.adapt.alpha)) {
    fail("evolution: want a finite alpha of at least 0, got ", settings_.assess.alpha, " (assess) and ",
         settings_.adapt.alpha, " (adapt)");
  }
  if (settings_.max_gradient_steps && *settings_.max_gradient_steps < 1) {
    fail("evolution: want max_gradient_steps of at least 1, got ", *settings_.max_gradient_steps);
  }
  if (settings_.adapt.rounds_before_growth && *settings_.adapt.rounds_before_growth < 0) {
    fail("evolution: want rounds_before_growth of at least 0, got ", *settings_.adapt.rounds_before_growth);
  }
  Model& model = state_.model;
  model.network = settings_.model;
  model.params = nn::initialize(model.network, settings_.seed.stream("init"));
  model.stable = model.params;
  model.history = History(settings_.history_limit);
  grower_ = [this](const Model& grown, int) {
    const auto seed = settings_.seed.stream("growth").stream(static_cast<std::uint64_t>(grown.growths));
    const GrowthPlan chosen = plan(*settings_.adapt.growth, grown.network, seed);
    return GrowthStep{chosen, nn::initialize(chosen.larger, seed.stream("fresh"))};
  };
  check_metric();
  if (settings_.consume_check_batches) state_.next_assess = state_.next_adapt = 1;
}

Evolution::Evolution(const Settings& settings, const Pools& pools)
    : Evolution(settings, (check_fit(settings.model, pools), make_streams(pools, settings.seed))) {}

void Evolution::check_metric() {
  const Model& model = state_.model;
  const std::array<const nn::Parameters*, 1> params{&model.params};
  assess_judge_.measure(model.network, params, {*streams_.assess}, settings_.assess.alpha);
  adapt_judge_.measure(model.network, params, {*streams_.adapt}, settings_.adapt.alpha);
}

int Evolution::trajectory_length() const {
  const int length = explorer_.trajectory_length(state_.model);
  if (!settings_.max_gradient_steps) return length;
  const std::int64_t left = std::max<std::int64_t>(*settings_.max_gradient_steps - state_.gradient_steps, 0);
  return static_cast<int>(std::min<std::int64_t>(length, left / explorer_.candidates()));
}

bool Evolution::is_used_up() const {
  const auto& most = settings_.max_gradient_steps;
  return most && *most - state_.gradient_steps < explorer_.candidates();
}

// Those of the settings; without the growth test where its network would be too large.
AdaptOptions Evolution::adapt_options() const {
  AdaptOptions options = settings_.adapt;
  if (!options.growth || !options.max_parameters || !options.rounds_before_growth) return options;
  if (!state_.model.history.stalled(*options.rounds_before_growth)) return options;
  const std::size_t parameters = grower_(state_.model, state_.round).fresh.size();
  if (static_cast<std::int64_t>(parameters) > *options.max_parameters) options.rounds_before_growth.reset();
  return options;
}

std::optional<StepRecord> Evolution::try_step(Progress* progress) {
  const Model& model = state_.model;
  StepRecord record{.round = state_.round,
                    .network = nn::describe(model.network),
                    .parameters = model.params.size(),
                    .trajectory_length = trajectory_length(),
                    .first_explore_batch = state_.next_explore,
                    .candidates = {},
                    .assess = {},
                    .adapt = {},
                    .rule = settings_.adapt.rule,
                    .growth = {},
                    .grown_to = {}};

  if (is_used_up()) {
    fail("evolution: all of the ", *settings_.max_gradient_steps, " gradient steps are used up");
  }
  std::vector<Candidate> candidates =
      explorer_.explore(model, *streams_.explore, state_.next_explore, progress, record.trajectory_length);
  if (candidates.empty()) return {};
  record.assess =
      assess(model, candidates, assess_judge_, *streams_.assess, state_.next_assess, settings_.assess);
  const Candidate& selected = candidates[static_cast<std::size_t>(record.assess.selected)];
  record.adapt = adapt(model, selected, adapt_judge_, *streams_.adapt, state_.next_adapt, adapt_options());

  std::optional<GrowthStep> growth;
  if (record.adapt.expanded && settings_.adapt.growth) {
    growth = grower_(model, state_.round);
    record.growth = growth->plan;
    record.grown_to = nn::describe(growth->plan.larger);
  }
  if (record.adapt.expanded) explorer_.restore(states_after(growth));
  state_.model = apply(model, selected, record.adapt, settings_.adapt.rule, state_.round, growth);

  const auto steps = static_cast<std::int64_t>(candidates.size()) * record.trajectory_length;
  state_.next_explore += steps;
  state_.next_assess += settings_.assess.batches;
  state_.next_adapt += record.adapt.batches_used;
  state_.gradient_steps += steps;
  record.gradient_steps = state_.gradient_steps;
  record.last = is_used_up();
  ++state_.round;
  for (const Candidate& c : candidates) record.candidates.push_back({c.loss, c.optimizer, c.losses});
  candidates_ = std::move(candidates);
  growth_ = std::move(growth);
  return record;
}

std::vector<nn::OptimizerState> Evolution::states_after(const std::optional<GrowthStep>& growth) const {
  if (settings_.explore.optimizers_after_growth == OptimizersAfterGrowth::restart || !growth) return {};
  std::vector<nn::OptimizerState> states = explorer_.states();
  for (nn::OptimizerState& state : states) {
    for (auto& moments : state.moments) {
      const nn::Parameters larger = carry(growth->plan, state_.model.network, moments);
      moments = autodiff::AlignedBuffer<float>(larger.size());
      std::copy(larger.values().begin(), larger.values().end(), moments.begin());
    }
  }
  return states;
}

const nn::Parameters& Evolution::stable() const {
  const bool has_stable = settings_.adapt.rule == AdaptRule::significance;
  return has_stable ? state_.model.stable : state_.model.params;
}

EvolutionState Evolution::state() const {
  EvolutionState state = state_;
  state.optimizers = explorer_.states();
  return state;
}

void Evolution::restore(EvolutionState state) {
  const nn::Layout expected = *nn::layout(state.model.network);
  if (!(state.model.params.layout() == expected) || !(state.model.stable.layout() == expected)) {
    fail("restore: the parameters are not those of ", nn::describe(state.model.network));
  }
  if (!state.optimizers.empty() && static_cast<int>(state.optimizers.size()) != explorer_.candidates()) {
    fail("restore: want ", explorer_.candidates(), " optimizer states, got ", state.optimizers.size());
  }
  for (std::size_t c = 0; c < state.optimizers.size(); ++c) {
    check_fit(settings_.optimizers[c % settings_.optimizers.size()], state.optimizers[c], expected.size(), c);
  }
  explorer_.restore(state.optimizers);
  state_ = std::move(state);
}

std::string verdict(const StepRecord& record) {
  if (record.adapt.expanded) {
    if (!record.growth) return "restarted";
    return (record.growth->morphism ? "grown to " : "grown afresh to ") + record.grown_to;
  }
  if (record.rule == AdaptRule::always_accept) return "accepted";
  switch (record.adapt.best) {
    case Best::params:
      return record.adapt.significant ? "current is better, new stable" : "back to current";
    case Best::stable:
      return "back to stable";
    case Best::candidate:
      break;
  }
  return record.adapt.significant ? "better, new stable" : "kept";
}

std::ostream& operator<<(std::ostream& out, const StepRecord& r) {
  const auto selected = static_cast<std::size_t>(r.assess.selected);
  const Bounds& a = r.assess.candidates[selected];
  const Bounds& b = r.adapt.bounds[0];
  char line[256];
  std::snprintf(line, sizeof line,
                "round %3d  %-16s candidate %d of %d  assess %.3f  adapt %.3f [%.3f, %.3f]  ", r.round + 1,
                r.network.c_str(), r.assess.selected + 1, static_cast<int>(r.candidates.size()), a.mean,
                b.mean, b.lcb, b.ucb);
  out << line;
  if (r.adapt.bounds.size() == 3) {
    const Bounds& s = r.adapt.bounds[2];
    std::snprintf(line, sizeof line, "stable %.3f [%.3f, %.3f]  ", s.mean, s.lcb, s.ucb);
    out << line;
  }
  return out << verdict(r);
}

}  // namespace ev3
