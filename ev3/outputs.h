// Running a network over a whole data set, a batch at a time.
#pragma once

#include <vector>

#include "datasets/dataset.h"
#include "nn/evaluate.h"

namespace ev3 {

/// The outputs [n, classes] for all samples in their order. Memory for `batch` samples, however many there
/// are. Throws Error for a batch below 1, and when the samples do not fit the network.
std::vector<float> outputs(const nn::Network& network, const nn::Parameters& parameters,
                           const datasets::Dataset& data, int batch = 1000);

/// How good the network is on them. Throws Error also for more classes than the network has.
nn::Evaluation evaluate_on(const nn::Network& network, const nn::Parameters& parameters,
                           const datasets::Dataset& data, int batch = 1000);

}  // namespace ev3
