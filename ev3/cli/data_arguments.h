// The options that say which samples: shared by `ev3 eval` and `ev3 data`.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

#include "datasets/dataset.h"

namespace ev3::cli {

struct DataArguments {
  std::string what;  ///< a name, a folder with MNIST's files, .csv, .csv.gz, .npz, or an experiment .toml
  std::string split = {};     ///< "": `fallback` where the data come in several parts
  std::string fallback = {};  ///< "test" or "train"
  std::string label = "-1", header = "auto", separator = ",";  ///< of .csv files
};

/// Adds --split, --label, --header and --separator.
void add_data_options(CLI::App& command, DataArguments& arguments);

/// The samples. MNIST comes in the parts train and test, an experiment in the pools explore (train), assess,
/// adapt and test. Throws Error for a part that the data do not have, and as datasets::load and load_data.
datasets::Dataset load(const DataArguments& arguments);

/// Whether `path` names an experiment.
bool is_experiment(const std::string& path);

}  // namespace ev3::cli
