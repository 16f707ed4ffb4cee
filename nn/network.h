// A network is data: a description from which layout, graph, names and size follow.
#pragma once

#include <memory>
#include <string>
#include <variant>

#include "nn/cnn.h"
#include "nn/mlp.h"
#include "nn/resnet.h"
#include "nn/sequential.h"
#include "nn/vit.h"

namespace nn {

/// One struct per family. A new family needs layout(), forward() and describe() of its own and a line here.
using Network = std::variant<Mlp, Cnn, ResNet, Vit, Sequential>;

std::string describe(const Network& net);
std::shared_ptr<const Layout> layout(const Network& net);
/// Logits [n, classes] for x [n, inputs...].
autodiff::Value forward(const Network& net, const GraphParameters& parameters, autodiff::Value x, Pass& pass);
/// The same in evaluation mode.
autodiff::Value forward(const Network& net, const GraphParameters& parameters, autodiff::Value x);
/// Shape of one input sample, and number of outputs.
const autodiff::Shape& input_shape(const Network& net);
int classes(const Network& net);
/// Whether it has batch norms, whose running statistics are parameters too.
bool has_statistics(const Network& net);
/// Whether a training step drops elements, by masks that it draws.
bool has_dropout(const Network& net);
/// Freshly initialized parameters.
Parameters initialize(const Network& net, autodiff::Seed seed);

}  // namespace nn
