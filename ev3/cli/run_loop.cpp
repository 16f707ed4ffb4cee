#include "ev3/cli/run_loop.h"

#include <fmt/core.h>
#include <unistd.h>

#include <cstdlib>

#include "autodiff/tensor/error.h"
#include "autodiff/tensor/file.h"
#include "autodiff/tensor/text.h"
#include "ev3/cli/commands.h"
#include "ev3/cli/interrupt.h"
#include "ev3/cli/run_report.h"
#include "ev3/outputs.h"

namespace ev3::cli {

using autodiff::fail;
namespace fs = std::filesystem;

Run::Run(Experiment experiment, ExperimentData data, const Options& options)
    : experiment_(std::move(experiment)),
      data_(std::move(data)),
      settings_(settings(experiment_, data_)),
      passes_(settings_, experiment_.passes, data_.streams),
      quiet_(options.quiet),
      color_(::isatty(STDOUT_FILENO) && !std::getenv("NO_COLOR")) {
  if (!options.bundle.empty()) recording_.emplace(options.bundle, options.iterations);
}

void Run::start(const fs::path& path, const std::string& environment_text) {
  folder_.emplace(RunFolder::create(path, {.config = to_toml(experiment_),
                                           .checkpoint = to_bytes(checkpoint()),
                                           .environment = environment_text,
                                           .model = model_file()}));
  if (!quiet_) fmt::print("{}", header(experiment_, data_, settings_));
  rounds();
}

void Run::resume(RunFolder folder, const Checkpoint& from, const std::string& environment_text) {
  passes_.restore(from.passes);
  folder_.emplace(std::move(folder));
  done_ = folder_->cut_back(round());
  if (!quiet_) fmt::print("{}", header(experiment_, data_, settings_));
  if (finished()) {
    fmt::print("finished already, after {} rounds", round());
    if (!passes_.finished()) fmt::print("; to go on: {} --rounds {}", resume_command(), 2 * round());
    fmt::print("\n");
    return finish();
  }
  if (!quiet_) fmt::print("going on after round {} of {}\n", round(), experiment_.rounds);
  autodiff::write_file(folder_->config(), to_toml(experiment_));
  folder_->append_environment(environment_text);
  rounds();
}

// The round after which the parameters to keep are what they are now; 0: the initial ones.
int Run::kept_since() const {
  const Archived* archived = passes_.kept().archived;
  return archived ? archived->round + 1 : stable_since(done_);
}

nn::ModelFile Run::model_file() const {
  const Passes::Kept kept = passes_.kept();
  return model_file(*kept.network, *kept.params, kept_since());
}

nn::ModelFile Run::model_file(const nn::Network& network, const nn::Parameters& params, int since) const {
  nn::ModelFile file{network,
                     params,
                     {{"format", "ev3-model-1"},
                      {"experiment", autodiff::hex(identity(experiment_))},
                      {"data", autodiff::hex(data_.hash)},
                      {"round", std::to_string(since)}}};
  if (data_.test.is_bytes()) file.metadata["scale"] = datasets::to_text(data_.test.scaling);
  return file;
}

// After done_ has got its round.
nn::Evaluation Run::test_kept() {
  const bool same = passes_.kept().archived || !changes_model(done_.back().record);
  if (!tested_ || !same || tested_->first != kept_since()) {
    const Passes::Kept kept = passes_.kept();
    tested_ = {kept_since(), evaluate_on(*kept.network, *kept.params, data_.test)};
  }
  return tested_->second;
}

void Run::rounds() {
  Progress progress;
  const Interrupt interrupt(progress.stop);
  if (!quiet_) fmt::print("{}", column_line());
  lap_ = std::chrono::steady_clock::now();
  try {
    ProgressBar bar(progress, ProgressBar::style(quiet_), experiment_.rounds);
    while (!finished() && !progress.stop) one_round(progress, bar);
  } catch (const autodiff::Error& error) {
    fail(error.what(), "; what is in ", folder_->path().string(), " is safe, go on with: ", resume_command());
  }
  if (!finished()) {
    std::fflush(stdout);
    fmt::print(stderr,
               "ev3 run: interrupted in round {} of {}; what came before it is safe, go on with: {}\n",
               round() + 1, experiment_.rounds, resume_command());
    throw CLI::RuntimeError(interrupted);
  }
  finish();
}

void Run::one_round(Progress& progress, ProgressBar& bar) {
  const std::string stable = done_.empty() ? "" : "stable test " + short_number(done_.back().test.accuracy());
  const Evolution& evolution = passes_.evolution();
  const Settings& now = evolution.settings();
  const std::size_t candidates = now.losses.size() * now.optimizers.size();
  bar.begin(round() + 1, evolution.trajectory_length() * static_cast<std::int64_t>(candidates), stable);
  if (recording_) recording_->before(evolution);
  const nn::Network network = evolution.model().network;
  std::optional<StepRecord> record = passes_.try_step(&progress);
  bar.end();
  if (!record) return;
  const bool pass_ended = passes_.pass() != record->pass || passes_.finished();
  if (recording_ && recording_->active() && passes_.pass() != record->pass) {
    fail("--record-bundle: pass ", record->pass + 1, " ended with iteration ", record->round,
         ", and a recording cannot go on into the next pass; want --iterations of one pass");
  }
  if (recording_) recording_->after(evolution, *record);
  done_.push_back({.record = std::move(*record), .test = {}, .network = network});
  Round& done = done_.back();
  done.test = test_kept();
  folder_->append(done, lap());
  if (kept_since() == round() || changes_model(done.record)) folder_->write_model(model_file());
  if (pass_ended) write_archive();
  write_checkpoint(folder_->checkpoints(), checkpoint());
  if (quiet_) return;
  fmt::print("{}", round_line(done, settings_, color_));
  if (pass_ended) fmt::print("{}", pass_lines(done.record.pass, passes_));
  std::fflush(stdout);
}

void Run::write_archive() const {
  for (const Archived& a : passes_.archive()) {
    folder_->write_archived(model_file(a.network, a.params, a.round + 1));
  }
}

// Seconds since the last lap: so what is written after a round belongs to the next one, and nothing is lost.
RoundTime Run::lap() {
  using Seconds = std::chrono::duration<double>;
  const auto before = std::exchange(lap_, std::chrono::steady_clock::now());
  return {.end = Seconds(std::chrono::system_clock::now().time_since_epoch()).count(),
          .seconds = Seconds(lap_ - before).count()};
}

void Run::finish() {
  folder_->write_model(model_file());
  write_archive();
  fmt::print("{}", summary(done_, folder_->path().string(), passes_));
  if (recording_) fmt::print("{}\n", recording_->summary());
}

}  // namespace ev3::cli
