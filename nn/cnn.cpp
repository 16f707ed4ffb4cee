#include "nn/cnn.h"

#include "autodiff/graph/ops.h"
#include "nn/conv.h"
#include "nn/dense.h"

namespace nn {
namespace {

using autodiff::fail;

std::string conv_name(int index) { return "conv" + std::to_string(index); }
std::string dense_name(std::size_t index) { return "dense" + std::to_string(index); }

}  // namespace

std::string describe(const Cnn& net) {
  std::string out = "cnn ";
  for (std::size_t s = 0; s < net.stages.size(); ++s) {
    out += s ? "/" : "";
    for (std::size_t i = 0; i < net.stages[s].size(); ++i) {
      out += (i ? "," : "") + std::to_string(net.stages[s][i]);
    }
  }
  for (const int width : net.hidden) out += "-" + std::to_string(width);
  return out + "-" + std::to_string(net.classes);
}

Layout layout(const Cnn& net) {
  if (net.inputs.rank() != 3 || net.inputs.size() < 1) {
    fail("cnn: want inputs [H, W, C], got shape ", net.inputs);
  }
  if (net.stages.empty()) fail("cnn: want at least one stage of convolutions, got none");
  if (net.classes < 1) fail("cnn: want at least one class, got ", net.classes);
  Layout out;
  int height = net.inputs[0], width = net.inputs[1], channels = net.inputs[2], index = 0;
  for (const std::vector<int>& stage : net.stages) {
    if (stage.empty()) fail("cnn: want at least one convolution in every stage, got a stage of none");
    for (const int filters : stage) {
      if (filters < 1) fail("cnn: want at least one filter, got ", filters);
      const std::string name = conv_name(++index);
      add_conv(out, name, 3, channels, filters);
      out.add(name + ".bias", {filters}, zeros);
      channels = filters;
    }
    height /= 2, width /= 2;
    if (height < 1 || width < 1) {
      fail("cnn: ", net.stages.size(), " stages are too many for images of ", net.inputs,
           ": each halves them");
    }
  }
  const double flat = 1.0 * height * width * channels;
  if (flat > 1e9) fail(describe(net), ": ", flat, " values after the convolutions are beyond 10^9");
  auto in = static_cast<int>(flat);
  for (std::size_t i = 0; i <= net.hidden.size(); ++i) {
    const int units = i < net.hidden.size() ? net.hidden[i] : net.classes;
    if (units < 1) fail("cnn: want hidden widths of at least 1, got ", units);
    add_dense(out, dense_name(i + 1), in, units);
    in = units;
  }
  if (out.size() >> 31) fail(describe(net), ": more than 2^31 parameters");
  return out;
}

autodiff::Value forward(const Cnn& net, const GraphParameters& parameters, autodiff::Value x, Pass&) {
  x = as_samples(describe(net), x, net.inputs);
  int index = 0;
  for (const std::vector<int>& stage : net.stages) {
    for (std::size_t i = 0; i < stage.size(); ++i) {
      const std::string name = conv_name(++index);
      x = autodiff::relu(conv(x, parameters, name) + parameters[name + ".bias"]);
    }
    x = autodiff::avg_pool(x);
  }
  x = autodiff::flatten(x);
  for (std::size_t i = 1; i <= net.hidden.size(); ++i)
    x = autodiff::relu(dense(x, parameters, dense_name(i)));
  return dense(x, parameters, dense_name(net.hidden.size() + 1));
}

}  // namespace nn
