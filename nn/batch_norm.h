// Batch normalization (Ioffe and Szegedy 2015).
#pragma once

#include <string>

#include "autodiff/graph/ops.h"
#include "nn/parameters.h"
#include "nn/pass.h"

namespace nn {

inline constexpr float norm_epsilon = 1e-5f;
/// running = norm_momentum running + (1 - norm_momentum) batch, with the biased variance of the batch.
inline constexpr float norm_momentum = 0.9f;

/// Adds NAME.scale, NAME.bias, and the statistics NAME.mean and NAME.var, all [channels]. The last norm of a
/// residual block starts with the scale 0, so that the block starts as the identity.
inline void add_batch_norm(Layout& layout, const std::string& name, int channels,
                           const Initializer& scale = ones) {
  layout.add(name + ".scale", {channels}, scale);
  layout.add(name + ".bias", {channels}, zeros);
  layout.add(name + ".mean", {channels}, zeros, Kind::statistic);
  layout.add(name + ".var", {channels}, ones, Kind::statistic);
}

/// scale / sqrt(var + epsilon) of the running variance: [channels].
inline autodiff::Value norm_factor(const GraphParameters& parameters, const std::string& name) {
  return parameters[name + ".scale"] / autodiff::sqrt(parameters[name + ".var"] + norm_epsilon);
}

/// y = (x - mean) scale / sqrt(var + epsilon) + bias for x [n, ..., channels], with the moments of this batch
/// in training (the new running statistics go to pass.statistics), else with the running statistics.
autodiff::Value batch_norm(autodiff::Value x, const GraphParameters& parameters, const std::string& name,
                           Pass& pass);

}  // namespace nn
