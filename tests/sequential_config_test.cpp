// Networks of one's own in a config: what is read, written back and refused.
#include "ev3/cli/config.h"
#include "ev3/cli/config_build.h"
#include "nn/model_file.h"
#include "tests/catch.h"
#include "tests/command.h"

using namespace ev3::cli;

namespace {

const std::string digits_cnn = EV3_SOURCE_DIR "/configs/digits-cnn.toml";

Experiment parse(const std::string& text, const std::vector<std::string>& overrides = {}) {
  return parse_experiment(text, "c.toml", overrides);
}
const std::string all = R"([model]
family = "sequential"
layer = [
  {kind = "conv2d", filters = 4, kernel = 5, stride = 2, padding = 2, dilation = 2, groups = 2, bias = false},
  {kind = "conv2d", filters = 4, padding = "valid"},
  {kind = "batch_norm"}, {kind = "layer_norm"}, {kind = "gelu"}, {kind = "tanh"}, {kind = "sigmoid"},
  {kind = "max_pool", size = 3, stride = 1}, {kind = "avg_pool"},
  {kind = "residual", layers = [{kind = "relu"}, {kind = "residual", layers = [{kind = "dropout", rate = 0.1}]}]},
  {kind = "global_avg_pool"}, {kind = "flatten"}, {kind = "dropout", rate = 0.5}, {kind = "dense", units = 7},
  {kind = "dense", bias = false}]
)";

nn::Network network(const Experiment& experiment) {
  return settings(experiment, load_data(experiment)).model;
}

}  // namespace

TEST_CASE("a sequential network is read layer by layer") {
  const Experiment e = read_experiment(digits_cnn);
  const nn::Sequential want{
      .inputs = {8, 8, 1},
      .layers = {nn::Conv2d{.filters = 8, .bias = false}, nn::BatchNorm{}, nn::Relu{},
                 nn::Residual{{nn::Conv2d{.filters = 8, .bias = false}, nn::BatchNorm{}, nn::Relu{}}},
                 nn::MaxPool{}, nn::Flatten{}, nn::Dropout{0.25}, nn::Dense{}},
      .classes = 10};
  CHECK(network(e) == nn::Network(want));
  const Experiment set = read_experiment(digits_cnn, {"model.layer.0.filters=12", "model.layer.6.rate=0"});
  CHECK(std::get<nn::Conv2d>(set.model.layers[0].form).filters == 12);
  CHECK(std::get<nn::Dropout>(set.model.layers[6].form).rate == 0);
  CHECK(identity(set) != identity(e));
  CHECK_THAT(difference(e, set), ContainsSubstring("filters = 8") && ContainsSubstring("filters = 12"));
}

TEST_CASE("networks of one's own written back are the same") {
  for (const std::string& text :
       {content_of(digits_cnn), all, all + "[explore]\ntrajectory_length = 3",
        std::string("[model]\nfamily = \"vit\"\npatch = 4\nwidth = 12\ndepth = 3\nheads = 3\nmlp = 7")}) {
    const Experiment first = parse(text);
    const std::string written = to_toml(first);
    INFO(written);
    const Experiment second = parse(written);
    CHECK(second.model.layers == first.model.layers);
    CHECK(second.model.vit == first.model.vit);
    CHECK(to_toml(second) == written);
    CHECK(identity(second) == identity(first));
  }
  CHECK(parse(all).model.layers.size() == 15);
  CHECK(std::get<nn::Conv2d>(parse(all).model.layers[0].form).padding == nn::Border{2});
  CHECK(std::get<nn::Conv2d>(parse(all).model.layers[1].form).padding == nn::valid);
}

TEST_CASE("a vision transformer in a config") {
  const Experiment e = parse("[model]\nfamily = \"vit\"\npatch = 4\nwidth = 12\nheads = 3");
  const nn::Vit want{.inputs = {8, 8, 1}, .patch = 4, .width = 12, .heads = 3, .classes = 10};
  CHECK(network(e) == nn::Network(want));
}

TEST_CASE("the reference profile sees batch norms among the layers") {
  const auto decay_from = [](const std::string& layers) {
    return parse("profile = \"reference\"\n[model]\nfamily = \"sequential\"\nlayer = [" + layers + "]")
        .explore.weight_decay_from;
  };
  CHECK(decay_from("{kind = \"dense\"}") == ev3::WeightDecayFrom::start);
  CHECK(decay_from("{kind = \"batch_norm\"}, {kind = \"dense\"}") == ev3::WeightDecayFrom::moving);
  CHECK(decay_from("{kind = \"residual\", layers = [{kind = \"batch_norm\"}]}, {kind = \"dense\"}") ==
        ev3::WeightDecayFrom::moving);
}

TEST_CASE("mistakes in layers are refused with their place, what was wanted and what came") {
  const auto says = [](const std::string& layer, const std::string& message) {
    INFO(layer);
    const std::string text = "[model]\nfamily = \"sequential\"\nlayer = [{kind = \"relu\"},\n" + layer + "]";
    CHECK(error_of([&] { parse(text); }) == message);
  };
  says("{kind = \"conv2d\", filtres = 8}",
       "c.toml:4:19: unknown key 'model.layer.1.filtres' where kind = \"conv2d\": did you mean 'filters'?");
  says("{kind = \"conv2d\"}",
       "c.toml:4:1: the key 'model.layer.1.filters' is missing where kind = \"conv2d\"");
  says("{kind = \"conv2d\", filters = 0}",
       "c.toml:4:29: model.layer.1.filters: want a whole number of at least 1 and at most 65536, got 0");
  says("{kind = \"conv2d\", filters = 2, padding = \"full\"}",
       "c.toml:4:42: model.layer.1.padding: want \"same\", \"valid\" or a whole number of at least 0 and at "
       "most "
       "1024, got 'full'");
  says(
      "{kind = \"conv2d\", filters = 2, padding = [1, 2]}",
      "c.toml:4:42: model.layer.1.padding: want a whole number of at least 0 and at most 1024, got [ 1, 2 ]");
  says("{kind = \"dropout\", rate = 1.0}",
       "c.toml:4:27: model.layer.1.rate: want a number of at least 0 and below 1, got 1.0");
  says(
      "{kind = \"residual\", layers = [{kind = \"dense\", unit = 3}]}",
      "c.toml:4:48: unknown key 'model.layer.1.layers.0.unit' where kind = \"dense\": did you mean 'units'?");
  says("{units = 3}",
       "c.toml:4:1: model.layer.1: want a kind, one of \"conv2d\", \"batch_norm\", \"layer_norm\", \"relu\", "
       "\"gelu\", \"tanh\", \"sigmoid\", \"max_pool\", \"avg_pool\", \"global_avg_pool\", \"flatten\", "
       "\"dense\", "
       "\"dropout\", \"residual\", got a table");
}
