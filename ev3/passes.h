// Passes: evolutions one after the other, with an archive of the best network of each size.
//
// From the second pass on every archived network is a teacher of its own ("synergy"; docs/algorithm.md,
// section 8).
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "ev3/evolution.h"

namespace ev3 {

/// What later passes start from: a fresh network of the settings, or the smallest one in the archive.
enum class PassStart { fresh, smallest };

/// What enters the archive after a round that grew.
enum class ArchiveRule {
  measured,  ///< what adapt measured: the smaller network with its own parameters
  /// The larger network, which nobody has measured yet, with the smaller one's figure, as in the reference.
  /// It stays until that figure is beaten.
  reference,
};

struct PassOptions {
  int count = 1;
  PassStart start = PassStart::fresh;
  std::optional<ArchiveRule> archive = {};  ///< none: measured
  // A pass ends after a round in which one of these comes true; none of them: never.
  std::optional<int> largest_blocks = {};            ///< residual networks: the first stage has more blocks
  std::optional<std::int64_t> most_parameters = {};  ///< the network has more parameters
  std::optional<int> rounds = {};                    ///< the pass has had so many rounds
  /// So many gradient steps of one candidate (not of all), counted over all passes, as in the reference: once
  /// it is reached each further pass has one round.
  std::optional<std::int64_t> step_limit = {};
};

/// A network in the archive, which holds one of each number of parameters.
struct Archived {
  nn::Network network = nn::Mlp{};
  nn::Parameters params = {};
  int pass = 0, round = 0;  ///< when it came in, from 0
  double score = 0;         ///< adapt's mean of the metric
  bool measured = true;     ///< false: the score is that of the smaller network that it grew from
};

/// "resnet 16x1-1-1 of pass 1, round 12"
std::string describe(const Archived& archived);

/// Throws Error for a count or limit below 1, an end that cannot come (more than one pass, and no limit), or
/// losses without distillation where there is more than one pass.
void check(const PassOptions& options, const std::vector<nn::Loss>& losses);

/// The losses of a pass in which `archived` networks teach: after the last distillation loss of each kind
/// (temperature, divergence, scale, hard_weight) follows one like it for each of them; they are teachers
/// first, first + 1 ...
std::vector<nn::Loss> pass_losses(const std::vector<nn::Loss>& losses, int first, int archived);

/// Everything that passes need to go on exactly: a value.
struct PassesState {
  EvolutionState evolution = {};
  int pass = 0, round_in_pass = 0;
  bool finished = false;
  std::vector<Archived> archive = {}, teachers = {};  ///< teachers: the archive as it was when the pass began
};

/// Without options: one evolution without an end, and no archive.
class Passes {
 public:
  /// Throws Error as Evolution does, and for options that do not fit the losses.
  Passes(Settings settings, std::optional<PassOptions> options, Streams streams);

  /// One round. At the end of a pass the next one begins with it: the streams run on, optimizers start anew,
  /// one assess and one adapt batch are drawn where consume_check_batches says so.
  StepRecord step() { return *try_step(nullptr); }
  /// The same with a look inside; nothing when it was stopped, and then nothing has changed.
  std::optional<StepRecord> try_step(Progress* progress);

  /// True when the last pass has ended, or the gradient steps are used up.
  bool finished() const { return state_.finished; }
  int pass() const { return state_.pass; }
  /// Of this pass.
  const Evolution& evolution() const { return *evolution_; }
  const std::vector<Archived>& archive() const { return state_.archive; }

  /// The parameters to keep: the archived ones with the best score, ties to the first; of those that were
  /// measured, where there are such. Without an archive those of the evolution.
  struct Kept {
    const nn::Network* network;
    const nn::Parameters* params;
    const Archived* archived;  ///< null where it is the evolution's
  };
  Kept kept() const;

  PassesState state() const;
  /// Goes on from there. Throws Error when the state does not fit the settings.
  void restore(PassesState state);

 private:
  void begin(EvolutionState positions);
  void archive_round(const StepRecord& record, const Model& before);
  bool pass_ended(const StepRecord& record) const;

  Settings settings_;
  std::optional<PassOptions> options_;
  Streams streams_;
  PassesState state_;  // its evolution's part lies in evolution_
  std::optional<Evolution> evolution_;
};

}  // namespace ev3
