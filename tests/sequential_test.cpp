// Sequential networks: shapes and sizes, what is refused, values, gradients.
#include "nn/sequential.h"

#include "nn/evaluate.h"
#include "nn/training.h"
#include "tests/catch.h"
#include "tests/files.h"
#include "tests/network_outputs.h"
#include "tests/network_slopes.h"

using autodiff::Shape;
using nn::Sequential;

namespace {

// One of everything that has a derivative everywhere but at single points, in both norms and with both pools.
const Sequential everything{
    .inputs = {9, 8, 2},
    .layers = {nn::Conv2d{.filters = 4}, nn::BatchNorm{}, nn::Relu{},
               nn::Residual{
                   {nn::Conv2d{.filters = 4, .groups = 2, .bias = false}, nn::Gelu{}, nn::LayerNorm{}}},
               nn::MaxPool{.size = 3, .stride = 2},
               nn::Conv2d{.filters = 6, .kernel = 2, .padding = nn::valid}, nn::BatchNorm{}, nn::Tanh{},
               nn::Dropout{0.25}, nn::AvgPool{}, nn::Flatten{}, nn::Dense{.units = 5, .bias = false},
               nn::BatchNorm{}, nn::Sigmoid{}, nn::Dropout{0.5}, nn::Dense{}},
    .classes = 3};

std::string refusal(const std::vector<nn::Layer>& layers, const Shape& inputs = {8, 8, 3}) {
  return error_of([&] { nn::layout(Sequential{.inputs = inputs, .layers = layers, .classes = 10}); });
}

// The output of layers on one sample of 8 x 8 x 3, by the convolution's parameters of Sequential's layout.
Shape shape_after(const std::vector<nn::Layer>& layers) {
  const std::string error = refusal(layers);
  const std::string gives = "gives ", want = ", want 10";
  const std::size_t from = error.find(gives), to = error.find(want);
  REQUIRE(to != error.npos);
  std::vector<int> edges;
  std::stringstream text(error.substr(from + gives.size(), to - from - gives.size()));
  for (std::string edge; std::getline(text, edge, 'x');) edges.push_back(std::stoi(edge));
  return Shape(edges);
}

}  // namespace

TEST_CASE("the parameters of a sequential network are counted from 1 in the order of its layers") {
  CHECK(nn::describe(everything) == "sequential conv4-(conv4)-conv6-5-3");
  const nn::Layout layout = nn::layout(everything);
  std::vector<std::string> entries;
  for (const nn::ParameterInfo& info : layout.entries()) {
    const char* mark = info.kind == nn::Kind::statistic ? "* " : " ";
    entries.push_back(autodiff::text(info.name, mark, info.shape));
  }
  // 9x8 -> pool 4x3 -> conv 3x2 -> pool 1x1 with 6 channels
  const std::vector<std::string> want{"conv1.kernel [3, 3, 2, 4]",
                                      "conv1.bias [4]",
                                      "norm1.scale [4]",
                                      "norm1.bias [4]",
                                      "norm1.mean* [4]",
                                      "norm1.var* [4]",
                                      "conv2.kernel [3, 3, 2, 4]",
                                      "norm2.scale [4]",
                                      "norm2.bias [4]",
                                      "conv3.kernel [2, 2, 4, 6]",
                                      "conv3.bias [6]",
                                      "norm3.scale [6]",
                                      "norm3.bias [6]",
                                      "norm3.mean* [6]",
                                      "norm3.var* [6]",
                                      "dense1.kernel [6, 5]",
                                      "norm4.scale [5]",
                                      "norm4.bias [5]",
                                      "norm4.mean* [5]",
                                      "norm4.var* [5]",
                                      "dense2.kernel [5, 3]",
                                      "dense2.bias [3]"};
  CHECK(entries == want);
  CHECK(layout.size() == 72 + 4 + 16 + 72 + 8 + 96 + 6 + 24 + 30 + 20 + 15 + 3);
  CHECK(layout.trainable() == layout.size() - 2 * (4 + 6 + 5));
  CHECK(nn::has_statistics(everything));
  CHECK(nn::has_dropout(everything));
  CHECK_FALSE(nn::has_dropout(nn::Network(Sequential{})));
  CHECK(nn::has_dropout(Sequential{.layers = {nn::Residual{{nn::Dropout{}}}}}));
  CHECK_FALSE(nn::has_dropout(Sequential{.layers = {nn::Dropout{0}}}));
  CHECK_FALSE(nn::has_dropout(nn::Vit{}));
}

