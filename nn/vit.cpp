#include "nn/vit.h"

#include "autodiff/graph/ops.h"
#include "nn/attention.h"
#include "nn/dense.h"
#include "nn/layer_norm.h"

namespace nn {
namespace {

using autodiff::fail;
using autodiff::Value;

std::string block(int index) { return "block" + std::to_string(index + 1); }

int tokens(const Vit& net) { return net.inputs[0] / net.patch * (net.inputs[1] / net.patch); }
int pixels(const Vit& net) { return net.patch * net.patch * net.inputs[2]; }

void check(const Vit& net) {
  const autodiff::Shape& s = net.inputs;
  if (s.rank() != 3 || s.size() < 1 || s.size() > 1u << 30) {
    fail("vit: want inputs [height, width, channels] of 1 to 2^30 elements, got ", s);
  }
  if (net.patch < 1 || s[0] % net.patch != 0 || s[1] % net.patch != 0) {
    fail("vit: want a patch that divides height and width of inputs ", s, ", got ", net.patch);
  }
  if (net.heads < 1 || net.width < 1 || net.width % net.heads != 0) {
    fail("vit: want at least one head and a width that is a multiple of the heads, got ", net.heads,
         " heads and width ", net.width);
  }
  if (net.depth < 1) fail("vit: want a depth of at least 1, got ", net.depth);
  if (net.mlp < 1) fail("vit: want at least one hidden unit in mlp, got ", net.mlp);
  if (net.classes < 1) fail("vit: want at least one class, got ", net.classes);
}

// [n, height, width, channels] -> [n, tokens, pixels of a patch]: rows of patches, then patches of a row.
Value patches(const Vit& net, Value x) {
  const int n = x.shape()[0], p = net.patch, down = net.inputs[0] / p, across = net.inputs[1] / p;
  x = autodiff::reshape(x, {n, down, p, across, p, net.inputs[2]});
  return autodiff::reshape(autodiff::transpose(x, {0, 1, 3, 2, 4, 5}), {n, tokens(net), pixels(net)});
}

}  // namespace

std::string describe(const Vit& net) {
  return autodiff::text("vit ", edges(net.inputs), " patch ", net.patch, " width ", net.width, " depth ",
                        net.depth, " heads ", net.heads, " mlp ", net.mlp, " classes ", net.classes);
}

Layout layout(const Vit& net) {
  check(net);
  Layout out;
  add_dense(out, "embed", pixels(net), net.width);
  // Normal numbers of standard deviation 0.02, whatever the number of tokens.
  out.add("position", {tokens(net), net.width},
          {Distribution::normal, 0.02 * 0.02 * static_cast<double>(tokens(net)), Fan::in});
  for (int i = 0; i < net.depth; ++i) {
    add_encoder_block(out, block(i), net.width, net.mlp);
    if (out.size() >> 31) break;
  }
  add_layer_norm(out, "norm", net.width);
  add_dense(out, "head", net.width, net.classes);
  if (out.size() >> 31) fail(describe(net), ": more than 2^31 parameters");
  return out;
}

Value forward(const Vit& net, const GraphParameters& parameters, Value x, Pass&) {
  check(net);
  x = patches(net, as_samples(describe(net), x, net.inputs));
  x = dense(x, parameters, "embed") + parameters["position"];
  for (int i = 0; i < net.depth; ++i) x = encoder_block(x, parameters, block(i), {.heads = net.heads});
  x = autodiff::mean(layer_norm(x, parameters, "norm"), {.axes = {1}});
  return dense(x, parameters, "head");
}

}  // namespace nn
