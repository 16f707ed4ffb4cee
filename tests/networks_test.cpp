// Convolutional and residual networks: names, shapes, sizes.
#include "nn/network.h"

#include "tests/catch.h"
#include "tests/files.h"
#include "tests/network_outputs.h"

using autodiff::Seed;
using autodiff::Shape;
using nn::Cnn;
using nn::Network;
using nn::ResNet;

namespace {

// "name [shape]" of every parameter, statistics marked with a star.
std::vector<std::string> entries(const Network& net) {
  std::vector<std::string> out;
  const auto layout = nn::layout(net);
  for (const nn::ParameterInfo& info : layout->entries()) {
    const char* mark = info.kind == nn::Kind::statistic ? "* " : " ";
    out.push_back(autodiff::text(info.name, mark, info.shape));
  }
  return out;
}

// A convolution's kernel and its norm.
void add_pair(std::vector<std::string>& out, const std::string& conv, const std::string& norm,
              const std::string& kernel, const std::string& channels) {
  out.push_back(conv + ".kernel " + kernel);
  out.push_back(norm + ".scale " + channels);
  out.push_back(norm + ".bias " + channels);
  out.push_back(norm + ".mean* " + channels);
  out.push_back(norm + ".var* " + channels);
}

std::size_t trainable(const Network& net) { return nn::layout(net)->trainable(); }

}  // namespace

TEST_CASE("the parameters of a convolutional network") {
  const Cnn net{.inputs = {7, 9, 2}, .stages = {{3, 4}, {5}}, .hidden = {6}, .classes = 10};
  CHECK(nn::describe(net) == "cnn 3,4/5-6-10");
  const std::vector<std::string> want{"conv1.kernel [3, 3, 2, 3]", "conv1.bias [3]",
                                      "conv2.kernel [3, 3, 3, 4]", "conv2.bias [4]",
                                      "conv3.kernel [3, 3, 4, 5]", "conv3.bias [5]",
                                      "dense1.kernel [10, 6]",     "dense1.bias [6]",  // 1 x 2 x 5
                                      "dense2.kernel [6, 10]",     "dense2.bias [10]"};
  CHECK(entries(net) == want);
  CHECK_FALSE(nn::has_statistics(net));
  CHECK(nn::describe(Cnn{}) == "cnn 32/64-256-10");
  CHECK(nn::layout(Cnn{}).size() == 320 + 18496 + 803072 + 2570);  // the reference's
}

TEST_CASE("the parameters of a residual network") {
  const ResNet net{.inputs = {8, 8, 3}, .filters = 4, .blocks = {1, 1}, .classes = 5};
  CHECK(nn::describe(net) == "resnet 4x1-1");
  std::vector<std::string> want;
  add_pair(want, "stem.conv", "stem.norm", "[3, 3, 3, 4]", "[4]");
  add_pair(want, "stage1.block1.conv1", "stage1.block1.norm1", "[3, 3, 4, 4]", "[4]");
  add_pair(want, "stage1.block1.conv2", "stage1.block1.norm2", "[3, 3, 4, 4]", "[4]");
  add_pair(want, "stage2.block1.conv1", "stage2.block1.norm1", "[3, 3, 4, 8]", "[8]");
  add_pair(want, "stage2.block1.conv2", "stage2.block1.norm2", "[3, 3, 8, 8]", "[8]");
  add_pair(want, "stage2.block1.proj.conv", "stage2.block1.proj.norm", "[1, 1, 4, 8]", "[8]");
  want.insert(want.end(), {"head.kernel [8, 5]", "head.bias [5]"});
  CHECK(entries(net) == want);
  CHECK(nn::has_statistics(net));
}

TEST_CASE("the parameters of a residual network with bottlenecks, in the form for large images") {
  const ResNet net{.inputs = {32, 32, 1},
                   .filters = 2,
                   .blocks = {2},
                   .classes = 3,
                   .form = ResNet::Form::imagenet,
                   .bottleneck = true};
  CHECK(nn::describe(net) == "resnet ib2x2");
  std::vector<std::string> want;
  add_pair(want, "stem.conv", "stem.norm", "[7, 7, 1, 2]", "[2]");
  for (const auto& [block, in] : {std::pair{"stage1.block1", "2"}, {"stage1.block2", "8"}}) {
    const std::string name = block;
    add_pair(want, name + ".conv1", name + ".norm1", std::string("[1, 1, ") + in + ", 2]", "[2]");
    add_pair(want, name + ".conv2", name + ".norm2", "[3, 3, 2, 2]", "[2]");
    add_pair(want, name + ".conv3", name + ".norm3", "[1, 1, 2, 8]", "[8]");
    if (name == "stage1.block1")
      add_pair(want, name + ".proj.conv", name + ".proj.norm", "[1, 1, 2, 8]", "[8]");
  }
  want.insert(want.end(), {"head.kernel [8, 3]", "head.bias [3]"});
  CHECK(entries(net) == want);
}

TEST_CASE("the last scale of every block starts at 0, and no other") {
  for (const bool bottleneck : {false, true}) {
    const ResNet net{.inputs = {8, 8, 3}, .filters = 2, .blocks = {1, 2}, .bottleneck = bottleneck};
    const nn::Parameters params = nn::initialize(net, {1});
    const std::string last = bottleneck ? ".norm3.scale" : ".norm2.scale";
    int found = 0;
    for (const nn::ParameterInfo& info : params.layout().entries()) {
      if (!info.name.ends_with(".scale")) continue;
      const bool zero = info.name.ends_with(last);
      found += zero;
      for (const float scale : params[info.name]) REQUIRE(scale == (zero ? 0.0f : 1.0f));
    }
    CHECK(found == 3);
  }
}