TEST_CASE("layers give the shapes that are computed by hand") {
  using nn::Conv2d;
  const std::pair<nn::Layer, Shape> cases[] = {
      {Conv2d{.filters = 4}, {8, 8, 4}},
      {Conv2d{.filters = 4, .stride = 3}, {3, 3, 4}},                               // ceil(8 / 3)
      {Conv2d{.filters = 4, .padding = nn::valid}, {6, 6, 4}},                      // 8 - 3 + 1
      {Conv2d{.filters = 4, .kernel = 5, .stride = 2, .padding = {1}}, {3, 3, 4}},  // (10 - 5) / 2 + 1
      {Conv2d{.filters = 4, .padding = nn::valid, .dilation = 3}, {2, 2, 4}},       // 8 - 7 + 1
      {Conv2d{.filters = 6, .kernel = 1, .stride = 2, .groups = 3}, {4, 4, 6}},
      {nn::MaxPool{}, {4, 4, 3}},
      {nn::MaxPool{.size = 3}, {2, 2, 3}},  // the last two rows and columns are dropped
      {nn::AvgPool{.size = 3, .stride = 1}, {6, 6, 3}},
      {nn::GlobalAvgPool{}, {3}},
      {nn::Flatten{}, {192}},
      {nn::BatchNorm{}, {8, 8, 3}},
      {nn::LayerNorm{}, {8, 8, 3}},
      {nn::Gelu{}, {8, 8, 3}},
      {nn::Dropout{}, {8, 8, 3}},
      {nn::Residual{{Conv2d{.filters = 3}, nn::Relu{}}}, {8, 8, 3}}};
  for (const auto& [layer, shape] : cases) {
    INFO(nn::layer_kinds.at(layer.form.index()));
    CHECK(shape_after({layer}) == shape);
    // The graph says the same: what it leads to fits a dense layer of that width.
    const Sequential net{.inputs = {8, 8, 3}, .layers = {layer, nn::Flatten{}, nn::Dense{}}, .classes = 10};
    const nn::Layout layout = nn::layout(net);
    CHECK(layout.find("dense1.kernel").shape == Shape{static_cast<int>(shape.size()), 10});
    const nn::Parameters params = tests::random_parameters(net, {1});
    const auto x = tests::normal_samples(net, 2, {2});
    CHECK(tests::run_forward(net, params, x).outputs.size() == 20);
  }
  CHECK(
      nn::layout(Sequential{.inputs = {7}, .layers = {nn::Dense{4}, nn::Relu{}, nn::Dense{}}, .classes = 10})
          .size() == 7 * 4 + 4 + 4 * 10 + 10);
}

