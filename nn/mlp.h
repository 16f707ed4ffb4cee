// The multi-layer perceptron.
#pragma once

#include <string>
#include <vector>

#include "nn/parameters.h"
#include "nn/pass.h"

namespace nn {

/// Dense layers with ReLU between them and a linear output; the input is flattened. Parameters are
/// dense1.kernel [in, out], dense1.bias [out], dense2..., the last pair being the output layer's. Kernels
/// start LeCun normal, biases 0.
struct Mlp {
  autodiff::Shape inputs = {1};  ///< of one sample: {8, 8, 1}, or {64}
  std::vector<int> hidden = {};  ///< widths; none: logistic regression
  int classes = 2;

  bool operator==(const Mlp&) const = default;
};

/// The two-layer perceptron of the reference: one hidden layer of 2 (features + labels) units.
Mlp two_layer_perceptron(int features, int labels);

/// "mlp 64-8-10"
std::string describe(const Mlp& net);
/// Throws Error for sizes below 1, or more than 2^31 parameters.
Layout layout(const Mlp& net);
/// Logits [n, classes] for x [n, inputs...].
autodiff::Value forward(const Mlp& net, const GraphParameters& parameters, autodiff::Value x, Pass& pass);

}  // namespace nn
