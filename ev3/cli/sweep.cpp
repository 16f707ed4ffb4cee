// ev3 sweep: a run for every combination of settings, several at a time, each a process and a folder of its
// own.
#include <fmt/core.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <deque>
#include <filesystem>
#include <memory>
#include <thread>

#include "autodiff/kernels/parallel.h"
#include "autodiff/tensor/error.h"
#include "autodiff/tensor/file.h"
#include "ev3/cli/checkpoint.h"
#include "ev3/cli/child_process.h"
#include "ev3/cli/commands.h"
#include "ev3/cli/device_option.h"
#include "ev3/cli/interrupt.h"
#include "ev3/cli/report_table.h"
#include "ev3/cli/run_folder.h"
#include "ev3/cli/run_records.h"
#include "ev3/cli/run_report.h"
#include "ev3/cli/sweep_plan.h"

namespace ev3::cli {
namespace {

using autodiff::fail;
namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

struct SweepArguments {
  SweepRequest request;
  std::string out;
  int jobs = 0;  // 0: as many as there are cores
  bool quiet = false;
  DeviceArguments device;
};

// A process that was told to stop, or whose parent died, may still be at its last step.
constexpr std::chrono::milliseconds patience(20000), pause(10);

// Unless it holds this sweep, or nothing.
void check_folder(const fs::path& folder, const std::string& definition) {
  const fs::path file = folder / "sweep.toml";
  if (!fs::exists(folder)) return;
  if (!fs::is_directory(folder))
    fail("--out ", folder.string(), ": want a folder, there is a file of that name");
  if (fs::exists(file)) {
    const std::string what = definition_difference(autodiff::read_file(file), definition);
    if (what.empty()) return;
    fail("--out ", folder.string(), ": another sweep is in it: ", what, "; name another folder");
  }
  for (const auto& entry : fs::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    if (name == "lock" || name == "sweep.toml.tmp") continue;  // of a sweep that was killed at once
    fail("--out ", folder.string(), ": there is something in it, but no sweep; name another folder");
  }
}

bool in_use(const fs::path& folder) {
  if (!fs::exists(folder / "lock")) return false;
  try {
    const FolderLock lock(folder);
    return false;
  } catch (const autodiff::Error&) {
    return true;
  }
}

class Sweep {
 public:
  Sweep(const SweepPlan& plan, fs::path folder, const SweepArguments& arguments)
      : plan_(plan),
        folder_(std::move(folder)),
        jobs_(arguments.jobs ? arguments.jobs : autodiff::kernels::threads()),
        device_(arguments.device),
        quiet_(arguments.quiet) {}

  void run();

 private:
  struct Job {
    const SweepRun* run;
    ChildProcess process;
    Clock::time_point start;
  };
  struct Failure {
    std::string name, message;
  };

  fs::path path(const SweepRun& run) const { return folder_ / run.name; }
  bool finished(const SweepRun& run) const;
  void sort_out();
  void start(const SweepRun& run);
  void collect();
  void end(const Job& job, int code);
  std::string table();

