// The options that say which samples: shared by `ev3 eval` and `ev3 data`.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

#include "datasets/dataset.h"
#include "nn/model_file.h"

namespace ev3::cli {

struct DataArguments {
  std::string what;        ///< a name, a folder with MNIST's or CIFAR's files, .csv, .csv.gz, .npz, or .toml
  std::string split = {};  ///< "": `fallback` where the data come in several parts
  std::string fallback = {};                                   ///< "test" or "train"
  std::string label = "-1", header = "auto", separator = ",";  ///< of .csv files
  std::string labels = {}, scale = {};                         ///< of CIFAR-100, of images of bytes
  int shrink = 1;
};

/// Adds --split, --label, --header, --separator, --labels, --scale and --shrink.
void add_data_options(CLI::App& command, DataArguments& arguments);

/// The samples. MNIST and CIFAR come in the parts train and test, an experiment in the pools explore (train),
/// assess, adapt and test. Throws Error for a part that the data do not have, options that they have no use
/// for, and as datasets::load, shrink and load_data.
datasets::Dataset load(const DataArguments& arguments);

/// The same for a model (from `path`): where nothing else is said, bytes mean what they meant when it was
/// trained.
datasets::Dataset load_for(const DataArguments& arguments, const nn::ModelFile& model,
                           const std::string& path);

/// Throws Error when one of these options was given: for data that know none of them.
void refuse_options(const DataArguments& arguments);

/// Whether `path` names an experiment.
bool is_experiment(const std::string& path);

}  // namespace ev3::cli
