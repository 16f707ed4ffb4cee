// Assess: measure the candidates on data that explore never saw, by the metric that matters.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "ev3/confidence.h"
#include "ev3/explore.h"
#include "ev3/streams.h"
#include "nn/device_training.h"
#include "nn/evaluate.h"
#include "nn/metrics.h"

namespace ev3 {

/// `count` batches of a stream from batch `first` on.
struct BatchRange {
  const Batches& batches;
  std::int64_t first = 0;
  int count = 1;
};

/// Measures parameters of one network on the same samples; compiles once per network and number of samples.
class Judge {
 public:
  explicit Judge(nn::Metric metric) : metric_(std::move(metric)) {}
  /// The metric's mean and bounds for each of the parameters. Batches are read once, some at a time: memory
  /// does not grow with their number. Throws Error as bounds() does, naming the metric.
  std::vector<Bounds> measure(const nn::Network& network, std::span<const nn::Parameters* const> all,
                              const BatchRange& range, double alpha);
  const nn::Metric& metric() const { return metric_; }

 private:
  nn::Evaluator& evaluator(const nn::Network& network, int samples);
  bool measure_on_device(const nn::Network& network, std::span<const nn::Parameters* const> all,
                         const BatchRange& range, std::vector<std::vector<float>>& outputs,
                         std::vector<std::int32_t>& labels);

  nn::Metric metric_;
  std::optional<nn::Network> network_;
  std::map<int, nn::Evaluator> evaluators_;  // by number of samples
  std::optional<nn::DeviceEvaluator> on_device_;
  std::shared_ptr<const nn::DeviceSamples> samples_;
};

struct AssessOptions {
  int batches = 4;
  double alpha = 0.5;
};

/// What assess found: the bounds of every candidate and the one selected.
struct AssessRecord {
  std::int64_t first_batch = 0;  ///< of the assess stream
  std::vector<Bounds> candidates;
  int selected = 0;  ///< the candidate with the greatest lcb, the first among equals
};

/// docs/algorithm.md, section 3: all candidates on the same samples.
AssessRecord assess(const Model& model, const std::vector<Candidate>& candidates, Judge& judge,
                    const Batches& batches, std::int64_t first_batch, const AssessOptions& options);

/// The index of the greatest lower bound, the first among equals.
int best_lower_bound(std::span<const Bounds> all);

}  // namespace ev3
