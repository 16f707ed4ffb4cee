// EV3: explore, assess, adapt, round after round.
#pragma once

#include <functional>
#include <iosfwd>
#include <optional>
#include <string>
#include <vector>

#include "datasets/dataset.h"
#include "ev3/adapt.h"
#include "ev3/assess.h"
#include "ev3/explore.h"

namespace ev3 {

using nn::accuracy;

struct Settings {
  nn::Network model = nn::Mlp{};
  std::vector<nn::Loss> losses = {nn::CrossEntropy{}};
  std::vector<nn::Optimizer> optimizers = {nn::AdamW{}};
  /// Networks that losses refer to by number.
  nn::Teachers teachers = {};
  nn::Metric metric = nn::accuracy();
  ExploreOptions explore = {};
  AssessOptions assess = {};
  AdaptOptions adapt = {};
  /// Steps that are remembered since the last growth: 0 none, negative all.
  int history_limit = 5;
  /// Initial parameters, growths and the order of the samples follow from it.
  autodiff::Seed seed = {1};
  /// The reference draws one assess and one adapt batch at start-up to check its metric, and does not give
  /// them back.
  bool consume_check_batches = false;
  /// The most gradient steps, those of all candidates counted; none: no limit. The last round takes what is
  /// left, the same number for each candidate.
  std::optional<std::int64_t> max_gradient_steps = {};
};

/// Sets the options that make a run do what the published code does: weight decay from the start of the
/// trajectory for networks without batch norm, new channels with a scale of 0 for those with (unless
/// new_units is given), restart_without_growth, consume_check_batches.
Settings reference_profile(Settings settings);

/// The data of the three phases, and how many samples a batch of each has.
struct Pools {
  datasets::Dataset explore, assess, adapt;
  int batch = 32;
};

/// The streams of pools that are shuffled by the seed. The pools are kept alive by the streams.
Streams make_streams(const Pools& pools, autodiff::Seed seed);

/// Everything that happened in a round; log, report and audit are written from it and from nothing else.
struct StepRecord {
  int round = 0;  ///< from 0
  std::string network;
  std::size_t parameters = 0;
  int pass = 0;  ///< from 0; see passes.h
  /// The archived networks that are teachers in this pass, and that losses after the settings' refer to.
  std::vector<std::string> archived_teachers = {};
  // explore
  int trajectory_length = 0;
  std::int64_t first_explore_batch = 0;
  struct Trajectory {
    int loss = 0, optimizer = 0;
    std::vector<float> losses;  ///< before each step
  };
  std::vector<Trajectory> candidates;
  std::int64_t gradient_steps = 0;  ///< so far, with this round
  AssessRecord assess;
  AdaptRecord adapt;
  AdaptRule rule = AdaptRule::significance;
  /// Of a round that grew: what was done. The description of the larger network.
  std::optional<GrowthPlan> growth;
  std::string grown_to;
  /// No round comes after this one: the gradient steps are used up, or the last pass has ended.
  bool last = false;

  /// Index of the selected candidate, or -1 where it was rejected (as the reference logs it).
  int selected() const { return adapt.best == Best::candidate ? assess.selected : -1; }
};

/// "better, new stable", "kept", "back to current", "back to stable", "accepted", "restarted",
/// "grown to mlp 64-17-10", or, where nothing was kept, "grown afresh to resnet 16x2-2-2"
std::string verdict(const StepRecord& record);
/// One line, without an end of line.
std::ostream& operator<<(std::ostream& out, const StepRecord& record);

/// Everything that a run needs to go on exactly: a value.
struct EvolutionState {
  Model model;
  std::vector<nn::OptimizerState> optimizers;  ///< by candidate; empty before the first round
  int round = 0;                               ///< rounds done
  std::int64_t gradient_steps = 0;
  std::int64_t next_explore = 0, next_assess = 0, next_adapt = 0;  ///< batches
};

/// How an evolution grows; by default plan() by the settings with fresh parameters from the seed.
using Grower = std::function<GrowthStep(const Model& model, int round)>;

class Evolution {
 public:
  /// Starts with a freshly initialized model, and checks the metric on one assess and one adapt batch. Throws
  /// Error for settings out of range, or data that does not fit the network.
  Evolution(Settings settings, Streams streams);
  Evolution(const Settings& settings, const Pools& pools);

  Evolution(const Evolution&) = delete;
  Evolution& operator=(const Evolution&) = delete;

  /// One round: explore, assess, adapt, applied. Throws Error when the gradient steps are used up.
  StepRecord step() { return *try_step(nullptr); }
  /// The same with a look inside; nothing when it was stopped, and then nothing has changed.
  std::optional<StepRecord> try_step(Progress* progress);

  /// Rounds done.
  int round() const { return state_.round; }
  /// Gradient steps that every candidate takes in the next round; 0 when they are used up, or when
  /// trajectory_factor, below 1, leaves no whole one: candidates are the current model then.
  int trajectory_length() const;
  /// Whether max_gradient_steps leaves no step for every candidate, and so no round.
  bool is_used_up() const;
  const Model& model() const { return state_.model; }
  /// The parameters to keep: the stable ones; under always_accept, which has none, the current ones.
  const nn::Parameters& stable() const;
  const Settings& settings() const { return settings_; }
  const Streams& streams() const { return streams_; }
  /// The candidates of the last round.
  const std::vector<Candidate>& candidates() const { return candidates_; }
  /// The growth of the last round, if there was one.
  const std::optional<GrowthStep>& growth() const { return growth_; }

  EvolutionState state() const;
  /// Goes on from there. Throws Error when the state does not fit the settings.
  void restore(EvolutionState state);
  void set_grower(Grower grower) { grower_ = std::move(grower); }

 private:
  void check_metric();
  AdaptOptions adapt_options() const;
  std::vector<nn::OptimizerState> states_after(const std::optional<GrowthStep>& growth) const;

  Settings settings_;
  Streams streams_;
  Explorer explorer_;
  Judge assess_judge_, adapt_judge_;
  Grower grower_;
  EvolutionState state_;
  std::vector<Candidate> candidates_;
  std::optional<GrowthStep> growth_;
};

}  // namespace ev3
