#include "ev3/cli/data_arguments.h"

#include <filesystem>
#include <memory>

#include "autodiff/tensor/error.h"
#include "autodiff/tensor/text.h"
#include "datasets/load.h"
#include "ev3/cli/config_build.h"

namespace ev3::cli {
namespace {

using autodiff::fail;

datasets::Dataset pool_of(const std::string& path, const std::string& split) {
  const ExperimentData data = load_data(read_experiment(path));
  const auto pool = [&](const std::shared_ptr<const Batches>& batches) {
    if (const auto* labelled = dynamic_cast<const PoolBatches*>(batches.get()))
      return labelled->stream().pool();
    fail(path, ": its explore draws from a file of logits, which `ev3 data` takes itself");
  };
  if (split == "test") return data.test;
  if (split == "explore" || split == "train") return pool(data.streams.explore);
  if (split == "assess") return pool(data.streams.assess);
  if (split == "adapt") return pool(data.streams.adapt);
  fail(path, ": want a split explore, assess, adapt or test, got ", autodiff::in_quotes(split));
}

}  // namespace

bool is_experiment(const std::string& path) { return path.ends_with(".toml"); }

void add_data_options(CLI::App& command, DataArguments& arguments) {
  command.add_option("--split", arguments.split,
                     "train or test (a folder with MNIST's files), explore, assess, adapt or test "
                     "(the pools of an experiment .toml); " +
                         arguments.fallback + " if not given");
  command.add_option("--label", arguments.label,
                     "CSV: name or number of the column with the class; the last one if not given");
  command.add_option("--header", arguments.header, "CSV: whether the first line holds names")
      ->check(CLI::IsMember({"auto", "yes", "no"}));
  command.add_option("--separator", arguments.separator,
                     "CSV: what stands between cells, one character; tab for a tab");
}

datasets::Dataset load(const DataArguments& arguments) {
  const std::string& split = arguments.split.empty() ? arguments.fallback : arguments.split;
  if (is_experiment(arguments.what)) return pool_of(arguments.what, split);

  datasets::LoadOptions options;
  if (std::filesystem::is_directory(arguments.what)) {
    if (split != "train" && split != "test") {
      fail("data ", arguments.what, ": want a split train or test, got ", autodiff::in_quotes(split));
    }
    options.part = split == "test" ? datasets::Part::test : datasets::Part::train;
  } else if (!arguments.split.empty()) {
    fail("data ", arguments.what,
         ": comes in one piece, without splits; --split is for a folder with MNIST's files and for an "
         "experiment .toml");
  }
  const std::string separator = arguments.separator == "tab" ? "\t" : arguments.separator;
  if (separator.size() != 1) {
    fail("--separator: want one character or tab, got ", autodiff::in_quotes(arguments.separator));
  }
  options.csv = {.label = arguments.label,
                 .header = arguments.header == "yes"  ? datasets::Header::yes
                           : arguments.header == "no" ? datasets::Header::no
                                                      : datasets::Header::automatic,
                 .separator = separator.front()};
  return datasets::load(arguments.what, options);
}

}  // namespace ev3::cli
