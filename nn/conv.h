// Convolutions with their parameters, alone and with the batch norm behind them.
#pragma once

#include <string>

#include "autodiff/graph/ops.h"
#include "nn/batch_norm.h"
#include "nn/parameters.h"
#include "nn/pass.h"

namespace nn {

/// Adds NAME.kernel [window, window, in / groups, out].
inline void add_conv(Layout& layout, const std::string& name, int window, int in, int out, int groups = 1,
                     const Initializer& kernel = lecun_normal) {
  layout.add(name + ".kernel", {window, window, in / groups, out}, kernel);
}

/// x [n, h, w, in] under NAME.kernel, without bias: [n, oh, ow, out].
inline autodiff::Value conv(autodiff::Value x, const GraphParameters& parameters, const std::string& name,
                            const autodiff::Conv2dOptions& options = {}) {
  return autodiff::conv2d(x, parameters[name + ".kernel"], options);
}

/// Convolution, with `bias` [out] where one is given, and batch norm. In evaluation (with pass.fold_norms)
/// one convolution with other filters:
///     (x * w - mean) a + bias = x * (w a) + (bias - mean a),   a = scale / sqrt(var + epsilon)
/// A bias of the convolution moves the mean: the norm takes it away again.
inline autodiff::Value conv_norm(autodiff::Value x, const GraphParameters& parameters,
                                 const std::string& conv_name, const std::string& norm_name, Pass& pass,
                                 const autodiff::Conv2dOptions& options = {}, autodiff::Value bias = {}) {
  if (pass.training || !pass.fold_norms) {
    const autodiff::Value y = conv(x, parameters, conv_name, options);
    return batch_norm(bias.valid() ? y + bias : y, parameters, norm_name, pass);
  }
  const autodiff::Value a = norm_factor(parameters, norm_name);
  autodiff::Value mean = parameters[norm_name + ".mean"];
  if (bias.valid()) mean = mean - bias;
  return autodiff::conv2d(x, parameters[conv_name + ".kernel"] * a, options) +
         (parameters[norm_name + ".bias"] - mean * a);
}

}  // namespace nn
