// ev3 run: one experiment from its config to its model.
#include <fmt/core.h>

#include <memory>
#include <optional>

#include "autodiff/kernels/backend.h"
#include "autodiff/kernels/parallel.h"
#include "autodiff/tensor/error.h"
#include "autodiff/tensor/file.h"
#include "ev3/cli/commands.h"
#include "ev3/cli/config.h"
#include "ev3/cli/device_option.h"
#include "ev3/cli/interrupt.h"
#include "ev3/cli/run_loop.h"
#include "ev3/cli/run_report.h"

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
  DeviceArguments device;
};

Run::Options loop_options(const RunOptions& options) {
  return {.bundle = options.bundle, .iterations = options.iterations, .quiet = options.quiet};
}

Experiment asked_for(const RunOptions& options, const std::string& fallback, const std::string& where) {
  std::vector<std::string> overrides = options.overrides;
  if (options.seed) overrides.push_back("seed=" + std::to_string(*options.seed));
  if (options.rounds) overrides.push_back("rounds=" + std::to_string(*options.rounds));
  if (!options.config.empty()) return read_experiment(options.config, overrides);
  return parse_experiment(fallback, where, overrides);
}

// What `auto` means depends on the size of a step.
void choose_device(const RunOptions& options, const Experiment& experiment, const ExperimentData& data) {
  if (options.device.device != "auto") return;
  const Settings s = settings(experiment, data);
  const nn::LossGradient step(s.model, s.losses.front(), experiment.data.batch, {.teachers = s.teachers});
  use_device(options.device, options.quiet, step.program().flops());
}

void run_new(const RunOptions& options) {
  const Experiment experiment = asked_for(options, digits_toml, "the digits experiment");
  const fs::path path = options.out.empty() ? RunFolder::next_free() : fs::path(options.out);
  if (!options.dry_run) RunFolder::want_free(path);
  ExperimentData data = load_data(experiment);
  choose_device(options, experiment, data);
  if (options.dry_run) {
    fmt::print("{}", dry_run(experiment, data, settings(experiment, data)));
    return;
  }
  Run(experiment, std::move(data), loop_options(options)).start(path, environment());
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
  choose_device(options, here, data);
  if (!newest.warning.empty()) {
    fmt::print(stderr, "ev3 run: warning: {}; going on from the checkpoint of round {}\n", newest.warning,
               from.passes.evolution.round);
  }
  Run(here, std::move(data), loop_options(options)).resume(std::move(folder), from, environment());
}

void run(const RunOptions& options) {
  namespace kernels = autodiff::kernels;
  ignore_file_size_signal();
  if (!options.backends.empty()) kernels::set_default_backends(kernels::parse_backends(options.backends));
  if (options.threads) kernels::set_threads(*options.threads);
  if (options.device.device != "auto") use_device(options.device, options.quiet);
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
  add_device(*command, o->device);
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