TEST_CASE("outputs are [samples, classes], for images and for the same numbers flattened") {
  const std::vector<Network> nets{
      Cnn{.inputs = {7, 10, 2}, .stages = {{3}, {4}}, .hidden = {5}, .classes = 3},
      ResNet{.inputs = {9, 7, 2}, .filters = 2, .blocks = {1, 1, 1}, .classes = 3},
      ResNet{.inputs = {17, 16, 2},
             .filters = 2,
             .blocks = {1, 1},
             .classes = 3,
             .form = ResNet::Form::imagenet,
             .bottleneck = true},
      nn::Vit{.inputs = {4, 6, 2}, .width = 6, .heads = 2, .mlp = 5, .classes = 3},
      nn::Sequential{.inputs = {4, 6, 2},
                     .layers = {nn::Conv2d{.filters = 3}, nn::BatchNorm{}, nn::Relu{}, nn::Dropout{},
                                nn::GlobalAvgPool{}, nn::Dense{}},
                     .classes = 3},
      ResNet{.inputs = {1, 1, 2}, .filters = 2, .blocks = {1, 1, 1}, .classes = 3}};
  for (const Network& net : nets) {
    INFO(nn::describe(net));
    for (const int samples : {1, 5}) {
      for (const bool flat : {false, true}) {
        autodiff::Graph graph;
        const nn::GraphParameters params(graph, *nn::layout(net));
        const Shape& sample = nn::input_shape(net);
        const Shape shape = flat ? Shape{samples, static_cast<int>(sample.size())} : sample.batched(samples);
        CHECK(nn::forward(net, params, graph.input(shape, "x")).shape() == Shape{samples, 3});
      }
    }
    autodiff::Graph graph;
    const nn::GraphParameters params(graph, *nn::layout(net));
    CHECK_THAT(error_of([&] {
                 nn::forward(net, params, graph.input({2, 3, 3, 3}, "x"));
               }),
               ContainsSubstring(nn::describe(net) + ": want samples of shape"));
    const nn::Parameters random = tests::random_parameters(net, {1});
    const auto x = tests::normal_samples(net, 2, {2});
    const auto out = tests::run_forward(net, random, x).outputs;
    REQUIRE(out.size() == 6);
    for (const float z : out) CHECK(std::isfinite(z));
    // A sample's outputs are its own, in evaluation.
    const auto first = tests::run_forward(net, random, std::span(x).first(x.size() / 2)).outputs;
    CHECK(tests::relative_difference(std::span(out).first(3), first) <= 1e-6);
  }
}

TEST_CASE("sizes of residual networks for images of 32 x 32 and 100 classes") {
  // Stages of n blocks with 16, 32, 64 filters; every one of the published numbers.
  const auto size = [](int n) { return trainable(ResNet{.blocks = {n, n, n}, .classes = 100}); };
  CHECK(size(1) == 83892);
  CHECK(size(2) == 181108);
  CHECK(size(3) == 278324);
  CHECK(size(4) == 375540);
  CHECK(size(8) == 764404);
  CHECK(size(16) == 1542132);
}

TEST_CASE("named nets have the sizes that are well known") {
  CHECK(trainable(nn::resnet_imagenet(18)) == 11689512);
  CHECK(trainable(nn::resnet_imagenet(34)) == 21797672);
  CHECK(trainable(nn::resnet_imagenet(50)) == 25557032);
  CHECK(trainable(nn::resnet_imagenet(101)) == 44549160);
  CHECK(trainable(nn::resnet_imagenet(152)) == 60192808);
  // Two layers in a block of the nets for CIFAR, three in a bottleneck, and the stem and the head.
  const auto depth = [](const ResNet& net) {
    return 2 + static_cast<int>(nn::residual_blocks(net).size()) * (net.bottleneck ? 3 : 2);
  };
  for (const int d : {20, 32, 44, 56, 110}) CHECK(depth(nn::resnet_cifar(d)) == d);
  for (const int d : {18, 34, 50, 101, 152, 200}) CHECK(depth(nn::resnet_imagenet(d)) == d);
  // The paper's table for CIFAR-10, in millions. It has shortcuts without parameters where these nets
  // project: 512 and 2048 weights, and 2 x 32 and 2 x 64 of their norms.
  const auto published = [](int d) {
    return static_cast<double>(trainable(nn::resnet_cifar(d)) - 2752) / 1e6;
  };
  CHECK(published(20) == Approx(0.27).margin(0.005));
  CHECK(published(32) == Approx(0.46).margin(0.005));
  CHECK(published(44) == Approx(0.66).margin(0.005));
  CHECK(published(56) == Approx(0.85).margin(0.005));
  CHECK(published(110) == Approx(1.7).margin(0.05));
  CHECK_THAT(error_of([] { nn::resnet_cifar(21); }),
             ContainsSubstring("want a depth of 20, 32, 44, 56, 110, got 21"));
  CHECK_THAT(error_of([] { nn::resnet_imagenet(20); }),
             ContainsSubstring("want a depth of 18, 34, 50, 101, 152, 200, got 20"));
}