  const SweepPlan& plan_;
  fs::path folder_;
  int jobs_, threads_ = 1;
  DeviceArguments device_;
  bool quiet_;
  std::size_t done_ = 0;
  std::deque<const SweepRun*> waiting_;
  std::vector<Job> running_;
  std::vector<Failure> failures_;
  std::atomic<bool> stop_{false};
};

// Whether there is nothing left to do: the last checkpoint counts, because all files are written before it.
// Throws Error for a folder that holds something else.
bool Sweep::finished(const SweepRun& run) const {
  const fs::path config = path(run) / "config.toml";
  if (!fs::exists(config)) return false;
  const Experiment there = parse_experiment(autodiff::read_file(config), config.string());
  if (to_toml(there) != to_toml(run.experiment)) {
    fail(config.string(), ": not the config of this run; remove the folder, and the run is made anew");
  }
  const PassesState there_now = read_newest(path(run) / "checkpoints").checkpoint.passes;
  return there_now.finished || there_now.evolution.round >= run.experiment.rounds;
}

void Sweep::sort_out() {
  for (const SweepRun& run : plan_.runs) {
    try {
      finished(run) ? static_cast<void>(++done_) : waiting_.push_back(&run);
    } catch (const std::exception& error) {
      failures_.push_back({run.name, error.what()});
    }
  }
  jobs_ = std::clamp(jobs_, 1, std::max(1, static_cast<int>(waiting_.size())));
  threads_ = std::max(1, autodiff::kernels::threads() / jobs_);
  if (quiet_) return;
  fmt::print("{} run{}{}, {} at a time with {} thread{} each, in {}\n", plan_.runs.size(),
             plan_.runs.size() == 1 ? "" : "s", done_ ? fmt::format(" ({} finished already)", done_) : "",
             jobs_, threads_, threads_ == 1 ? "" : "s", folder_.string());
  std::fflush(stdout);
}

void Sweep::start(const SweepRun& run) {
  const fs::path folder = path(run), starting = folder.string() + ".starting";
  const Clock::time_point until = Clock::now() + patience;
  while (!stop_ && Clock::now() < until && (in_use(folder) || in_use(starting)))
    std::this_thread::sleep_for(pause);
  if (stop_) return;
  std::vector<std::string> arguments{"run",      "--quiet",      "--threads",   std::to_string(threads_),
                                     "--device", device_.device, "--precision", device_.precision};
  // The config comes as standard input: that file of the user's may change while the sweep runs.
  const bool there = is_run_folder(folder);
  if (!there) arguments.emplace_back("/dev/stdin");
  arguments.insert(arguments.end(), {there ? "--resume" : "--out", folder.string()});
  running_.push_back({&run, ChildProcess(arguments, to_toml(run.experiment)), Clock::now()});
}

// Looks after those that run; those that have ended make room.
void Sweep::collect() {
  std::vector<Job> still;
  for (Job& job : running_) {
    if (const std::optional<int> code = job.process.poll()) {
      end(job, *code);
    } else {
      still.push_back(std::move(job));
    }
  }
  running_ = std::move(still);
}

void Sweep::end(const Job& job, int code) {
  const std::string& name = job.run->name;
  if (code != ok && stop_) return;  // it was asked to stop; what it has done is safe
  if (code != ok) {
    std::string message = job.process.errors();
    message.erase(message.find_last_not_of('\n') + 1);
    const std::string last = message.substr(message.rfind('\n') + 1);
    const std::string how =
        code < 0 ? fmt::format("ended by signal {}", -code) : fmt::format("exit code {}", code);
    failures_.push_back({name, last.starts_with("ev3 run: ") ? last.substr(9) : last.empty() ? how : last});
    if (!quiet_) fmt::print("failed  {}\n", name);
  } else {
    ++done_;
    const std::chrono::duration<double> seconds = Clock::now() - job.start;
    const double accuracy = read_run(path(*job.run)).rounds.back().test.accuracy();
    if (!quiet_) {
      fmt::print("{:>{}}/{}  {}  test {}  {}\n", done_, std::to_string(plan_.runs.size()).size(),
                 plan_.runs.size(), name, short_number(accuracy), seconds_text(seconds.count()));
    }
  }
  std::fflush(stdout);
}

// The table of all runs that can be read.
std::string Sweep::table() {
  std::vector<RunRecords> runs;
  for (const SweepRun& run : plan_.runs) {
    const auto failed = [&](const Failure& f) { return f.name == run.name; };
    if (!is_run_folder(path(run))) continue;
    try {
      runs.push_back(read_run(path(run)));
    } catch (const autodiff::Error& error) {
      if (std::none_of(failures_.begin(), failures_.end(), failed))
        failures_.push_back({run.name, error.what()});
    }
  }
  return runs.empty() ? "" : as_text(groups_table(make_study(std::move(runs), "")));
}

void Sweep::run() {
  const Interrupt interrupt(stop_);
  sort_out();
  while (!stop_ && (!waiting_.empty() || !running_.empty())) {
    while (!stop_ && !waiting_.empty() && static_cast<int>(running_.size()) < jobs_) {
      const SweepRun* next = waiting_.front();
      waiting_.pop_front();
      start(*next);
    }
    std::this_thread::sleep_for(pause);
    collect();
  }
  for (Job& job : running_) job.process.stop();
  while (!running_.empty()) {
    std::this_thread::sleep_for(pause);
    collect();
  }
  if (stop_) {
    fmt::print(stderr,
               "ev3 sweep: interrupted with {} of {} runs finished; the same command goes on with the rest\n",
               done_, plan_.runs.size());
    throw CLI::RuntimeError(interrupted);
  }
  fmt::print("{}{}", quiet_ ? "" : "\n", table());
  if (failures_.empty()) return;
  std::fflush(stdout);
  for (const Failure& f : failures_) fmt::print(stderr, "ev3 sweep: {}: {}\n", f.name, f.message);
  fmt::print(stderr, "ev3 sweep: {} of {} runs failed; the same command tries them again\n", failures_.size(),
             plan_.runs.size());
  throw CLI::RuntimeError(unusable);
}

void sweep(const SweepArguments& arguments) {
  use_device(arguments.device, true);  // says now what would fail in every run
  const SweepPlan plan = make_plan(arguments.request);
  const std::string& config = arguments.request.config;
  const std::string name = config.empty() ? "digits" : fs::path(config).stem().string();
  const fs::path folder =
      arguments.out.empty() ? fs::path("runs") / ("sweep-" + name) : fs::path(arguments.out);
  check_folder(folder, plan.definition);
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) fail("cannot make the folder ", folder.string(), ": ", error.message());
  const FolderLock lock(folder);
  check_folder(folder, plan.definition);  // another process may have been faster
  if (!fs::exists(folder / "sweep.toml")) autodiff::write_file(folder / "sweep.toml", plan.definition);
  Sweep(plan, folder, arguments).run();
}

}  // namespace

