#include "nn/sequential.h"

#include <algorithm>
#include <cstdint>

#include "autodiff/graph/ops.h"
#include "nn/batch_norm.h"
#include "nn/conv.h"
#include "nn/dense.h"
#include "nn/dropout.h"
#include "nn/gelu.h"
#include "nn/layer_fields.h"
#include "nn/layer_norm.h"

namespace nn {
namespace {

using autodiff::fail;
using autodiff::Shape;
using autodiff::text;
using autodiff::Value;

constexpr std::size_t most_values = std::size_t{1} << 30;  // of one sample, anywhere
constexpr int most_layers = 1000, most_depth = 8;

// A layer in its place: the name of its parameters, and the shapes of a sample before and after it.
struct Placed {
  const Layer* layer;
  std::string name;
  Shape in, out;
  std::vector<Placed> inside = {};  // of a residual layer
};

// Refuses what is out of range.
struct CheckRanges {
  const std::string& where;
  void operator()(const char* key, double value, const Range& range) {
    if (!inside(range, value)) fail(where, ": want ", key, words(range), ", got ", value);
  }
  void operator()(const char* key, std::optional<int> value, const Range& range) {
    if (value) (*this)(key, static_cast<double>(*value), range);
  }
  void operator()(const char* key, int value, const Range& range) {
    (*this)(key, static_cast<double>(value), range);
  }
  void operator()(const char* key, const Border& border, const Range& range) {
    (*this)(key, border.zeros, range);
  }
  void operator()(const char*, bool, const Range&) {}
  void operator()(const char*, const std::vector<Layer>&, const Range&) {}
};

// Puts all layers in their places, or says which one does not fit.
class Placement {
 public:
  explicit Placement(const Sequential& net) : net_(net) {
    for (const Layer& layer : net.layers) {
      if (const auto* dense = std::get_if<Dense>(&layer.form)) last_dense_ = dense;
    }
  }

  std::vector<Placed> all() {
    const Shape& s = net_.inputs;
    if (s.rank() < 1 || s.rank() > 4 || s.size() < 1 || s.size() > most_values) {
      fail("sequential: want inputs of 1 to 2^30 elements on 1 to 4 axes, got shape ", s);
    }
    if (net_.classes < 1) fail("sequential: want at least one class, got ", net_.classes);
    if (net_.layers.empty()) fail("sequential: want at least one layer, got none");
    std::vector<Placed> placed = list(net_.layers, s, "", 1);
    const Shape& out = placed.back().out;
    if (out != Shape{net_.classes}) {
      fail("sequential: the last layer, ", placed.size(), ' ', kind(*placed.back().layer), ", gives ",
           edges(out), ", want ", net_.classes,
           ", the classes: end with a dense layer, which has as many units as classes where it names none");
    }
    return placed;
  }

 private:
  static const char* kind(const Layer& layer) { return layer_kinds.at(layer.form.index()); }

  std::vector<Placed> list(const std::vector<Layer>& layers, Shape shape, const std::string& prefix,
                           int depth) {
    std::vector<Placed> out;
    for (std::size_t i = 0; i < layers.size(); ++i) {
      if (++count_ > most_layers) fail("sequential: want at most ", most_layers, " layers, got more");
      number_ = prefix + std::to_string(i + 1);
      where_ = text("sequential: layer ", number_, " (", kind(layers[i]), ")");
      depth_ = depth;
      in_ = shape;
      out.push_back({.layer = &layers[i], .name = {}, .in = shape, .out = {}});
      Placed& placed = out.back();
      CheckRanges check{where_};
      std::visit(
          [&](auto form) {  // a copy: one list of fields serves readers, too
            fields(check, form);
          },
          layers[i].form);
      placed.out = std::visit([&](const auto& form) { return place(form, placed); }, layers[i].form);
      if (placed.out.size() > most_values)
        fail(where_, ": gives ", edges(placed.out), ", beyond 2^30 values");
      shape = placed.out;
    }
    return out;
  }

  void want_image(const char* what = "wants an image") const {
    if (in_.rank() != 3) fail(where_, ": ", what, ", got ", edges(in_));
  }

  void want_few_weights(double count) const {
    if (count > 0x1p31) fail(where_, ": has ", count, " weights, more than 2^31");
  }

