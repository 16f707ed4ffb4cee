// A network of one's own: layers one after the other.
#pragma once

#include <string>
#include <vector>

#include "nn/layers.h"
#include "nn/parameters.h"
#include "nn/pass.h"

namespace nn {

/// Layers one after the other, from a sample to its logits. Parameters are conv1.kernel, conv1.bias, ...,
/// norm1.scale, ..., dense1.kernel, ..., in the order of the layers; each of the three is counted from 1,
/// those inside of residual layers included.
struct Sequential {
  autodiff::Shape inputs = {8, 8, 1};  ///< of one sample: [H, W, C], or a vector
  std::vector<Layer> layers = {Flatten{}, Dense{}};
  int classes = 2;

  bool operator==(const Sequential&) const = default;
};

/// Layers with weights, by their widths: "sequential conv16-(conv16-conv16)-64-10", residual ones in
/// parentheses.
std::string describe(const Sequential& net);
/// Throws Error for layers that do not fit what comes in ("sequential: layer 3 (dense): wants a vector, got
/// 8x8x32: put a flatten or global_avg_pool before it"), sizes out of range, a last layer that does not give
/// [classes], no layer at all, or more than 2^31 parameters. Layers are counted from 1, the first one inside
/// of layer 3 is 3.1.
Layout layout(const Sequential& net);
/// Logits [n, classes] for x [n, inputs...].
autodiff::Value forward(const Sequential& net, const GraphParameters& parameters, autodiff::Value x,
                        Pass& pass);
/// Whether a training step draws masks.
bool has_dropout(const Sequential& net);

}  // namespace nn
