#include "nn/network.h"

namespace nn {

std::string describe(const Network& net) {
  return std::visit([](const auto& n) { return describe(n); }, net);
}

std::shared_ptr<const Layout> layout(const Network& net) {
  return std::make_shared<Layout>(std::visit([](const auto& n) { return layout(n); }, net));
}

autodiff::Value forward(const Network& net, const GraphParameters& parameters, autodiff::Value x,
                        Pass& pass) {
  return std::visit([&](const auto& n) { return forward(n, parameters, x, pass); }, net);
}

autodiff::Value forward(const Network& net, const GraphParameters& parameters, autodiff::Value x) {
  Pass pass;
  return forward(net, parameters, x, pass);
}

const autodiff::Shape& input_shape(const Network& net) {
  return std::visit([](const auto& n) -> const autodiff::Shape& { return n.inputs; }, net);
}

int classes(const Network& net) {
  return std::visit([](const auto& n) { return n.classes; }, net);
}

bool has_statistics(const Network& net) {
  const auto all = layout(net);
  return all->trainable() != all->size();
}

bool has_dropout(const Network& net) {
  const auto* sequential = std::get_if<Sequential>(&net);
  return sequential && has_dropout(*sequential);
}

Parameters initialize(const Network& net, autodiff::Seed seed) { return initialize(layout(net), seed); }

}  // namespace nn
