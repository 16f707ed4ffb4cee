// ev3 run: one experiment from its config to its model.
#include <fmt/core.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <memory>
#include <optional>

#include "autodiff/kernels/backend.h"
#include "autodiff/kernels/parallel.h"
#include "autodiff/tensor/error.h"
#include "autodiff/tensor/file.h"
#include "autodiff/tensor/text.h"
#include "ev3/cli/checkpoint.h"
#include "ev3/cli/commands.h"
#include "ev3/cli/config.h"
#include "ev3/cli/config_build.h"
#include "ev3/cli/interrupt.h"
#include "ev3/cli/progress.h"
#include "ev3/cli/recording.h"
#include "ev3/cli/run_folder.h"
#include "ev3/cli/run_report.h"
#include "ev3/outputs.h"

namespace ev3::cli {
namespace {

using autodiff::fail;
namespace fs = std::filesystem;

struct RunOptions {
  std::string config, out, resume, backends, bundle, iterations = "0..2";
  std::vector<std::string> overrides;
  std::optional<std::int64_t> seed, rounds;
  std::optional<int> threads;
  bool dry_run = false, quiet = false;
};

// A run in its folder, from where it stands to its last round.
class Run {
 public:
  Run(Experiment experiment, ExperimentData data, const RunOptions& options)
      : experiment_(std::move(experiment)),
        data_(std::move(data)),
        settings_(settings(experiment_, data_)),
        passes_(settings_, experiment_.passes, data_.streams),
        quiet_(options.quiet),
        color_(::isatty(STDOUT_FILENO) && !std::getenv("NO_COLOR")) {
    if (!options.bundle.empty()) recording_.emplace(options.bundle, options.iterations);
  }

  void start(const fs::path& path, const std::string& environment_text);
  void resume(RunFolder folder, const Checkpoint& checkpoint, const std::string& environment_text);

 private:
  void rounds();
  void one_round(Progress& progress, ProgressBar& bar);
  void write_archive() const;
  RoundTime lap();
  void finish();
  bool finished() const { return round() >= experiment_.rounds || passes_.finished(); }
  int round() const { return passes_.evolution().round(); }
  Checkpoint checkpoint() const { return {passes_.state(), identity(experiment_), data_.hash}; }
  int kept_since() const;
  nn::ModelFile model_file() const;
  nn::ModelFile model_file(const nn::Network& network, const nn::Parameters& params, int since) const;
  nn::Evaluation test_kept();
  std::string resume_command() const { return "ev3 run --resume " + folder_->path().string(); }

