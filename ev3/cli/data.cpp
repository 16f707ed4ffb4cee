// ev3 data: what a data set holds.
#include <algorithm>
#include <iostream>
#include <memory>
#include <vector>

#include "autodiff/tensor/random.h"
#include "datasets/describe.h"
#include "ev3/cli/commands.h"
#include "ev3/cli/data_arguments.h"
#include "ev3/cli/data_logits.h"

namespace ev3::cli {
namespace {

struct Arguments {
  DataArguments data{.what = {}, .fallback = "train"};
  int samples = 5;
  std::uint64_t seed = 1;
};

// `count` different samples of n, by the seed.
std::vector<int> drawn(const Arguments& arguments, int n) {
  const autodiff::Permutation order(autodiff::Seed{arguments.seed}, static_cast<std::uint32_t>(n));
  std::vector<int> out;
  for (int i = 0; i < std::min(arguments.samples, n); ++i) {
    out.push_back(static_cast<int>(order(static_cast<std::uint32_t>(i))));
  }
  return out;
}

void print(const Arguments& arguments) {
  if (is_logits_file(arguments.data.what)) {
    refuse_options(arguments.data);
    const LogitsFile file(arguments.data.what);
    std::cout << describe(file) << gallery(file, drawn(arguments, file.rows()), 100);
    return;
  }
  const datasets::Dataset data = load(arguments.data);
  std::cout << datasets::describe(data).str();
  const std::vector<int> samples = drawn(arguments, data.size());
  if (!samples.empty()) std::cout << '\n' << datasets::gallery(data, samples, 100);
}

}  // namespace

void add_data(CLI::App& app) {
  CLI::App* command =
      app.add_subcommand("data", "Show what a data set holds: counts per class, ranges, a few samples.");
  const auto arguments = std::make_shared<Arguments>();
  command
      ->add_option(
          "DATA", arguments->data.what,
          "digits, gaussian, moons, spirals, xor; a folder with MNIST's or CIFAR's files; a file .csv, "
          ".csv.gz, .npz; a teacher's logits in .npz or .safetensors; or an experiment .toml")
      ->required();
  add_data_options(*command, arguments->data);
  command->add_option("--samples", arguments->samples, "how many samples to draw, 5 if not given")
      ->check(CLI::Range(0, 1000));
  command->add_option("--seed", arguments->seed, "which ones: another seed, other samples");
  command->footer(
      "Examples:\n"
      "  ev3 data digits --samples 10\n"
      "  ev3 data iris.csv --label species\n"
      "  ev3 data cifar-100-binary --labels coarse --split test");
  command->callback([arguments] { print(*arguments); });
}

}  // namespace ev3::cli