TEST_CASE("layers that do not fit are refused with their number, kind, and what to do") {
  using nn::Conv2d, nn::Dense, nn::Flatten, nn::MaxPool, nn::Residual;
  const struct {
    std::vector<nn::Layer> layers;
    const char* words;
  } cases[] = {
      {{}, "want at least one layer, got none"},
      {{Conv2d{.filters = 32}, nn::Relu{}, Dense{}},
       "sequential: layer 3 (dense): wants a vector, got 8x8x32: put a flatten or global_avg_pool before it"},
      {{Flatten{}, Conv2d{}}, "layer 2 (conv2d): wants an image, got 192"},
      {{Flatten{}, MaxPool{}}, "layer 2 (max_pool): wants an image, got 192"},
      {{Flatten{}, nn::GlobalAvgPool{}}, "layer 2 (global_avg_pool): wants an image, got 192"},
      {{Conv2d{.filters = 0}}, "layer 1 (conv2d): want filters of at least 1 and at most 65536, got 0"},
      {{Conv2d{.stride = 0}}, "want stride of at least 1"},
      {{Conv2d{.padding = {-1}}}, "want padding of at least 0"},
      {{Conv2d{.filters = 4, .groups = 2}},
       "wants groups that divide channels and filters, got 2 groups for 3 channels and 4 filters"},
      {{Conv2d{.kernel = 9, .padding = nn::valid}}, "wants windows of 9 x 9 inside the image, got 8x8x3"},
      {{Conv2d{.kernel = 5, .padding = {1}, .dilation = 3}},
       "windows of 13 x 13 inside the image, got 8x8x3 and its padding"},
      {{MaxPool{.size = 9}}, "layer 1 (max_pool): wants windows of 9 x 9 inside the image"},
      {{MaxPool{.stride = 0}}, "want stride of at least 1"},
      {{nn::Dropout{1}}, "layer 1 (dropout): want rate of at least 0 and below 1, got 1"},
      {{Flatten{}, Dense{}, nn::Relu{}, Dense{}}, "layer 2 (dense): wants units; only the last"},
      {{Flatten{}, Dense{0}}, "want units of at least 1"},
      {{Flatten{}, Dense{1 << 24}, Dense{1 << 24}},
       "layer 2 (dense): has 3.22123e+09 weights, more than 2^31"},
      {{Flatten{}, Dense{9}}, "the last layer, 2 dense, gives 9, want 10, the classes"},
      {{Flatten{}, Dense{}, nn::Residual{{Dense{}}}}, "layer 3.1 (dense): wants units"},
      {{Conv2d{}}, "the last layer, 1 conv2d, gives 8x8x32, want 10, the classes: end with a dense layer"},
      {{Residual{}}, "layer 1 (residual): want at least one layer in it, got none"},
      {{nn::Relu{}, Residual{{nn::Relu{}, Conv2d{}}}},
       "layer 2 (residual): its layers give 8x8x32, want 8x8x3, the shape of what came in"},
      {{nn::Relu{}, Residual{{nn::Relu{}, Dense{}}}}, "layer 2.2 (dense): wants a vector"},
      {std::vector<nn::Layer>(1001, nn::Relu{}), "want at most 1000 layers"}};
  for (const auto& c : cases) {
    const std::string error = refusal(c.layers);
    CHECK_THAT(error, ContainsSubstring(c.words));
    CHECK(error.starts_with("sequential: "));
  }
  nn::Layer deep = nn::Relu{};
  for (int i = 0; i < 9; ++i) deep = Residual{{deep}};
  CHECK_THAT(refusal({deep}),
             ContainsSubstring("layer 1.1.1.1.1.1.1.1 (residual): want residual layers at most 8 deep"));
  CHECK_THAT(refusal({Dense{}}, {4, 4}),
             ContainsSubstring("wants a vector, got 4x4: put a flatten before it"));
  CHECK_THAT(refusal({Dense{}}, {0}), ContainsSubstring("want inputs of 1 to 2^30 elements"));
  CHECK_THAT(error_of([] { nn::layout(Sequential{.classes = 0}); }), ContainsSubstring("at least one class"));
  CHECK_THAT(error_of([] {
               nn::layout(Sequential{.inputs = {40000}, .layers = {Dense{40000}, Dense{40000}, Dense{}}});
             }),
             ContainsSubstring("more than 2^31 parameters"));
}

