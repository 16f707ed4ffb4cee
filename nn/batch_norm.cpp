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
  return (x - mean) * (scale / autodiff::sqrt(variance + norm_epsilon)) + bias;
}

}  // namespace nn
