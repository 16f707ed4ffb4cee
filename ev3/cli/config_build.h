// From the description of an experiment to what runs it: data, pools, settings.
#pragma once

#include "datasets/dataset.h"
#include "ev3/cli/config.h"

namespace ev3::cli {

/// The data of an experiment, cut into pools.
struct ExperimentData {
  Pools pools;
  datasets::Dataset test;
  int samples = 0;         ///< all, with the test set
  std::uint64_t hash = 0;  ///< of all content: another hash, other results
};

/// Loads and splits. Throws Error for data that cannot be read, and pools that would be empty.
ExperimentData load_data(const Experiment& experiment);

/// The settings of the evolution for samples of this shape. Throws Error for a network that is too large.
Settings settings(const Experiment& experiment, const ExperimentData& data);

}  // namespace ev3::cli
