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
/// another. Throws Error for x of another width.
inline autodiff::Value layer_norm(autodiff::Value x, const GraphParameters& parameters,
                                  const std::string& name, const LayerNormOptions& options = {}) {
  const autodiff::Value scale = parameters[name + ".scale"];
  if (x.shape().rank() < 1 || x.shape()[-1] != scale.shape()[0]) {
    autodiff::fail("layer norm '", name, "': want x [..., ", scale.shape()[0], "], got ", x.shape());
  }
  const autodiff::ReduceOptions last{.axes = {-1}, .keep_axes = true};
  const autodiff::Value centred = x - autodiff::mean(x, last);
  const autodiff::Value variance = autodiff::mean(autodiff::square(centred), last);
  // The small [..., 1] is inverted, once: a product has the cheaper derivative.
  const autodiff::Value inverse = x.graph->constant(1.0f) / autodiff::sqrt(variance + options.epsilon);
  return centred * inverse * scale + parameters[name + ".bias"];
}

}  // namespace nn
