#include "ev3/cli/run_report.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <ctime>
#include <filesystem>

#include "autodiff/kernels/cpu.h"
#include "autodiff/kernels/parallel.h"
#include "autodiff/tensor/error.h"
#include "autodiff/tensor/file.h"
#include "ev3/cli/build_info.h"
#include "ev3/cli/device_option.h"
#include "ev3/cli/estimate.h"
#include "nn/training.h"

namespace ev3::cli {
namespace {

using fmt::format;

// "28x28", "64"
std::string sample_text(const autodiff::Shape& shape) {
  const autodiff::Shape image =
      shape.rank() == 3 && shape[2] == 1 ? autodiff::Shape{shape[0], shape[1]} : shape;
  std::string out;
  for (const int size : image) out += (out.empty() ? "" : "x") + std::to_string(size);
  return out;
}

std::string count(std::size_t n, const char* one, const char* more) {
  return format("{} {}", n, n == 1 ? one : more);
}

// "simd AVX-512, 2 threads": who is asked first for most kernels. AVX3 is Highway's name.
std::string machine() {
  if (const std::string device = device_text(); !device.empty()) return device;
  const autodiff::kernels::Backends& order = autodiff::kernels::default_backends();
  const bool special = order.front() == autodiff::kernels::winograd_backend() && order.size() > 1;
  std::string first(order[special ? 1 : 0]->name);
  const std::string target = autodiff::kernels::simd_target();
  if (first == "simd") first += " " + (target == "AVX3" ? "AVX-512" : target);
  const int threads = autodiff::kernels::threads();
  return format("{}, {} thread{}", first, threads, threads == 1 ? "" : "s");
}

// The command line as the system knows it, each word followed by a zero; empty where it does not.
std::string arguments() {
  try {
    return autodiff::read_file("/proc/self/cmdline");
  } catch (const autodiff::Error&) {
    return "";
  }
}

std::string command_line() {
  std::string out = arguments();
  std::replace(out.begin(), out.end(), '\0', ' ');
  return out.empty() ? "unknown" : out;
}

}  // namespace

std::string program_name() {
  const std::string words = arguments();
  const std::filesystem::path called = words.substr(0, words.find('\0'));
  if (!called.has_parent_path()) return "ev3";
  const std::filesystem::path near = called.lexically_proximate(std::filesystem::current_path());
  if (!called.is_absolute() || *near.begin() == "..") return called.string();
  return near.has_parent_path() ? near.string() : "./" + near.string();
}

namespace {

std::string candidate_name(const StepRecord& r, const Settings& settings) {
  const auto& selected = r.candidates[static_cast<std::size_t>(r.assess.selected)];
  const std::vector<nn::Loss> losses =
      pass_losses(settings.losses, static_cast<int>(settings.teachers.size()),
                  static_cast<int>(r.archived_teachers.size()));
  return nn::describe(losses[static_cast<std::size_t>(selected.loss)]) + " / " +
         nn::describe(settings.optimizers[static_cast<std::size_t>(selected.optimizer)]);
}

// ".868 [.829, .907]"
std::string interval(double mean, double low, double high) {
  return format("{} [{}, {}]", short_number(mean), short_number(low), short_number(high));
}

}  // namespace

bool is_new_stable(const StepRecord& r) {
  return !r.adapt.expanded && (r.adapt.significant || r.rule == AdaptRule::always_accept);
}

bool changes_model(const StepRecord& r) { return r.adapt.expanded || is_new_stable(r); }

std::string short_number(double x) {
  if (!std::isfinite(x)) return format("{:.0f}", x);
  if (std::abs(x) >= 0.9995) return format("{:.2f}", x);
  const std::string digits = format("{:.3f}", std::abs(x)).substr(1);
  return (x < 0 && digits != ".000" ? "-" : "") + digits;
}

std::string exact_number(double x) { return std::isfinite(x) ? format("{:.17g}", x) : ""; }

std::string grouped(std::int64_t x) {
  std::string out = std::to_string(x);
  for (auto at = static_cast<std::ptrdiff_t>(out.size()) - 3; at > (x < 0 ? 1 : 0); at -= 3) {
    out.insert(static_cast<std::size_t>(at), ",");
  }
  return out;
}

std::string bytes_text(std::size_t bytes) {
  const auto x = static_cast<double>(bytes);
  if (x < 1e3) return format("{} B", bytes);
  if (x < 1e6) return format("{:.{}f} kB", x / 1e3, x < 1e4 ? 1 : 0);
  if (x < 1e9) return format("{:.{}f} MB", x / 1e6, x < 1e7 ? 1 : 0);
  return format("{:.1f} GB", x / 1e9);
}

Costs costs(const Experiment& experiment, const Settings& settings) {
  const std::size_t parameters = nn::layout(settings.model)->size();
  Costs out;
  for (const nn::Loss& loss : settings.losses) {
    const nn::LossGradient gradient(settings.model, loss, experiment.data.batch,
                                    {.teachers = settings.teachers});
    const std::size_t workspace = gradient.program().workspace_bytes();
    out.step_flops = std::max(out.step_flops, gradient.program().flops());
    out.step_bytes = std::max(out.step_bytes, workspace);
    for (const nn::Optimizer& optimizer : settings.optimizers) {
      // Parameters, their gradient, the optimizer's moments.
      const auto blocks = static_cast<std::size_t>(2 + nn::moment_count(optimizer));
      out.bytes += workspace + blocks * parameters * sizeof(float);
      ++out.candidates;
    }
  }
  out.gradient_steps = out.candidates * settings.explore.trajectory_length * experiment.rounds;
  if (experiment.max_gradient_steps) {
    out.gradient_steps = std::min(out.gradient_steps, *experiment.max_gradient_steps);
  }
  return out;
}

std::string header(const Experiment& experiment, const ExperimentData& data, const Settings& settings) {
  const Costs cost = costs(experiment, settings);
  const auto& pools = data.pool_sizes;
  return format("ev3 {}   {} {} x {}, {} classes   seed {}   {}\n", version, data.name, grouped(data.samples),
                sample_text(data.sample), data.classes, experiment.seed, machine()) +
         format("pools explore {} / assess {} / adapt {}{} / test {}\n", grouped(pools[0]), grouped(pools[1]),
                grouped(pools[2]), experiment.pools.shared ? " (shared)" : "", grouped(pools[3])) +
         format("model {}, {} parameters   {} ({} x {}) x {} steps   program {}\n",
                nn::describe(settings.model),
                grouped(static_cast<std::int64_t>(nn::layout(settings.model)->size())),
                count(static_cast<std::size_t>(cost.candidates), "candidate", "candidates"),
                count(settings.losses.size(), "loss", "losses"),
                count(settings.optimizers.size(), "optimizer", "optimizers"),
                settings.explore.trajectory_length, bytes_text(cost.step_bytes));
}

std::string column_line() {
  return format("{:>5}  {:<24}  {:<12}  {:<17}  {:<17}  {:<29}  {}\n", "round", "candidate", "assess",
                "adapt: candidate", "stable", "verdict", "test");
}

std::string round_line(const Round& round, const Settings& settings, bool color) {
  const StepRecord& r = round.record;
  const Bounds& assess = r.assess.candidates[static_cast<std::size_t>(r.assess.selected)];
  const Bounds& candidate = r.adapt.bounds[0];
  const bool compared = r.adapt.bounds.size() == 3;
  const char* mark = !color ? "" : r.adapt.expanded ? "\x1b[33m" : is_new_stable(r) ? "\x1b[32m" : "";
  return format(
      "{:5}  {:<24.24}  {:<12}  {:<17}  {:<17}  {}{:<29.29}{}  {}\n", r.round + 1,
      candidate_name(r, settings),
      short_number(assess.mean) + " +- " + short_number(assess.ucb - assess.mean),
      interval(candidate.mean, candidate.lcb, candidate.ucb),
      compared ? interval(r.adapt.bounds[2].mean, r.adapt.bounds[2].lcb, r.adapt.bounds[2].ucb) : "-", mark,
      verdict(r), *mark ? "\x1b[0m" : "", short_number(round.test.accuracy()));
}

int stable_since(const std::vector<Round>& rounds) {
  for (auto round = rounds.rbegin(); round != rounds.rend(); ++round) {
    if (is_new_stable(round->record)) return round->record.round + 1;
  }
  return 0;
}

std::string pass_lines(int pass, const Passes& passes) {
  std::string out = format("pass {} ended; archive (adapt's mean):", pass + 1);
  for (const Archived& a : passes.archive()) {
    out += format("  {} {}{}", nn::describe(a.network), short_number(a.score),
                  a.measured ? "" : " (not its own)");
  }
  if (!passes.finished()) {
    const Settings& next = passes.evolution().settings();
    out += format("\npass {} begins with {}: {}, {} steps each\n", passes.pass() + 1,
                  nn::describe(passes.evolution().model().network),
                  count(next.losses.size() * next.optimizers.size(), "candidate", "candidates"),
                  next.explore.trajectory_length);
    return out;
  }
  return out + "\n";
}

std::string summary(const std::vector<Round>& rounds, const std::string& folder, const Passes& passes) {
  const auto grown =
      std::count_if(rounds.begin(), rounds.end(), [](const Round& r) { return r.record.growth.has_value(); });
  const nn::Evaluation& test = rounds.back().test;
  const nn::Interval i = test.interval();
  const Passes::Kept kept = passes.kept();
  return format("best  {} model of round {}: {}, {}test {} (n = {}; seen by no phase)\n",
                kept.archived ? "archived" : "stable",
                kept.archived ? kept.archived->round + 1 : stable_since(rounds), nn::describe(*kept.network),
                grown ? format("grown {} time{}, ", grown, grown == 1 ? "" : "s") : "",
                interval(test.accuracy(), i.low, i.high), grouped(test.samples)) +
         format("files {}/  model.safetensors{} rounds.jsonl metrics.csv config.toml\n", folder,
                passes.archive().empty() ? "" : " archive/") +
         format(
             "next  {1} eval {0}/model.safetensors --data {0}/config.toml    {1} show "
             "{0}/model.safetensors\n",
             folder, program_name());
}

namespace {

std::string passes_text(const Experiment& experiment) {
  if (!experiment.passes) return "";
  const bool several = experiment.passes->count > 1;
  return format(
      "passes          {}{}\n", experiment.passes->count,
      several ? ", in later ones a candidate more for each archived network (not counted here)" : "");
}

}  // namespace

std::string dry_run(const Experiment& experiment, const ExperimentData& data, const Settings& settings) {
  const Costs cost = costs(experiment, settings);
  return "# resolved experiment\n" + to_toml(experiment) + "\n# what it is\n" +
         header(experiment, data, settings) +
         format("parameters      {}\n",
                grouped(static_cast<std::int64_t>(nn::layout(settings.model)->size()))) +
         format("training step   {} FLOPs, {} of workspace, batch {}\n",
                grouped(std::llround(cost.step_flops)), bytes_text(cost.step_bytes), experiment.data.batch) +
         format("all candidates  {} of memory\n", bytes_text(cost.bytes)) +
         format("gradient steps  {} = {} rounds x {} candidates x {} steps, {:.3g} FLOPs{}\n",
                grouped(cost.gradient_steps), experiment.rounds, cost.candidates,
                settings.explore.trajectory_length,
                cost.step_flops * static_cast<double>(cost.gradient_steps),
                settings.adapt.growth ? ", more after each growth" : "") +
         passes_text(experiment) +
         format("time            about {}\n", estimate_text(estimate(data, settings), experiment, settings)) +
         "nothing was written; the time was estimated from a few steps\n";
}

std::string environment() {
  char time[32];
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  ::localtime_r(&now, &parts);
  std::strftime(time, sizeof time, "%Y-%m-%dT%H:%M:%S%z", &parts);
  const auto blas = autodiff::kernels::blas_info();
  return format(
      "started   {}\ncommand   {}\nversion   ev3 {}, commit {}, {} build\ncompiler  {}\nflags     {}\n"
      "cpu       {} ({})\nsimd      {}\nblas      {}{}\nbackends  {}\nthreads   {}\ndevice    {}\n\n",
      time, command_line(), version, git_hash, build_type, compiler, compile_flags,
      autodiff::kernels::cpu_name(), autodiff::kernels::cpu_features(), autodiff::kernels::simd_target(),
      blas.core, blas.warning.empty() ? "" : "; " + blas.warning,
      autodiff::kernels::describe(autodiff::kernels::default_backends()), autodiff::kernels::threads(),
      device_text().empty() ? "cpu" : device_text());
}

}  // namespace ev3::cli
