#include "nn/model_file.h"

#include "autodiff/tensor/file.h"
#include "tests/catch.h"
#include "tests/files.h"

using namespace nn;

namespace {

const Mlp net{.inputs = {4, 2, 1}, .hidden = {3, 5}, .classes = 2};

// The file of `net` with one array replaced; an empty shape leaves it out.
void write_with(const std::filesystem::path& path, const std::string& name, const autodiff::Shape& shape) {
  const Parameters params = initialize(Network(net), {1});
  SafetensorsWriter writer;
  writer.metadata("network", to_json(net));
  for (const ParameterInfo& info : params.layout().entries()) {
    if (info.name != name) writer.add(info.name, params[info.name], info.shape);
  }
  if (shape.rank() > 0) writer.add(name, autodiff::Tensor(shape));
  writer.write(path);
}

std::string error_for(const std::string& json) {
  return error_of([&] { network_from_json(json, "here"); });
}

}  // namespace

TEST_CASE("a network comes back from its description") {
  CHECK(to_json(Mlp{.inputs = {2}, .hidden = {8}, .classes = 2}) ==
        R"({"family":"mlp","inputs":[2],"hidden":[8],"classes":2})");
  for (const Mlp& n : {net, Mlp{.inputs = {7}, .hidden = {}, .classes = 1}}) {
    CHECK(network_from_json(to_json(n), "here") == Network(n));
  }
  CHECK(network_from_json(R"( {"classes":3, "inputs":[2], "family":"mlp", "hidden":[]} )", "here") ==
        Network(Mlp{.inputs = {2}, .hidden = {}, .classes = 3}));
}

TEST_CASE("descriptions that are none are refused, and say where") {
  const struct {
    const char *json, *error;
  } cases[] = {
      {"", "want a JSON object"},
      {"[1]", "want a JSON object"},
      {"{\"family\":\"mlp\"", "want a JSON object"},
      {R"({"inputs":[2]})", "no 'family'"},
      {R"({"family":7})", "no 'family'"},
      {R"({"family":"transformer"})", "vit or sequential, got 'transformer'"},
      {R"({"family":"mlp","inputs":[2],"hiden":[8],"classes":2})", "did you mean 'hidden'"},
      {R"({"family":"cnn","inputs":[2],"classes":2})", "want inputs [H, W, C]"},
      {R"({"family":"cnn","inputs":[2,2,1],"stages":[[4],[4]],"classes":2})", "too many for images"},
      {R"({"family":"cnn","inputs":[8,8,1],"stages":[4],"classes":2})", "'stages' to be a list of sizes"},
      {R"({"family":"cnn","inputs":[8,8,1],"stages":[[]],"classes":2})", "at least one convolution"},
      {R"({"family":"resnet_cifar","inputs":[8,8,3],"filters":4,"blocks":[],"classes":2})", "1 to 8 stages"},
      {R"({"family":"resnet_cifar","inputs":[8,8,3],"blocks":[1],"classes":2})", "no 'filters'"},
      {R"({"family":"resnet_cifar","inputs":[8,8,3],"filters":4,"blocks":[99999],"classes":2})",
       "10,000 blocks"},
      {R"({"family":"mlp","inputs":[2],"hidden":[8]})", "no 'classes'"},
      {R"({"family":"mlp","inputs":2,"hidden":[8],"classes":2})", "'inputs' to be a list"},
      {R"({"family":"mlp","inputs":[],"hidden":[8],"classes":2})", "1 to 4 axes"},
      {R"({"family":"mlp","inputs":[1,1,1,1,1],"hidden":[8],"classes":2})", "1 to 4 axes"},
      {R"({"family":"mlp","inputs":[2],"hidden":[0],"classes":2})", "sizes from 1"},
      {R"({"family":"mlp","inputs":[2],"hidden":[2.5],"classes":2})", "sizes from 1"},
      {R"({"family":"mlp","inputs":[2],"hidden":[8],"classes":-2})", "sizes from 1"},
      {R"({"family":"mlp","inputs":[2],"hidden":[99999999999],"classes":2})", "sizes from 1"},
      {R"({"family":"mlp","inputs":[60000],"hidden":[60000],"classes":2})", "more than 2^31"},
  };
  for (const auto& c : cases) {
    INFO(c.json);
    CHECK_THAT(error_for(c.json), ContainsSubstring(c.error));
    CHECK(error_for(c.json).rfind("here: ", 0) == 0);
  }
}

TEST_CASE("a model comes back from its file") {
  const TempFolder folder;
  const Parameters params = initialize(Network(net), {1});
  write_model(folder / "model.safetensors", net, params, {{"accuracy", "0.5"}});
  const ModelFile model = read_model(folder / "model.safetensors");
  CHECK(model.network == Network(net));
  CHECK(model.parameters == params);
  CHECK(model.metadata.at("accuracy") == "0.5");
}

TEST_CASE("the bytes of a model depend on nothing else") {
  const TempFolder folder;
  const Parameters params = initialize(Network(net), {1});
  write_model(folder / "a", net, params, {{"b", "1"}, {"a", "2"}});
  write_model(folder / "c", net, params, {{"a", "2"}, {"b", "1"}});
  CHECK(autodiff::read_file(folder / "a") == autodiff::read_file(folder / "c"));
  CHECK(folder.count() == 2);  // nothing temporary remains
}

TEST_CASE("files that are no model are refused by name") {
  const TempFolder folder;
  const auto path = folder / "m.safetensors";
  const auto error = [&] { return error_of([&] { read_model(path); }); };
  CHECK_THAT(error(), ContainsSubstring(path.string()));

  SafetensorsWriter bare;
  bare.add("x", autodiff::Tensor(autodiff::Shape{1}));
  bare.write(path);
  CHECK_THAT(error(), ContainsSubstring("m.safetensors: this is no model") && ContainsSubstring("'network'"));

  bare.metadata("network", "{}");
  bare.write(path);
  CHECK_THAT(error(), ContainsSubstring("metadata 'network': the network has no 'family'"));

  write_with(path, "dense2.kernel", {});
  CHECK_THAT(error(), ContainsSubstring("dense2.kernel"));
  write_with(path, "dense2.kernel", {5, 3});
  CHECK_THAT(error(), ContainsSubstring("dense2.kernel") && ContainsSubstring("[5, 3]"));
  write_with(path, "dense4.kernel", {5, 3});
  CHECK_THAT(error(), ContainsSubstring("want 6 arrays for mlp 8-3-5-2, got 7"));
}

TEST_CASE("parameters are found under their prefix") {
  const Parameters params = initialize(Network(net), {1}), stable = initialize(Network(net), {2});
  SafetensorsWriter writer;
  add_parameters(writer, "params/", params);
  add_parameters(writer, "stable/", stable);
  const Safetensors file = Safetensors::parse(writer.bytes(), "memory");
  CHECK(parameters_from(file, "params/", layout(Network(net))) == params);
  CHECK(parameters_from(file, "stable/", layout(Network(net))) == stable);
  CHECK_THAT(error_of([&] { parameters_from(file, "best/", layout(Network(net))); }),
             ContainsSubstring("best/dense1.kernel"));
}
