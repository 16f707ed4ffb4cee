// A network is data: a description from which layout, graph, names and size follow.
#pragma once

#include <memory>
#include <string>
#include <variant>

#include "nn/mlp.h"

namespace nn {

/// One struct per family. A new family needs layout(), forward() and describe() of its own and a line here.
using Network = std::variant<Mlp>;

std::string describe(const Network& net);
std::shared_ptr<const Layout> layout(const Network& net);
autodiff::Value forward(const Network& net, const GraphParameters& parameters, autodiff::Value x);
/// Shape of one input sample, and number of outputs.
const autodiff::Shape& input_shape(const Network& net);
int classes(const Network& net);
/// Freshly initialized parameters.
Parameters initialize(const Network& net, autodiff::Seed seed);

}  // namespace nn
