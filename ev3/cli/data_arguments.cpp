#include "ev3/cli/data_arguments.h"

#include <filesystem>
#include <memory>

#include "autodiff/tensor/error.h"
#include "autodiff/tensor/text.h"
#include "datasets/load.h"
#include "datasets/shrink.h"
#include "ev3/cli/config_build.h"

namespace ev3::cli {
namespace {

using autodiff::fail;

datasets::Dataset pool_of(const std::string& path, const std::string& split) {
  const ExperimentData data = load_data(read_experiment(path));
  const auto pool = [&](const std::shared_ptr<const Batches>& batches) {
    if (const auto* labelled = dynamic_cast<const PoolBatches*>(batches.get()))
      return labelled->stream()->pool();
    fail(path, ": its explore draws from a file of logits, which `ev3 data` takes itself");
  };
  if (split == "test") return data.test;
  if (split == "explore" || split == "train") return pool(data.streams.explore);
  if (split == "assess") return pool(data.streams.assess);
  if (split == "adapt") return pool(data.streams.adapt);
  fail(path, ": want a split explore, assess, adapt or test, got ", autodiff::in_quotes(split));
}

}  // namespace

namespace {

// What a byte means, by the option --scale; standardize with CIFAR's own figures.
datasets::Scaling scaling_of(const DataArguments& arguments, const datasets::Dataset& data) {
  if (arguments.scale == "symmetric") return {.kind = datasets::Scale::symmetric};
  if (arguments.scale != "standardize") return {};
  if (data.name == "cifar10") return datasets::cifar10_scaling();
  if (data.name == "cifar100") return datasets::cifar100_scaling();
  fail("--scale standardize: its means and deviations are those of CIFAR-10 and CIFAR-100; for ", data.name,
       " give them in an experiment .toml");
}

}  // namespace

bool is_experiment(const std::string& path) { return path.ends_with(".toml"); }

void add_data_options(CLI::App& command, DataArguments& arguments) {
  command.add_option("--split", arguments.split,
                     "train or test (a folder with MNIST's or CIFAR's files), explore, assess, adapt or test "
                     "(the pools of an experiment .toml); " +
                         arguments.fallback + " if not given");
  command.add_option("--label", arguments.label,
                     "CSV: name or number of the column with the class; the last one if not given");
  command.add_option("--header", arguments.header, "CSV: whether the first line holds names")
      ->check(CLI::IsMember({"auto", "yes", "no"}));
  command
      .add_option("--labels", arguments.labels, "CIFAR-100: the 100 fine classes or the 20 coarse ones; fine")
      ->check(CLI::IsMember({"fine", "coarse"}));
  command
      .add_option(
          "--scale", arguments.scale,
          "what a byte of an image means: unit (v/255), symmetric (-1 to 1), standardize (CIFAR's means and "
          "deviations); if not given unit, or what a model was trained with")
      ->check(CLI::IsMember({"unit", "symmetric", "standardize"}));
  command.add_option("--shrink", arguments.shrink, "images: by so much smaller, 1 if not given")
      ->check(CLI::Range(1, 1000));
  command.add_option("--separator", arguments.separator,
                     "CSV: what stands between cells, one character; tab for a tab");
}

datasets::Dataset load(const DataArguments& arguments) {
  const std::string& split = arguments.split.empty() ? arguments.fallback : arguments.split;
  if (is_experiment(arguments.what)) {
    if (!arguments.labels.empty() || !arguments.scale.empty() || arguments.shrink != 1) {
      fail("data ", arguments.what,
           ": the experiment says itself how its data are read; --labels, --scale and --shrink are for a "
           "folder or a file");
    }
    return pool_of(arguments.what, split);
  }

  datasets::LoadOptions options;
  if (std::filesystem::is_directory(arguments.what)) {
    if (split != "train" && split != "test") {
      fail("data ", arguments.what, ": want a split train or test, got ", autodiff::in_quotes(split));
    }
    options.part = split == "test" ? datasets::Part::test : datasets::Part::train;
  } else if (!arguments.split.empty()) {
    fail("data ", arguments.what,
         ": comes in one piece, without splits; --split is for a folder with MNIST's or CIFAR's files and "
         "for an experiment .toml");
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
  if (arguments.labels == "coarse") options.labels = datasets::CifarLabels::coarse;
  datasets::Dataset data = datasets::load(arguments.what, options);
  if (!arguments.labels.empty() && data.name != "cifar100") {
    fail("--labels: only CIFAR-100 has fine and coarse labels, not ", data.name);
  }
  if (arguments.shrink != 1) data = datasets::shrink(data, arguments.shrink);
  if (!arguments.scale.empty()) data.scaling = scaling_of(arguments, data);
  return data;
}

void refuse_options(const DataArguments& a) {
  const DataArguments none;
  if (!a.split.empty() || a.label != none.label || a.header != none.header || a.separator != none.separator ||
      !a.labels.empty() || !a.scale.empty() || a.shrink != none.shrink) {
    fail("data ", a.what, ": holds a teacher's logits, of which all is shown; want no other options");
  }
}

datasets::Dataset load_for(const DataArguments& arguments, const nn::ModelFile& model,
                           const std::string& path) {
  datasets::Dataset data = load(arguments);
  const auto scale = model.metadata.find("scale");
  const bool told = !arguments.scale.empty() || is_experiment(arguments.what);
  if (data.is_bytes() && !told && scale != model.metadata.end()) {
    data.scaling = datasets::scaling_from_text(scale->second, path);
  }
  return data;
}

}  // namespace ev3::cli
