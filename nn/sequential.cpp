#include "nn/sequential.h"

#include <algorithm>

#include "autodiff/graph/ops.h"
#include "nn/batch_norm.h"
#include "nn/conv.h"
#include "nn/dense.h"
#include "nn/dropout.h"
#include "nn/gelu.h"
#include "nn/layer_norm.h"
#include "nn/placed_layers.h"

namespace nn {
namespace {

using autodiff::fail;
using autodiff::Value;

void add_layers(Layout& out, const std::vector<Placed>& layers) {
  for (const Placed& p : layers) {
    const int width = p.in[-1];
    if (const auto* conv = std::get_if<Conv2d>(&p.layer->form)) {
      add_conv(out, p.name, conv->kernel, width, conv->filters, conv->groups);
      if (conv->bias) out.add(p.name + ".bias", {conv->filters}, zeros);
    } else if (std::holds_alternative<BatchNorm>(p.layer->form)) {
      add_batch_norm(out, p.name, width);
    } else if (std::holds_alternative<LayerNorm>(p.layer->form)) {
      add_layer_norm(out, p.name, width);
    } else if (const auto* dense = std::get_if<Dense>(&p.layer->form)) {
      add_dense(out, p.name, width, p.out[0], {.bias = dense->bias});
    }
    add_layers(out, p.inside);
    if (out.size() >> 31) return;
  }
}

// The graph of the layers, one after the other.
class Forward {
 public:
  Forward(const GraphParameters& parameters, Pass& pass) : parameters_(parameters), pass_(pass) {}

  Value all(const std::vector<Placed>& layers, Value x) {
    for (std::size_t i = 0; i < layers.size(); ++i) {
      const auto* conv = std::get_if<Conv2d>(&layers[i].layer->form);
      if (conv && i + 1 < layers.size() && std::holds_alternative<BatchNorm>(layers[i + 1].layer->form)) {
        const std::string& name = layers[i].name;
        const Value bias = conv->bias ? parameters_[name + ".bias"] : Value{};
        x = conv_norm(x, parameters_, name, layers[i + 1].name, pass_, options(*conv), bias);
        ++i;
        continue;
      }
      x = std::visit([&](const auto& form) { return one(form, layers[i], x); }, layers[i].layer->form);
    }
    return x;
  }

 private:
  static autodiff::Conv2dOptions options(const Conv2d& l) {
    autodiff::Conv2dOptions out{.stride = l.stride, .dilation = l.dilation, .groups = l.groups};
    if (l.padding.zeros) out.padding = autodiff::pad_all(*l.padding.zeros);
    return out;
  }
  template <class Pool>
  static autodiff::PoolOptions windows(const Pool& l) {
    return {.window = l.size, .stride = l.stride};
  }

  Value one(const Conv2d& l, const Placed& p, Value x) {
    x = conv(x, parameters_, p.name, options(l));
    return l.bias ? x + parameters_[p.name + ".bias"] : x;
  }
  Value one(const BatchNorm&, const Placed& p, Value x) { return batch_norm(x, parameters_, p.name, pass_); }
  Value one(const LayerNorm&, const Placed& p, Value x) { return layer_norm(x, parameters_, p.name); }
  Value one(const Relu&, const Placed&, Value x) { return autodiff::relu(x); }
  Value one(const Gelu&, const Placed&, Value x) { return gelu(x); }
  Value one(const Tanh&, const Placed&, Value x) { return autodiff::tanh(x); }
  Value one(const Sigmoid&, const Placed&, Value x) { return autodiff::sigmoid(x); }
  Value one(const MaxPool& l, const Placed&, Value x) { return autodiff::max_pool(x, windows(l)); }
  Value one(const AvgPool& l, const Placed&, Value x) { return autodiff::avg_pool(x, windows(l)); }
  Value one(const GlobalAvgPool&, const Placed&, Value x) { return autodiff::global_avg_pool(x); }
  Value one(const Flatten&, const Placed&, Value x) { return autodiff::flatten(x); }
  Value one(const Dense& l, const Placed& p, Value x) {
    return dense(x, parameters_, p.name, {.bias = l.bias});
  }
  Value one(const Dropout& l, const Placed&, Value x) { return dropout(x, l.rate, pass_); }
  Value one(const Residual&, const Placed& p, Value x) { return x + all(p.inside, x); }

  const GraphParameters& parameters_;
  Pass& pass_;
};

std::string widths(const std::vector<Layer>& layers, int classes) {
  std::string out;
  const auto add = [&out](const std::string& word) { out += (out.empty() ? "" : "-") + word; };
  for (const Layer& layer : layers) {
    if (const auto* conv = std::get_if<Conv2d>(&layer.form)) add("conv" + std::to_string(conv->filters));
    if (const auto* dense = std::get_if<Dense>(&layer.form))
      add(std::to_string(dense->units.value_or(classes)));
    if (const auto* residual = std::get_if<Residual>(&layer.form)) {
      add('(' + widths(residual->layers, classes) + ')');
    }
  }
  return out;
}

bool drops(const std::vector<Layer>& layers) {
  return std::ranges::any_of(layers, [](const Layer& layer) {
    const auto* dropout = std::get_if<Dropout>(&layer.form);
    const auto* residual = std::get_if<Residual>(&layer.form);
    return (dropout && dropout->rate > 0) || (residual && drops(residual->layers));
  });
}

}  // namespace

std::string describe(const Sequential& net) { return "sequential " + widths(net.layers, net.classes); }

Layout layout(const Sequential& net) {
  Layout out;
  add_layers(out, place_layers(net));
  if (out.size() >> 31) fail(describe(net), ": more than 2^31 parameters");
  return out;
}

Value forward(const Sequential& net, const GraphParameters& parameters, Value x, Pass& pass) {
  return Forward(parameters, pass).all(place_layers(net), as_samples(describe(net), x, net.inputs));
}

bool has_dropout(const Sequential& net) { return drops(net.layers); }

}  // namespace nn