TEST_CASE("a sequential network that says what a cnn, or an mlp, is computes the same bits") {
  const nn::Cnn cnn{.inputs = {9, 8, 2}, .stages = {{3, 4}, {5}}, .hidden = {6}, .classes = 3};
  const nn::Conv2d conv3{.filters = 3}, conv4{.filters = 4}, conv5{.filters = 5};
  const nn::Mlp mlp{.inputs = {4, 3}, .hidden = {5}, .classes = 3};
  const std::pair<nn::Network, nn::Network> pairs[] = {
      {cnn, Sequential{.inputs = cnn.inputs,
                       .layers = {conv3, nn::Relu{}, conv4, nn::Relu{}, nn::AvgPool{}, conv5, nn::Relu{},
                                  nn::AvgPool{}, nn::Flatten{}, nn::Dense{6}, nn::Relu{}, nn::Dense{}},
                       .classes = 3}},
      {mlp, Sequential{.inputs = mlp.inputs,
                       .layers = {nn::Flatten{}, nn::Dense{5}, nn::Relu{}, nn::Dense{3}},
                       .classes = 3}}};
  for (const auto& [other, own] : pairs) {
    INFO(nn::describe(own));
    CHECK(*nn::layout(other) == *nn::layout(own));
    CHECK(nn::initialize(other, {1}) == nn::initialize(own, {1}));
    const nn::Parameters params = tests::random_parameters(own, {1});
    const auto x = tests::normal_samples(own, 17, {2});
    CHECK(tests::run_forward(own, params, x).outputs == tests::run_forward(other, params, x).outputs);
    const std::vector<std::int32_t> labels(17, 1);
    std::vector<float> a(params.size()), b(params.size());
    nn::LossGradient first(other, nn::CrossEntropy{}, 17), second(own, nn::CrossEntropy{}, 17);
    CHECK(first(params.values(), x, nn::Target(labels), a) ==
          second(params.values(), x, nn::Target(labels), b));
    CHECK(a == b);
  }
}

TEST_CASE("a batch norm behind a convolution, with or without bias, is folded in evaluation") {
  const nn::Parameters params = tests::random_parameters(everything, {1});
  const auto x = tests::normal_samples(everything, 5, {2});
  const auto folded = tests::run_forward(everything, params, x).outputs;
  const auto plain = tests::run_forward(everything, params, x, {.fold_norms = false}).outputs;
  CHECK(folded != plain);                                    // another order of operations
  CHECK(tests::relative_difference(folded, plain) <= 1e-5);  // rounding, through six layers
  const nn::Evaluator evaluator(everything, 5);
  int norms = 0;
  for (const autodiff::Stage& stage : evaluator.program().plan().stages) {
    for (const autodiff::Step& step : stage.steps) norms += step.row.op == "dropout";
  }
  CHECK(norms == 0);
}

TEST_CASE("the gradient of a sequential network in training agrees with the complex step to 1e-12") {
  const nn::Parameters params = tests::random_parameters(everything, {1});
  const auto x = tests::normal_samples(everything, 6, {2});
  const auto [slopes, scale] = tests::network_slopes(everything, params, x, {2, 0, 1, 1, 0, 2});
  CHECK(slopes.size() == nn::layout(everything).entries().size() - 6);
  for (const tests::Slope& slope : slopes) {
    INFO(slope.name << ": complex step " << slope.step << ", gradient " << slope.gradient);
    CHECK(std::abs(slope.step - slope.gradient) <= 1e-12 * scale);
    // A batch norm takes the bias of the convolution before it away, and what another bias adds to all
    // positions: between norm2 and norm3 there are a pool and a convolution without padding.
    const bool idle = slope.name == "conv1.bias" || slope.name == "norm2.bias" || slope.name == "conv3.bias";
    CHECK((std::abs(slope.gradient) > 1e-6 * scale) == !idle);
  }
}

TEST_CASE("statistics of a sequential network follow the batch") {
  const nn::Parameters params = tests::random_parameters(everything, {1});
  const auto x = tests::normal_samples(everything, 8, {2});
  nn::Parameters updated = params;
  const std::vector<std::int32_t> labels(8, 1);
  std::vector<float> gradient(params.size());
  nn::LossGradient gradient_of(everything, nn::CrossEntropy{}, 8);
  gradient_of(params.values(), x, nn::Target(labels), gradient);
  gradient_of.update_statistics(updated.values());
  for (const nn::ParameterInfo& info : params.layout().entries()) {
    INFO(info.name);
    const bool statistic = info.kind == nn::Kind::statistic;
    CHECK(std::ranges::equal(updated[info.name], params[info.name]) == !statistic);
  }
}
