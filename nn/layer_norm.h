// Layer normalization.
#pragma once

#include <string>

#include "autodiff/graph/ops.h"
#include "nn/parameters.h"

namespace nn {

struct LayerNormOptions {
  /// Added to the variance, so that a constant vector does not divide by 0.
  float epsilon = 1e-6f;
};

/// Adds NAME.scale [width], ones at first, and NAME.bias [width], zeros.
inline void add_layer_norm(Layout& layout, const std::string& name, int width) {
  layout.add(name + ".scale", {width}, ones);
  layout.add(name + ".bias", {width}, zeros);
}

/// x [..., width] -> (x - mean) / sqrt(variance + epsilon) NAME.scale + NAME.bias of the same shape, with
/// mean and variance (divided by width) along the last axis (Ba, Kiros, Hinton 2016). No sample meets
/// another.
inline autodiff::Value layer_norm(autodiff::Value x, const GraphParameters& parameters,
                                  const std::string& name, const LayerNormOptions& options = {}) {
  const autodiff::ReduceOptions last{.axes = {-1}, .keep_axes = true};
  const autodiff::Value centred = x - autodiff::mean(x, last);
  const autodiff::Value deviation =
      autodiff::sqrt(autodiff::mean(autodiff::square(centred), last) + options.epsilon);
  return centred / deviation * parameters[name + ".scale"] + parameters[name + ".bias"];
}

}  // namespace nn
