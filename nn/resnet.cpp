#include "nn/resnet.h"

#include <map>

#include "autodiff/graph/ops.h"
#include "nn/conv.h"
#include "nn/dense.h"

namespace nn {
namespace {

using autodiff::fail;
using autodiff::Value;

ResNet named(const char* who, const std::map<int, std::vector<int>>& nets, int depth) {
  const auto found = nets.find(depth);
  if (found != nets.end()) return {.blocks = found->second};
  std::string depths;
  for (const auto& [d, blocks] : nets) depths += (depths.empty() ? "" : ", ") + std::to_string(d);
  fail(who, ": want a depth of ", depths, ", got ", depth);
}

// One convolution of a block with its norm: conv1 and norm1, conv2 and norm2, ...
struct BlockLayer {
  int window, in, out, stride;
};

std::vector<BlockLayer> layers(const ResNet& net, const ResNetBlock& b) {
  if (!net.bottleneck) return {{3, b.in, b.out, b.stride}, {3, b.out, b.out, 1}};
  return {{1, b.in, b.width, 1}, {3, b.width, b.width, b.stride}, {1, b.width, b.out, 1}};
}

Value stem(const ResNet& net, const GraphParameters& p, Value x, Pass& pass) {
  if (net.form == ResNet::Form::cifar) return autodiff::relu(conv_norm(x, p, "stem.conv", "stem.norm", pass));
  const autodiff::Conv2dOptions options{.stride = 2, .padding = autodiff::pad_all(3)};
  x = autodiff::relu(conv_norm(x, p, "stem.conv", "stem.norm", pass, options));
  const auto same = autodiff::same_padding(x.shape()[1], x.shape()[2], 3, 3, 2);
  return autodiff::max_pool(x, {.window = 3, .stride = 2, .padding = same});
}

Value block(const ResNet& net, const ResNetBlock& b, const GraphParameters& p, Value x, Pass& pass) {
  Value y = x;
  const std::vector<BlockLayer> all = layers(net, b);
  for (std::size_t i = 0; i < all.size(); ++i) {
    const std::string number = std::to_string(i + 1);
    y = conv_norm(y, p, b.name + ".conv" + number, b.name + ".norm" + number, pass,
                  {.stride = all[i].stride});
    if (i + 1 < all.size()) y = autodiff::relu(y);
  }
  if (b.projects()) {
    x = conv_norm(x, p, b.name + ".proj.conv", b.name + ".proj.norm", pass, {.stride = b.stride});
  }
  return autodiff::relu(y + x);
}

}  // namespace

ResNet resnet_cifar(int depth, int classes) {
  ResNet net =
      named("resnet for CIFAR",
            {{20, {3, 3, 3}}, {32, {5, 5, 5}}, {44, {7, 7, 7}}, {56, {9, 9, 9}}, {110, {18, 18, 18}}}, depth);
  net.classes = classes;
  return net;
}

ResNet resnet_imagenet(int depth, int classes) {
  ResNet net = named("resnet for ImageNet",
                     {{18, {2, 2, 2, 2}},
                      {34, {3, 4, 6, 3}},
                      {50, {3, 4, 6, 3}},
                      {101, {3, 4, 23, 3}},
                      {152, {3, 8, 36, 3}},
                      {200, {3, 24, 36, 3}}},
                     depth);
  net.inputs = {224, 224, 3};
  net.filters = 64;
  net.classes = classes;
  net.form = ResNet::Form::imagenet;
  net.bottleneck = depth >= 50;
  return net;
}

std::string describe(const ResNet& net) {
  std::string out = "resnet ";
  if (net.form == ResNet::Form::imagenet) out += "i";
  if (net.bottleneck) out += "b";
  out += std::to_string(net.filters);
  for (std::size_t s = 0; s < net.blocks.size(); ++s) out += (s ? "-" : "x") + std::to_string(net.blocks[s]);
  return out;
}

std::vector<ResNetBlock> residual_blocks(const ResNet& net) {
  std::vector<ResNetBlock> out;
  int in = net.filters;
  for (std::size_t s = 0; s < net.blocks.size(); ++s) {
    const int width = net.filters << s;
    for (int b = 0; b < net.blocks[s]; ++b) {
      ResNetBlock block{.name = "stage" + std::to_string(s + 1) + ".block" + std::to_string(b + 1),
                        .stage = static_cast<int>(s),
                        .in = in,
                        .width = width,
                        .out = net.bottleneck ? 4 * width : width,
                        .stride = s > 0 && b == 0 ? 2 : 1};
      in = block.out;
      out.push_back(std::move(block));
    }
  }
  return out;
}

Layout layout(const ResNet& net) {
  if (net.inputs.rank() != 3 || net.inputs.size() < 1) {
    fail("resnet: want inputs [H, W, C], got shape ", net.inputs);
  }
  if (net.classes < 1) fail("resnet: want at least one class, got ", net.classes);
  if (net.blocks.empty() || net.blocks.size() > 8) {
    fail("resnet: want 1 to 8 stages, got blocks for ", net.blocks.size());
  }
  for (const int blocks : net.blocks) {
    if (blocks < 1 || blocks > 10000) fail("resnet: want 1 to 10,000 blocks in every stage, got ", blocks);
  }
  if (net.filters < 1 || net.filters > 1 << 16) fail("resnet: want 1 to 65,536 filters, got ", net.filters);
  Layout out;
  const auto add = [&](const std::string& conv, const std::string& norm, int window, int from, int to,
                       const Initializer& scale = ones) {
    add_conv(out, conv, window, from, to);
    add_batch_norm(out, norm, to, scale);
  };
  add("stem.conv", "stem.norm", net.form == ResNet::Form::cifar ? 3 : 7, net.inputs[2], net.filters);
  int channels = net.filters;
  for (const ResNetBlock& b : residual_blocks(net)) {
    const std::vector<BlockLayer> all = layers(net, b);
    for (std::size_t i = 0; i < all.size(); ++i) {
      const std::string number = std::to_string(i + 1);
      add(b.name + ".conv" + number, b.name + ".norm" + number, all[i].window, all[i].in, all[i].out,
          i + 1 == all.size() ? zeros : ones);
    }
    if (b.projects()) add(b.name + ".proj.conv", b.name + ".proj.norm", 1, b.in, b.out);
    channels = b.out;
    if (out.size() >> 31) fail(describe(net), ": more than 2^31 parameters");
  }
  add_dense(out, "head", channels, net.classes);
  return out;
}

Value forward(const ResNet& net, const GraphParameters& parameters, Value x, Pass& pass) {
  x = stem(net, parameters, as_samples(describe(net), x, net.inputs), pass);
  for (const ResNetBlock& b : residual_blocks(net)) x = block(net, b, parameters, x, pass);
  return dense(autodiff::global_avg_pool(x), parameters, "head");
}

}  // namespace nn
