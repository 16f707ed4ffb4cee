// Running a network without training it.
#pragma once

#include <iosfwd>
#include <memory>
#include <vector>

#include "autodiff/program/program.h"
#include "nn/metrics.h"
#include "nn/network.h"

namespace nn {

/// The outputs of a network for a fixed number of samples, compiled once.
class Evaluator {
 public:
  /// Throws Error for a negative number of samples.
  Evaluator(const Network& net, int samples, const autodiff::CompileOptions& options = {});

  /// The parameters of the following calls: computes what depends on them alone, once. They are not copied:
  /// they must stay where they are, as they are. Throws Error for another number of them.
  void load(std::span<const float> parameters);
  /// Outputs [samples, classes] for features [samples, inputs...]; valid until the next call.
  std::span<const float> operator()(std::span<const float> features);
  /// Both: for parameters that are used once.
  std::span<const float> operator()(std::span<const float> parameters, std::span<const float> features) {
    load(parameters);
    return (*this)(features);
  }

  const autodiff::Program& program() const { return program_; }
  int samples() const { return samples_; }

 private:
  friend class DeviceEvaluator;  // which binds memory of a device
  struct Shared {
    autodiff::Graph graph;
    std::shared_ptr<const Layout> layout;
    std::vector<autodiff::Value> parameters;
    autodiff::Value features, outputs;
  };
  static std::shared_ptr<const Shared> build(const Network& net, int samples);

  std::shared_ptr<const Shared> shared_;
  autodiff::Program program_;
  int samples_;
};

/// A fraction with its 95 % interval (Wilson 1927, which stays inside [0, 1]).
struct Interval {
  double low = 0, high = 1;
};
Interval wilson_interval(std::int64_t hits, std::int64_t n, double z = 1.959963984540054);

/// How good a network is on labelled samples.
struct Evaluation {
  std::int64_t samples = 0, hits = 0;
  double loss = 0;  ///< mean cross entropy
  int classes = 0;
  std::vector<std::int64_t> confusion;  ///< [label, predicted class]

  double accuracy() const { return samples ? static_cast<double>(hits) / static_cast<double>(samples) : 0; }
  Interval interval() const { return wilson_interval(hits, samples); }
};

/// "accuracy 0.972 [0.950, 0.985], loss 0.101, n = 360"
std::ostream& operator<<(std::ostream& out, const Evaluation& evaluation);

/// From outputs [n, classes] and labels [n]. Throws Error for a label that is none of the classes.
Evaluation evaluate(const Predictions& predictions);
/// From features [n, inputs...] and labels [n]; throws Error when they do not fit the network.
Evaluation evaluate(const Network& net, const Parameters& parameters, std::span<const float> features,
                    std::span<const std::int32_t> labels);
/// The same for anything with `features` and `labels`, such as datasets::Dataset.
template <class Data>
Evaluation evaluate(const Network& net, const Parameters& parameters, const Data& data) {
  return evaluate(net, parameters, std::span<const float>(data.features.data(), data.features.size()),
                  std::span<const std::int32_t>(data.labels.data(), data.labels.size()));
}

}  // namespace nn
