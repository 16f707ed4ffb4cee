// What becomes of the parameters when a network grows.
#include <algorithm>

#include "autodiff/tensor/error.h"
#include "ev3/growth.h"

namespace ev3 {
namespace {

using nn::Cnn;
using nn::Mlp;
using nn::ParameterInfo;

// A parameter as [positions, in, out]: kernels of convolutions have a position for each element of their
// window, vectors (biases, scales, statistics) are [1, 1, out].
struct Axes {
  std::size_t positions = 1, in = 1, out = 1;
};

// Dense layer 1 of a CNN reads [height, width, channels] flattened: its inputs grow at every position.
std::size_t positions_of_first_dense(const Cnn& net) {
  int height = net.inputs[0], width = net.inputs[1];
  for (std::size_t s = 0; s < net.stages.size(); ++s) height /= 2, width /= 2;
  return static_cast<std::size_t>(height) * static_cast<std::size_t>(width);
}

Axes axes_of(const nn::Network& net, const ParameterInfo& info) {
  const autodiff::Shape& s = info.shape;
  Axes axes;
  axes.out = static_cast<std::size_t>(s[-1]);
  if (s.rank() > 1) axes.in = static_cast<std::size_t>(s[-2]);
  axes.positions = s.size() / (axes.in * axes.out);
  if (const auto* cnn = std::get_if<Cnn>(&net); cnn && info.name == "dense1.kernel") {
    axes.positions = positions_of_first_dense(*cnn);
    axes.in /= axes.positions;
  }
  return axes;
}

// Calls visit(value, i, o, the old value or null) for all elements of a parameter in a larger one, in which
// old inputs and outputs come first.
template <class Visit>
void for_each_element(const Axes& old_axes, const Axes& axes, std::span<const float> old,
                      std::span<float> larger, Visit visit) {
  for (std::size_t p = 0; p < axes.positions; ++p) {
    for (std::size_t i = 0; i < axes.in; ++i) {
      for (std::size_t o = 0; o < axes.out; ++o) {
        const bool known = i < old_axes.in && o < old_axes.out;
        visit(larger[(p * axes.in + i) * axes.out + o], i, o,
              known && !old.empty() ? &old[(p * old_axes.in + i) * old_axes.out + o] : nullptr);
      }
    }
  }
}

int convolutions(const nn::Network& net) {
  int count = 0;
  if (const auto* cnn = std::get_if<Cnn>(&net)) {
    for (const auto& stage : cnn->stages) count += static_cast<int>(stage.size());
  }
  return count;
}

// Where "deepen" inserts: layers of the same kind behind the new one are counted one higher.
struct Insertion {
  std::string kind;  ///< "dense", "conv", or "" for other growths
  int number = 0;    ///< of the new layer

  explicit Insertion(const GrowthPlan& plan, const nn::Network& net) {
    if (plan.kind != "deepen") return;
    const int convs = convolutions(net);
    kind = plan.layer <= convs ? "conv" : "dense";
    number = (plan.layer <= convs ? plan.layer : plan.layer - convs) + 1;
  }
  std::string new_layer() const { return kind + std::to_string(number); }
  // "dense3.bias" where it was "dense2.bias"
  std::string moved(const std::string& name) const {
    if (kind.empty() || !name.starts_with(kind)) return name;
    const std::size_t dot = name.find('.');
    const int own = std::stoi(name.substr(kind.size(), dot - kind.size()));
    return own < number ? name : kind + std::to_string(own + 1) + name.substr(dot);
  }
};

// The old parameters in their places; the rest of `larger` stays as it is.
void place(const GrowthPlan& plan, const nn::Network& net, std::span<const float> old,
           nn::Parameters& larger) {
  const Insertion insertion(plan, net);
  const auto layout = nn::layout(net);
  for (const ParameterInfo& info : layout->entries()) {
    const std::string name = insertion.moved(info.name);
    const Axes from = axes_of(net, info), to = axes_of(plan.larger, larger.layout().find(name));
    for_each_element(from, to, old.subspan(info.offset, info.shape.size()), larger[name],
                     [](float& value, std::size_t, std::size_t, const float* known) {
                       if (known) value = *known;
                     });
  }
}

// New inputs do not reach old outputs: those of the layer's next, which the bias or norm of `out` old ones
// follows.
void cut_off_new_inputs(const GrowthPlan& plan, const nn::Network& net, nn::Parameters& larger) {
  const auto layout = nn::layout(net);
  for (const ParameterInfo& info : layout->entries()) {
    if (info.shape.rank() < 2) continue;
    const Axes from = axes_of(net, info), to = axes_of(plan.larger, larger.layout().find(info.name));
    for_each_element(from, to, {}, larger[info.name],
                     [&](float& value, std::size_t i, std::size_t o, const float*) {
                       if (i >= from.in && o < from.out) value = 0;
                     });
  }
}

void silence_new_scales(const nn::Network& net, nn::Parameters& larger) {
  const auto layout = nn::layout(net);
  for (const ParameterInfo& info : layout->entries()) {
    if (!info.name.ends_with(".scale")) continue;
    const std::span<float> scales = larger[info.name];
    std::fill(scales.begin() + static_cast<std::ptrdiff_t>(info.shape.size()), scales.end(), 0.0f);
  }
}

// A dense kernel becomes the unit matrix, that of a convolution has it in the middle of its window; the bias
// 0.
void make_identity(nn::Parameters& larger, const std::string& name) {
  const std::span<float> kernel = larger[name + ".kernel"], bias = larger[name + ".bias"];
  std::fill(kernel.begin(), kernel.end(), 0.0f);
  std::fill(bias.begin(), bias.end(), 0.0f);
  const std::size_t width = bias.size(), positions = kernel.size() / (width * width);
  for (std::size_t i = 0; i < width; ++i) kernel[(positions / 2 * width + i) * width + i] = 1;
}

}  // namespace

nn::Parameters grow(const GrowthPlan& plan, const nn::Network& network, const nn::Parameters& params,
                    const nn::Parameters& fresh) {
  if (!(*nn::layout(plan.larger) == fresh.layout())) {
    autodiff::fail("grow: the fresh parameters are not those of ", nn::describe(plan.larger));
  }
  nn::Parameters larger = fresh;
  if (!plan.morphism) return larger;
  place(plan, network, params.values(), larger);
  if (plan.kind == "deepen") make_identity(larger, Insertion(plan, network).new_layer());
  if (plan.kind == "widen" && plan.new_units == NewUnits::outgoing_zero)
    cut_off_new_inputs(plan, network, larger);
  if (plan.kind == "widen" && plan.new_units == NewUnits::scale_zero) silence_new_scales(network, larger);
  return larger;
}

nn::Parameters carry(const GrowthPlan& plan, const nn::Network& network, std::span<const float> moments) {
  nn::Parameters larger(nn::layout(plan.larger));
  if (plan.morphism) place(plan, network, moments, larger);
  return larger;
}

}  // namespace ev3
