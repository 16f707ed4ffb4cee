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
        evolution_(settings_, data_.streams),
        quiet_(options.quiet),
        color_(::isatty(STDOUT_FILENO) && !std::getenv("NO_COLOR")) {
    if (!options.bundle.empty()) recording_.emplace(options.bundle, options.iterations);
  }

  void start(const fs::path& path, const std::string& environment_text);
  void resume(RunFolder folder, const Checkpoint& checkpoint, const std::string& environment_text);

 private:
  void rounds();
  void one_round(Progress& progress, ProgressBar& bar);
  RoundTime lap();
  void finish();
  Checkpoint checkpoint() const { return {evolution_.state(), identity(experiment_), data_.hash}; }
  nn::ModelFile model_file() const;
  std::string resume_command() const { return "ev3 run --resume " + folder_->path().string(); }

  Experiment experiment_;
  ExperimentData data_;
  Settings settings_;
  Evolution evolution_;
  bool quiet_, color_;
  std::optional<RunFolder> folder_;
  std::vector<Round> done_;
  std::chrono::steady_clock::time_point lap_;  // the end of the round before
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
  evolution_.restore(from.state);
  folder_.emplace(std::move(folder));
  done_ = folder_->cut_back(from.state.round);
  if (!quiet_) fmt::print("{}", header(experiment_, data_, settings_));
  if (evolution_.round() >= experiment_.rounds) {
    fmt::print("finished already, after {} rounds; to go on: {} --rounds {}\n", evolution_.round(),
               resume_command(), 2 * evolution_.round());
    return finish();
  }
  if (!quiet_) fmt::print("going on after round {} of {}\n", evolution_.round(), experiment_.rounds);
  autodiff::write_file(folder_->config(), to_toml(experiment_));
  folder_->append_environment(environment_text);
  rounds();
}

nn::ModelFile Run::model_file() const {
  nn::ModelFile file{evolution_.model().network,
                     evolution_.stable(),
                     {{"format", "ev3-model-1"},
                      {"experiment", autodiff::hex(identity(experiment_))},
                      {"data", autodiff::hex(data_.hash)},
                      {"round", std::to_string(stable_since(done_))}}};
  if (data_.test.is_bytes()) file.metadata["scale"] = datasets::to_text(data_.test.scaling);
  return file;
}

void Run::rounds() {
  Progress progress;
  const Interrupt interrupt(progress.stop);
  if (!quiet_) fmt::print("{}", column_line());
  lap_ = std::chrono::steady_clock::now();
  try {
    ProgressBar bar(progress, ProgressBar::style(quiet_), experiment_.rounds);
    while (evolution_.round() < experiment_.rounds && !progress.stop) one_round(progress, bar);
  } catch (const autodiff::Error& error) {
    fail(error.what(), "; what is in ", folder_->path().string(), " is safe, go on with: ", resume_command());
  }
  if (evolution_.round() < experiment_.rounds) {
    std::fflush(stdout);
    fmt::print(stderr,
               "ev3 run: interrupted in round {} of {}; what came before it is safe, go on with: {}\n",
               evolution_.round() + 1, experiment_.rounds, resume_command());
    throw CLI::RuntimeError(interrupted);
  }
  finish();
}

void Run::one_round(Progress& progress, ProgressBar& bar) {
  const std::string stable = done_.empty() ? "" : "stable test " + short_number(done_.back().test.accuracy());
  const Explorer explorer(settings_.losses, settings_.optimizers, settings_.explore);
  const std::int64_t length = explorer.trajectory_length(evolution_.model());
  bar.begin(evolution_.round() + 1, length * explorer.candidates(), stable);
  if (recording_) recording_->before(evolution_);
  const nn::Network network = evolution_.model().network;
  std::optional<StepRecord> record = evolution_.try_step(&progress);
  bar.end();
  if (!record) return;
  if (recording_) recording_->after(evolution_, *record);
  done_.push_back({std::move(*record),
                   evaluate_on(evolution_.model().network, evolution_.stable(), data_.test), network});
  const Round& round = done_.back();
  folder_->append(round, lap());
  if (changes_model(round.record)) folder_->write_model(model_file());
  write_checkpoint(folder_->checkpoints(), checkpoint());
  if (!quiet_) {
    fmt::print("{}", round_line(round, settings_, color_));
    std::fflush(stdout);
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
  fmt::print("{}", summary(done_, folder_->path().string()));
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
  if (here.rounds < from.state.round) {
    fail("--resume ", options.resume, ": want at least ", from.state.round, " rounds, as many are done; got ",
         here.rounds);
  }
  ExperimentData data = load_data(here);
  if (data.hash != from.data) {
    fail("--resume ", options.resume, ": the data are others than those the run began with (",
         here.data.path.empty() ? data.name : here.data.path, ")");
  }
  if (!newest.warning.empty()) {
    fmt::print(stderr, "ev3 run: warning: {}; going on from the checkpoint of round {}\n", newest.warning,
               from.state.round);
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
