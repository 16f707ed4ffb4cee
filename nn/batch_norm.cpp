#include "nn/batch_norm.h"

namespace nn {

using autodiff::Value;

Value batch_norm(Value x, const GraphParameters& parameters, const std::string& name, Pass& pass) {
  const Value scale = parameters[name + ".scale"], bias = parameters[name + ".bias"];
  if (!pass.training) return (x - parameters[name + ".mean"]) * norm_factor(parameters, name) + bias;
  const Value m = autodiff::moments(x);
  const auto row = [&](int i) { return autodiff::reshape(autodiff::slice(m, 0, i, i + 1), scale.shape()); };
  const Value mean = row(0), variance = row(1);
  const auto running = [&](const char* statistic, Value batch) {
    const std::string full = name + statistic;
    const Value updated =
        parameters[full] * norm_momentum + autodiff::stop_gradient(batch) * (1 - norm_momentum);
    pass.statistics.emplace_back(full, updated);
  };
  running(".mean", mean);
  running(".var", variance);
  // The mean moves every element alike. Its derivative therefore needs no sum of its own over the images: it
  // follows from the bias's, if the elements see a constant and the bias the difference, which is 0.
  const Value factor = scale / autodiff::sqrt(variance + norm_epsilon),
              constant = autodiff::stop_gradient(mean);
  return (x - constant) * factor + (bias - (mean - constant) * factor);
}

}  // namespace nn
