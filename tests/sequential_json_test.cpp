// Sequential networks and vision transformers as JSON, in model files too.
#include "nn/model_file.h"
#include "tests/catch.h"
#include "tests/files.h"
#include "tests/network_outputs.h"

using nn::Sequential;

namespace {

const Sequential every_layer{
    .inputs = {9, 8, 2},
    .layers = {nn::Conv2d{.filters = 6, .kernel = 2, .stride = 2, .padding = nn::valid}, nn::BatchNorm{},
               nn::Relu{},
               nn::Residual{{nn::Conv2d{.filters = 6, .dilation = 2, .groups = 2, .bias = false}, nn::Gelu{},
                             nn::LayerNorm{}}},
               nn::MaxPool{.size = 3, .stride = 1}, nn::Tanh{}, nn::AvgPool{}, nn::Sigmoid{},
               nn::GlobalAvgPool{}, nn::Flatten{}, nn::Dense{.units = 5, .bias = false}, nn::Dropout{0.25},
               nn::Dense{}},
    .classes = 3};

}  // namespace

TEST_CASE("a sequential network comes back from its description, and models with it") {
  const std::string json = nn::to_json(every_layer);
  CHECK(json.starts_with(
      R"({"family":"sequential","inputs":[9,8,2],"layers":[{"kind":"conv2d","filters":6,"kernel":2,"stride":2,)"
      R"("padding":"valid","dilation":1,"groups":1,"bias":true},{"kind":"batch_norm"},)"));
  CHECK(nn::network_from_json(json, "here") == nn::Network(every_layer));
  const Sequential other{.layers = {nn::Conv2d{.padding = {2}}, nn::Flatten{}, nn::Dense{}}};
  CHECK(nn::network_from_json(nn::to_json(other), "here") == nn::Network(other));
  CHECK(nn::Network(other) != nn::Network(every_layer));
  const nn::Network vit = nn::Vit{.patch = 4, .width = 12, .depth = 3, .heads = 3, .mlp = 7, .classes = 5};
  CHECK(nn::to_json(vit) ==
        R"({"family":"vit","inputs":[8,8,1],"patch":4,"width":12,"depth":3,"heads":3,"mlp":7,"classes":5})");
  CHECK(nn::network_from_json(nn::to_json(vit), "here") == vit);
  // Keys that have a default may be left out.
  CHECK(nn::network_from_json(
            R"({"family":"sequential","inputs":[8,8,1],"classes":2,"layers":[
                {"kind":"conv2d","filters":32,"padding":2},{"kind":"flatten"},{"kind":"dense"}]})",
            "here") == nn::Network(other));

  const TempFolder temp;
  const nn::Parameters params = tests::random_parameters(every_layer, {1});
  nn::write_model(temp / "m.safetensors", every_layer, params);
  const nn::ModelFile model = nn::read_model(temp / "m.safetensors");
  CHECK(model.network == nn::Network(every_layer));
  CHECK(model.parameters == params);
}

TEST_CASE("layers in JSON that are none are refused, and say where") {
  const std::pair<const char*, const char*> cases[] = {
      {R"(7)", "here: layers: want a list of layers, got 7"},
      {R"([7])", "here: layers.0: want a layer, an object with a kind, got 7"},
      {R"([{}])", "layers.0: want a kind of layer such as \"conv2d\" or \"dense\", got none"},
      {R"([{"kind":"relu"},{"kind":"densee"}])",
       "layers.1: want a kind of layer such as \"conv2d\" or \"dense\", got \"densee\"; did you mean "
       "'dense'?"},
      {R"([{"kind":3}])", "got 3"},
      {R"([{"kind":"dense","unit":3}])",
       "layers.0: a layer of the kind dense has no 'unit'; did you mean 'units'?"},
      {R"([{"kind":"conv2d"}])", "a layer of the kind conv2d wants the key 'filters'"},
      {R"([{"kind":"dropout"}])", "a layer of the kind dropout wants the key 'rate'"},
      {R"([{"kind":"dropout","rate":1}])", "want 'rate' to be a number of at least 0 and below 1, got 1"},
      {R"([{"kind":"dense","units":2.5}])",
       "want 'units' to be a whole number of at least 1 and at most 16777216, got 2.5"},
      {R"([{"kind":"dense","units":99999999999}])", "want 'units' to be a whole number"},
      {R"([{"kind":"dense","bias":1}])", "want 'bias' to be true or false, got 1"},
      {R"([{"kind":"conv2d","filters":3,"padding":"full"}])",
       "want 'padding' to be \"same\", \"valid\" or a number, got \"full\""},
      {R"([{"kind":"conv2d","filters":3,"padding":-1}])",
       "want 'padding' to be a whole number of at least 0"},
      {R"([{"kind":"residual"}])", "wants the key 'layers'"},
      {R"([{"kind":"residual","layers":[{"kind":"rely"}]}])", "here: layers.0.layers.0: want a kind"},
      {R"([{"kind":"relu"}])", "here: sequential: the last layer, 1 relu, gives 8x8x1"}};
  for (const auto& [layers, words] : cases) {
    const std::string json =
        std::string(R"({"family":"sequential","inputs":[8,8,1],"classes":2,"layers":)") + layers + "}";
    CHECK_THAT(error_of([&json] { nn::network_from_json(json, "here"); }), ContainsSubstring(words));
  }
  std::string deep = R"({"kind":"relu"})";
  for (int i = 0; i < 1000; ++i) deep = R"({"kind":"residual","layers":[)" + deep + "]}";
  CHECK_THAT(error_of([&] {
               nn::network_from_json(
                   R"({"family":"sequential","inputs":[8],"classes":2,"layers":[)" + deep + "]}", "here");
             }),
             ContainsSubstring("nested too deep"));
  CHECK_THAT(
      error_of([] { nn::network_from_json(R"({"family":"vit","inputs":[8,8,1],"classes":2})", "here"); }),
      ContainsSubstring("no 'patch'"));
  CHECK_THAT(
      error_of([] {
        nn::network_from_json(
            R"({"family":"vit","inputs":[8,8,1],"patch":3,"width":4,"depth":1,"heads":2,"mlp":4,"classes":2})",
            "here");
      }),
      ContainsSubstring("here: vit: want a patch that divides"));
}
