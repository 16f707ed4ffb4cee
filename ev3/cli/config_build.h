// From the description of an experiment to what runs it: data, pools, settings.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>

#include "datasets/dataset.h"
#include "ev3/cli/config.h"

namespace ev3::cli {

/// The data of an experiment: streams of the three pools, and the test set, which no stream sees.
struct ExperimentData {
  Streams streams;
  datasets::Dataset test;
  std::string name;        ///< "digits", or of a file
  autodiff::Shape sample;  ///< shape of one sample
  int classes = 0;
  std::int64_t samples = 0;         ///< of all pools, and those left over
  std::array<int, 4> pool_sizes{};  ///< explore, assess, adapt, test
  nn::Teachers teachers;            ///< the models that losses refer to
  std::uint64_t hash = 0;           ///< of all content: another hash, other results
};

/// Loads, splits and shuffles. Throws Error for data that cannot be read, and pools that would be empty.
ExperimentData load_data(const Experiment& experiment);

/// What settings() needs to know of data, where it is known without their files: of MNIST and CIFAR.
std::optional<ExperimentData> known_data(const Experiment& experiment);

/// The settings of the evolution for samples of this shape. Throws Error for a network that is too large.
Settings settings(const Experiment& experiment, const ExperimentData& data);

}  // namespace ev3::cli