  Experiment experiment_;
  ExperimentData data_;
  Settings settings_;
  Passes passes_;
  bool quiet_, color_;
  std::optional<RunFolder> folder_;
  std::vector<Round> done_;
  std::optional<std::pair<int, nn::Evaluation>> tested_;  // the parameters kept since that round
  std::chrono::steady_clock::time_point lap_;             // the end of the round before
  std::optional<Recording> recording_;
};

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
  const bool same = passes_.kept().archived ? true : !changes_model(done_.back().record);
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

Experiment asked_for(const RunOptions& options, const std::string& fallback, const std::string& where) {
  std::vector<std::string> overrides = options.overrides;
  if (options.seed) overrides.push_back("seed=" + std::to_string(*options.seed));
  if (options.rounds) overrides.push_back("rounds=" + std::to_string(*options.rounds));
  if (!options.config.empty()) return read_experiment(options.config, overrides);
  return parse_experiment(fallback, where, overrides);
}

void run_new(const RunOptions& options) {
  const Experiment experiment = asked_for(options, digits_toml, "the digits experiment");
  const fs::path path = options.out.empty() ? RunFolder::next_free() : fs::path(options.out);
  if (!options.dry_run) RunFolder::want_free(path);
  ExperimentData data = load_data(experiment);
  if (options.dry_run) {
    fmt::print("{}", dry_run(experiment, data, settings(experiment, data)));
    return;
  }
  Run(experiment, std::move(data), options).start(path, environment());
}

void run_resumed(const RunOptions& options) {
  RunFolder folder = RunFolder::open(options.resume);
  const std::string config = autodiff::read_file(folder.config()), where = folder.config().string();
  const Experiment there = parse_experiment(config, where), here = asked_for(options, config, where);
  if (const std::string what = difference(there, here); !what.empty()) {
    fail("--resume ", options.resume, ": this is another experiment: ", what,
         "; begin a new run for it, or leave out what differs");
  }
  const Newest newest = read_newest(folder.checkpoints());
  const Checkpoint& from = newest.checkpoint;
  if (from.experiment != identity(there)) {
    fail(where, ": has been changed since the run began; put it back as it was, or begin a new run with it");
  }
  if (here.rounds < from.passes.evolution.round) {
    fail("--resume ", options.resume, ": want at least ", from.passes.evolution.round,
         " rounds, as many are done; got ", here.rounds);
  }
  ExperimentData data = load_data(here);
  if (data.hash != from.data) {
    fail("--resume ", options.resume, ": the data are others than those the run began with (",
         here.data.path.empty() ? data.name : here.data.path, ")");
  }
  if (!newest.warning.empty()) {
    fmt::print(stderr, "ev3 run: warning: {}; going on from the checkpoint of round {}\n", newest.warning,
               from.passes.evolution.round);
  }
  Run(here, std::move(data), options).resume(std::move(folder), from, environment());
}

void run(const RunOptions& options) {
  namespace kernels = autodiff::kernels;
  ignore_file_size_signal();
  if (!options.backends.empty()) kernels::set_default_backends(kernels::parse_backends(options.backends));
  if (options.threads) kernels::set_threads(*options.threads);
  options.resume.empty() ? run_new(options) : run_resumed(options);
}

constexpr const char* examples =
    "Examples:\n"
    "  ev3 run                                           EV3 on handwritten digits\n"
    "  ev3 run --set explore.trajectory_length=50 --seed 3\n"
    "  ev3 run configs/mnist.toml --set data.path=mnist  an experiment from a file, with MNIST's four files "
    "in mnist/\n"
    "  ev3 run --resume runs/2026-11-23-1                go on after an interruption\n"
    "  ev3 run configs/mnist.toml --dry-run              what would be computed, and what it costs";

}  // namespace

void add_run(CLI::App& app) {
  CLI::App* command = app.add_subcommand("run", "Train and grow a network by explore, assess and adapt");
  auto o = std::make_shared<RunOptions>();
  command->add_option("CONFIG", o->config, "experiment (TOML); without it: the handwritten digits")
      ->type_name("FILE");
  command
      ->add_option("--set", o->overrides,
                   "change a value of the config; lists by index: optimizer.0.learning_rate=0.1")
      ->type_name("KEY=VALUE")
      ->allow_extra_args(false);
  CLI::Option* out =
      command->add_option("--out", o->out, "folder of the run, new or empty (default runs/DATE-N)")
          ->type_name("DIR");
  command->add_option("--resume", o->resume, "go on with the run in this folder")
      ->type_name("DIR")
      ->excludes(out);
  command->add_option("--seed", o->seed, "same as --set seed=S")->type_name("S");
  command->add_option("--rounds", o->rounds, "same as --set rounds=N; with --resume: more of them")
      ->type_name("N");
  command->add_option("--threads", o->threads, "threads (default: all); results do not depend on it")
      ->type_name("N")
      ->check(CLI::Range(1, 1024));
  command->add_option("--backends", o->backends, "kernels to use, best first: portable, or simd,portable")
      ->type_name("LIST");
  CLI::Option* bundle =
      command->add_option("--record-bundle", o->bundle, "record some rounds into this folder, for ev3 replay")
          ->type_name("DIR");
  command->add_option("--iterations", o->iterations, "which: FIRST..LAST, counted from 0 (default 0..2)")
      ->type_name("I..J")
      ->needs(bundle);
  command->add_flag("--dry-run", o->dry_run, "print the experiment and its costs; write nothing");
  command->add_flag("--quiet", o->quiet, "print the result only");
  command->footer(examples);
  command->callback([o] { run(*o); });
}

}  // namespace ev3::cli
