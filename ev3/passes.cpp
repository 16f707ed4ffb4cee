#include "ev3/passes.h"

#include <algorithm>
#include <memory>

#include "autodiff/tensor/error.h"
#include "autodiff/tensor/text.h"

namespace ev3 {

using autodiff::fail;

namespace {

// Equal but for the teacher.
bool same_kind(const nn::Loss& a, const nn::Loss& b) {
  const auto *x = std::get_if<nn::Distillation>(&a), *y = std::get_if<nn::Distillation>(&b);
  if (!x || !y) return false;
  nn::Distillation other = *y;
  other.teacher = x->teacher;
  return *x == other;
}

bool too_large(const PassOptions& options, const nn::Network& network, std::size_t parameters) {
  const auto* resnet = std::get_if<nn::ResNet>(&network);
  if (options.largest_blocks && resnet && resnet->blocks.front() > *options.largest_blocks) return true;
  return options.most_parameters && static_cast<std::int64_t>(parameters) > *options.most_parameters;
}

// The settings of one pass: its losses, its teachers and what it starts from.
Settings pass_settings(Settings settings, int pass, const std::vector<Archived>& teachers) {
  const auto first = static_cast<int>(settings.teachers.size());
  settings.losses = pass_losses(settings.losses, first, static_cast<int>(teachers.size()));
  for (const Archived& a : teachers) {
    settings.teachers.push_back(std::make_shared<nn::Teacher>(nn::Teacher{a.network, a.params}));
  }
  if (pass > 0) settings.seed = settings.seed.stream("pass").stream(static_cast<std::uint64_t>(pass));
  return settings;
}

}  // namespace

std::string describe(const Archived& archived) {
  return autodiff::text(nn::describe(archived.network), " of pass ", archived.pass + 1, ", round ",
                        archived.round + 1);
}

void check(const PassOptions& options, const std::vector<nn::Loss>& losses) {
  const auto at_least_1 = [](const char* name, const auto& value) {
    if (value && *value < 1) fail("passes: want ", name, " of at least 1, got ", *value);
  };
  at_least_1("count", std::optional(options.count));
  at_least_1("largest_blocks", options.largest_blocks);
  at_least_1("most_parameters", options.most_parameters);
  at_least_1("rounds", options.rounds);
  at_least_1("step_limit", options.step_limit);
  if (options.count == 1) return;
  if (!options.largest_blocks && !options.most_parameters && !options.rounds && !options.step_limit) {
    fail("passes: the first of ", options.count,
         " would never end; want one of largest_blocks, most_parameters, rounds, step_limit");
  }
  const bool distill = std::any_of(losses.begin(), losses.end(), [](const nn::Loss& loss) {
    return std::holds_alternative<nn::Distillation>(loss);
  });
  if (!distill) {
    fail(
        "passes: want a distillation loss, which later passes repeat with the archived networks as teachers");
  }
}

std::vector<nn::Loss> pass_losses(const std::vector<nn::Loss>& losses, int first, int archived) {
  std::vector<nn::Loss> out;
  for (auto loss = losses.begin(); loss != losses.end(); ++loss) {
    out.push_back(*loss);
    const auto* distillation = std::get_if<nn::Distillation>(&*loss);
    const bool last_of_kind =
        std::none_of(loss + 1, losses.end(), [&](const nn::Loss& later) { return same_kind(later, *loss); });
    if (!distillation || !last_of_kind) continue;
    for (int i = 0; i < archived; ++i) {
      nn::Distillation synergy = *distillation;
      synergy.teacher = first + i;
      out.push_back(synergy);
    }
  }
  return out;
}

Passes::Passes(Settings settings, std::optional<PassOptions> options, Streams streams)
    : settings_(std::move(settings)), options_(options), streams_(std::move(streams)) {
  if (options_) check(*options_, settings_.losses);
  if (options_ && options_->largest_blocks && !std::holds_alternative<nn::ResNet>(settings_.model)) {
    fail("passes: largest_blocks wants a residual network, got ", nn::describe(settings_.model));
  }
  begin({});
}

// Starts the pass of state_, where counts and streams are at those of `positions`.
void Passes::begin(EvolutionState positions) {
  evolution_.emplace(pass_settings(settings_, state_.pass, state_.teachers), streams_);
  EvolutionState start = evolution_->state();
  start.round = positions.round;
  start.gradient_steps = positions.gradient_steps;
  start.next_explore += positions.next_explore;
  start.next_assess += positions.next_assess;
  start.next_adapt += positions.next_adapt;
  if (state_.pass > 0 && options_->start == PassStart::smallest && !state_.archive.empty()) {
    const Archived& smallest = *std::min_element(
        state_.archive.begin(), state_.archive.end(),
        [](const Archived& a, const Archived& b) { return a.params.size() < b.params.size(); });
    start.model.network = smallest.network;
    start.model.params = start.model.stable = smallest.params;
  }
  evolution_->restore(std::move(start));
}

std::optional<StepRecord> Passes::try_step(Progress* progress) {
  if (state_.finished) fail("passes: there is nothing left to do");
  const Model before = options_ ? evolution_->model() : Model{};
  std::optional<StepRecord> record = evolution_->try_step(progress);
  if (!record) return {};
  record->pass = state_.pass;
  for (const Archived& teacher : state_.teachers) record->archived_teachers.push_back(describe(teacher));
  ++state_.round_in_pass;
  if (options_) archive_round(*record, before);
  if (options_ && !record->last && pass_ended(*record)) {
    if (state_.pass + 1 < options_->count) {
      ++state_.pass;
      state_.round_in_pass = 0;
      state_.teachers = state_.archive;
      begin(evolution_->state());
    }
    record->last = state_.pass == record->pass || evolution_->is_used_up();
  }
  state_.finished = record->last;
  return record;
}

// docs/algorithm.md, section 8: the network after the round, unless it has outgrown the pass.
void Passes::archive_round(const StepRecord& record, const Model& before) {
  const AdaptRecord& adapt = record.adapt;
  const auto best = static_cast<std::size_t>(adapt.best);
  Archived entry{.pass = state_.pass, .round = record.round, .score = adapt.bounds[best].mean};
  const Model& after = evolution_->model();
  const bool as_measured = options_->archive != ArchiveRule::reference;
  if (adapt.expanded && as_measured) {
    const auto selected = static_cast<std::size_t>(record.assess.selected);
    const nn::Parameters* const choices[] = {&evolution_->candidates()[selected].params, &before.params,
                                             &before.stable};
    entry.network = before.network;
    entry.params = *choices[best];
  } else {
    if (too_large(*options_, after.network, after.params.size())) return;
    entry.network = after.network;
    entry.params = after.params;
    entry.measured = !adapt.expanded;
  }
  const auto same_size = std::find_if(state_.archive.begin(), state_.archive.end(), [&](const Archived& a) {
    return a.params.size() == entry.params.size();
  });
  if (same_size == state_.archive.end()) {
    state_.archive.push_back(std::move(entry));
  } else if (same_size->score < entry.score) {
    *same_size = std::move(entry);
  }
}

bool Passes::pass_ended(const StepRecord& record) const {
  const Model& model = evolution_->model();
  const std::int64_t steps = std::int64_t{record.round + 1} * settings_.explore.trajectory_length;
  return too_large(*options_, model.network, model.params.size()) ||
         (options_->rounds && state_.round_in_pass >= *options_->rounds) ||
         (options_->step_limit && steps >= *options_->step_limit);
}

Passes::Kept Passes::kept() const {
  if (state_.archive.empty()) return {&evolution_->model().network, &evolution_->stable(), nullptr};
  const Archived& best = *std::max_element(state_.archive.begin(), state_.archive.end(),
                                           [](const Archived& a, const Archived& b) {
                                             return a.measured != b.measured ? b.measured : a.score < b.score;
                                           });
  return {&best.network, &best.params, &best};
}

PassesState Passes::state() const {
  PassesState state = state_;
  state.evolution = evolution_->state();
  return state;
}

void Passes::restore(PassesState state) {
  const int passes = options_ ? options_->count : 1;
  if (state.pass < 0 || state.pass >= passes) {
    fail("restore: want a pass below ", passes, ", got ", state.pass);
  }
  EvolutionState evolution = std::move(state.evolution);
  evolution_.emplace(pass_settings(settings_, state.pass, state.teachers), streams_);
  evolution_->restore(std::move(evolution));
  state_ = std::move(state);
}

}  // namespace ev3
