#include "nn/mlp.h"

#include "autodiff/graph/ops.h"
#include "nn/dense.h"

namespace nn {
namespace {

std::string layer(std::size_t index) { return "dense" + std::to_string(index + 1); }

}  // namespace

Mlp two_layer_perceptron(int features, int labels) {
  return {.inputs = {features}, .hidden = {2 * (features + labels)}, .classes = labels};
}

std::string describe(const Mlp& net) {
  std::string out = "mlp " + std::to_string(net.inputs.size());
  for (const int width : net.hidden) out += "-" + std::to_string(width);
  return out + "-" + std::to_string(net.classes);
}

Layout layout(const Mlp& net) {
  if (net.inputs.size() < 1 || net.inputs.size() > 1u << 30) {
    autodiff::fail("mlp: want inputs of 1 to 2^30 elements, got shape ", net.inputs);
  }
  if (net.classes < 1) autodiff::fail("mlp: want at least one class, got ", net.classes);
  Layout out;
  auto in = static_cast<int>(net.inputs.size());
  for (std::size_t i = 0; i <= net.hidden.size(); ++i) {
    const int width = i < net.hidden.size() ? net.hidden[i] : net.classes;
    if (width < 1) autodiff::fail("mlp: want hidden widths of at least 1, got ", width, " for layer ", i + 1);
    add_dense(out, layer(i), in, width);
    in = width;
  }
  if (out.size() >> 31) autodiff::fail(describe(net), ": more than 2^31 parameters");
  return out;
}

autodiff::Value forward(const Mlp& net, const GraphParameters& parameters, autodiff::Value x, Pass&) {
  x = autodiff::flatten(as_samples(describe(net), x, net.inputs));
  for (std::size_t i = 0; i < net.hidden.size(); ++i) x = autodiff::relu(dense(x, parameters, layer(i)));
  return dense(x, parameters, layer(net.hidden.size()));
}

}  // namespace nn