void add_sweep(CLI::App& app) {
  CLI::App* command = app.add_subcommand(
      "sweep", "Run an experiment for every combination of settings and seeds; can be interrupted.");
  const auto a = std::make_shared<SweepArguments>();
  command->add_option("CONFIG", a->request.config, "experiment (TOML); without it: the handwritten digits")
      ->type_name("FILE");
  command->add_option("--grid", a->request.grid, "a key and its values; several make all combinations")
      ->type_name("KEY=A,B,...")
      ->allow_extra_args(false);
  command->add_option("--seeds", a->request.seeds, "1..5 or 1,4,9 (default: the seed of the config)")
      ->type_name("LIST");
  command->add_option("--set", a->request.overrides, "change a value of the config, as in ev3 run")
      ->type_name("KEY=VALUE")
      ->allow_extra_args(false);
  command->add_option("--out", a->out, "folder of the sweep (default runs/sweep-CONFIG)")->type_name("DIR");
  command->add_option("--jobs", a->jobs, "how many at a time (default: as many as cores, which they share)")
      ->type_name("N")
      ->check(CLI::Range(1, 1024));
  add_device(*command, a->device);
  command->add_flag("--quiet", a->quiet, "print the table only");
  command->footer(
      "The same command goes on with what was interrupted or failed, and skips what is finished.\n"
      "Examples:\n"
      "  ev3 sweep --grid assess.alpha=0.5,1 --seeds 1..5\n"
      "  ev3 sweep configs/mnist.toml --grid \"model.hidden=[8],[32]\" --grid adapt.batches=8,32 --seeds "
      "1..3 --jobs 2");
  command->callback([a] { sweep(*a); });
}

}  // namespace ev3::cli
