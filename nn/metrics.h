// Metrics: what is measured on a trained network. They need not be differentiable.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "autodiff/tensor/random.h"

namespace nn {

/// The outputs of a network for n samples, and their classes.
struct Predictions {
  std::span<const float> outputs;  ///< [n, classes]
  int classes = 0;
  std::span<const std::int32_t> labels;  ///< [n]

  std::size_t size() const { return labels.size(); }
  /// Outputs of sample i [classes].
  std::span<const float> operator[](std::size_t i) const {
    return outputs.subspan(i * static_cast<std::size_t>(classes), static_cast<std::size_t>(classes));
  }
};

/// A metric gives several numbers, one per sample (or per resampling), of which mean and deviation are taken;
/// larger is better.
struct Metric {
  std::string name;
  std::function<std::vector<double>(const Predictions&)> values;
};

/// A metric from a function of one sample: per_sample("margin", [](std::span<const float> outputs, int label)
/// {...}).
Metric per_sample(std::string name,
                  std::function<double(std::span<const float> outputs, int label)> function);

/// 1 where the greatest output is that of the label (the lowest class among equals), else 0.
const Metric& accuracy();

/// Turns a metric that gives one number for a set of samples into `resamples` numbers: its values on as many
/// samples drawn with replacement, all from one seed (Efron 1979; docs/algorithm.md, section 7). Their
/// deviation is the standard error already, and bounds divide it by the root of `resamples` once more, as the
/// reference does: where a 95 % interval is meant, alpha is 1.96 sqrt(resamples). Throws Error for less than
/// 2.
Metric bootstrap(std::string name, std::function<double(const Predictions&)> of_set, int resamples,
                 autodiff::Seed seed);

}  // namespace nn