  // Rows or columns after windows of `window`, which fit in with `zeros` more.
  int slid(int edge, std::int64_t window, int zeros, int stride) const {
    const std::int64_t room = std::int64_t{edge} + zeros - window;
    if (room < 0) {
      fail(where_, ": wants windows of ", window, " x ", window, " inside the image, got ", edges(in_),
           zeros ? " and its padding" : "");
    }
    return static_cast<int>(room / stride + 1);
  }

  Shape place(const Conv2d& l, Placed& placed) {
    want_image();
    placed.name = "conv" + std::to_string(++convs_);
    if (in_[2] % l.groups != 0 || l.filters % l.groups != 0) {
      fail(where_, ": wants groups that divide channels and filters, got ", l.groups, " groups for ", in_[2],
           " channels and ", l.filters, " filters");
    }
    want_few_weights(1.0 * l.kernel * l.kernel * (in_[2] / l.groups) * l.filters);
    if (!l.padding.zeros) {
      return {(in_[0] - 1) / l.stride + 1, (in_[1] - 1) / l.stride + 1, l.filters};
    }
    const std::int64_t window = std::int64_t{l.dilation} * (l.kernel - 1) + 1;
    const int zeros = 2 * *l.padding.zeros;
    return {slid(in_[0], window, zeros, l.stride), slid(in_[1], window, zeros, l.stride), l.filters};
  }
  template <class Pool>
  requires std::same_as<Pool, MaxPool> || std::same_as<Pool, AvgPool> Shape place(const Pool& l, Placed&) {
    want_image();
    const int stride = l.stride.value_or(l.size);
    return {slid(in_[0], l.size, 0, stride), slid(in_[1], l.size, 0, stride), in_[2]};
  }
  Shape place(const BatchNorm&, Placed& placed) { return normed(placed); }
  Shape place(const LayerNorm&, Placed& placed) { return normed(placed); }
  Shape normed(Placed& placed) {
    placed.name = "norm" + std::to_string(++norms_);
    return in_;
  }
  Shape place(const GlobalAvgPool&, Placed&) {
    want_image();
    return {in_[2]};
  }
  Shape place(const Flatten&, Placed&) { return {static_cast<int>(in_.size())}; }
  Shape place(const Dense& l, Placed& placed) {
    if (in_.rank() != 1) {
      fail(where_, ": wants a vector, got ", edges(in_), ": put a flatten",
           in_.rank() == 3 ? " or global_avg_pool" : "", " before it");
    }
    if (!l.units && &l != last_dense_) {
      fail(where_, ": wants units; only the last dense layer has as many as classes where it names none");
    }
    placed.name = "dense" + std::to_string(++denses_);
    const int units = l.units.value_or(net_.classes);
    want_few_weights(1.0 * in_[0] * units);
    return {units};
  }
  Shape place(const Residual& l, Placed& placed) {
    const std::string where = where_;
    if (l.layers.empty()) fail(where, ": want at least one layer in it, got none");
    if (depth_ >= most_depth) fail(where, ": want residual layers at most ", most_depth, " deep");
    placed.inside = list(l.layers, placed.in, number_ + '.', depth_ + 1);
    where_ = where;
    const Shape& out = placed.inside.back().out;
    if (out != placed.in) {
      fail(where, ": its layers give ", edges(out), ", want ", edges(placed.in),
           ", the shape of what came in");
    }
    return out;
  }
  // Element by element.
  template <class Other>
  Shape place(const Other&, Placed&) {
    return in_;
  }

  const Sequential& net_;
  const Dense* last_dense_ = nullptr;
  int convs_ = 0, norms_ = 0, denses_ = 0, count_ = 0, depth_ = 0;
  // of the layer that is placed at the moment
  std::string number_, where_;
  Shape in_;
};

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
  add_layers(out, Placement(net).all());
  if (out.size() >> 31) fail(describe(net), ": more than 2^31 parameters");
  return out;
}

Value forward(const Sequential& net, const GraphParameters& parameters, Value x, Pass& pass) {
  return Forward(parameters, pass).all(Placement(net).all(), as_samples(describe(net), x, net.inputs));
}

bool has_dropout(const Sequential& net) { return drops(net.layers); }

}  // namespace nn
