#include "nn/placed_layers.h"

#include <concepts>
#include <cstdint>

#include "autodiff/tensor/error.h"
#include "nn/layer_fields.h"

namespace nn {
namespace {

using autodiff::fail;
using autodiff::Shape;
using autodiff::text;

constexpr std::size_t most_values = std::size_t{1} << 30;  // of one sample, anywhere
constexpr int most_layers = 1000, most_depth = 8;

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

}  // namespace

std::vector<Placed> place_layers(const Sequential& net) { return Placement(net).all(); }

}  // namespace nn
