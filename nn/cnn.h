// A small convolutional network.
#pragma once

#include <string>
#include <vector>

#include "nn/parameters.h"
#include "nn/pass.h"

namespace nn {

/// Stages of 3 x 3 convolutions (with bias, padding SAME, ReLU), each followed by an average over windows of
/// 2 x 2; then dense layers with ReLU between them and a linear output. Parameters are conv1.kernel
/// [3, 3, in, out], conv1.bias, conv2..., dense1.kernel, dense1.bias, ... The defaults are the reference's.
struct Cnn {
  autodiff::Shape inputs = {28, 28, 1};                 ///< of one sample: [H, W, C]
  std::vector<std::vector<int>> stages = {{32}, {64}};  ///< the convolutions' numbers of filters
  std::vector<int> hidden = {256};                      ///< widths of the dense layers before the output
  int classes = 10;

  bool operator==(const Cnn&) const = default;
};

/// "cnn 32/64-256-10"
std::string describe(const Cnn& net);
/// Throws Error for inputs of other rank than 3, sizes below 1, images too small for the pooling, or more
/// than 2^31 parameters.
Layout layout(const Cnn& net);
/// Logits [n, classes] for x [n, H, W, C] (or the same elements flattened).
autodiff::Value forward(const Cnn& net, const GraphParameters& parameters, autodiff::Value x, Pass& pass);

}  // namespace nn
