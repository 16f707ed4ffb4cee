// ev3 replay: a recorded piece of EV3, repeated and compared number for number.
#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>

#include "autodiff/kernels/backend.h"
#include "autodiff/kernels/parallel.h"
#include "ev3/cli/commands.h"
#include "ev3/cli/device_option.h"
#include "ev3/replay.h"

namespace ev3::cli {
namespace {

struct ReplayArguments {
  std::string bundle, out, profile = "reference", backends;
  int threads = 0;
  bool quiet = false;
  DeviceArguments device;
};

bool run_replay(const ReplayArguments& arguments) {
  namespace kernels = autodiff::kernels;
  if (!arguments.backends.empty()) kernels::set_default_backends(kernels::parse_backends(arguments.backends));
  if (arguments.threads > 0) kernels::set_threads(arguments.threads);
  use_device(arguments.device, arguments.quiet);
  const std::filesystem::path bundle = arguments.bundle;
  if (!arguments.quiet) {
    std::cout << "replay " << arguments.bundle << "   backends "
              << kernels::describe(kernels::default_backends()) << "   threads " << kernels::threads()
              << (device_text().empty() ? "" : "   device " + device_text()) << '\n';
  }
  const ReplayOutcome outcome = replay(bundle, [&](const StepRecord& record) {
    if (!arguments.quiet) std::cout << record << '\n';
  });
  if (!arguments.out.empty()) outcome.results.write(arguments.out);
  bool good = outcome.mismatch.empty();
  const std::filesystem::path expected = bundle / "expected.safetensors";
  if (std::filesystem::exists(expected)) {
    const auto results = nn::Safetensors::parse(outcome.results.bytes(), "results");
    const auto comparisons = compare(results, nn::Safetensors::read(expected), outcome.spec);
    std::cout << report(comparisons);
    for (const Comparison& c : comparisons) good = good && c.ok();
  } else if (!arguments.quiet) {
    std::cout << "nothing to compare with: " << expected.string() << " does not exist\n";
  }
  if (!outcome.mismatch.empty()) std::cout << "NOT ok: " << outcome.mismatch << '\n';
  return good;
}

}  // namespace

void add_replay(CLI::App& app) {
  CLI::App* command = app.add_subcommand(
      "replay", "Repeats a recorded piece of EV3 and compares every number with the recording");
  auto arguments = std::make_shared<ReplayArguments>();
  command
      ->add_option("bundle", arguments->bundle,
                   "folder with spec.json, inputs.safetensors, expected.safetensors")
      ->required();
  command->add_option("--out", arguments->out, "write the results to this safetensors file");
  command->add_option("--profile", arguments->profile, "the profile that bundles are recorded under")
      ->check(CLI::IsMember({"reference"}));
  command->add_option("--backends", arguments->backends,
                      "kernels to use, in this order, e.g. portable or blas,simd");
  command->add_option("--threads", arguments->threads, "threads to use")->check(CLI::PositiveNumber);
  add_device(*command, arguments->device);
  command->add_flag("--quiet", arguments->quiet, "print the comparison only");
  command->footer(
      "Exit code 0: all within tolerance; 1: not; 2: the bundle cannot be used.\n"
      "Example:  ev3 replay tests/golden/mlp-demo --backends portable");
  command->callback([arguments] {
    if (!run_replay(*arguments)) throw CLI::RuntimeError(answer_is_no);
  });
}

}  // namespace ev3::cli
