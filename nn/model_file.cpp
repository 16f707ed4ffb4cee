#include "nn/model_file.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "autodiff/tensor/text.h"

namespace nn {
namespace {

using autodiff::fail;
using Json = nlohmann::ordered_json;

std::vector<int> sizes_from(const Json& value, std::string_view where, const char* key) {
  std::vector<int> sizes;
  bool good = value.is_array();
  for (std::size_t i = 0; good && i < value.size(); ++i) {
    good = value[i].is_number_integer() && value[i] >= 1 && value[i] <= 1000000000;
    if (good) sizes.push_back(value[i].get<int>());
  }
  if (!good) fail(where, ": want '", key, "' to be a list of sizes from 1 to 10^9, got ", value.dump());
  return sizes;
}

Json object_from(std::string_view text, std::string_view where) {
  Json json = Json::parse(text, nullptr, false);
  if (!json.is_object())
    fail(where, ": want a JSON object that describes a network, got ", autodiff::in_quotes(text));
  return json;
}

Network mlp_from(const Json& json, std::string_view where) {
  const std::vector<std::string> keys{"family", "inputs", "hidden", "classes"};
  for (const auto& [key, value] : json.items()) {
    if (std::find(keys.begin(), keys.end(), key) == keys.end()) {
      fail(where, ": a network of the family mlp has no '", key, "'; did you mean '",
           autodiff::nearest(key, keys), "'?");
    }
  }
  for (const std::string& key : keys) {
    if (!json.contains(key)) fail(where, ": the network has no '", key, "'");
  }
  const std::vector<int> inputs = sizes_from(json["inputs"], where, "inputs");
  if (inputs.empty() || inputs.size() > 4) {
    fail(where, ": want 'inputs' to have 1 to 4 axes, got ", json["inputs"].dump());
  }
  const Mlp net{.inputs = autodiff::Shape(inputs),
                .hidden = sizes_from(json["hidden"], where, "hidden"),
                .classes = sizes_from(Json::array({json["classes"]}), where, "classes").front()};
  try {
    layout(net);
  } catch (const autodiff::Error& error) {
    fail(where, ": ", error.what());
  }
  return net;
}

}  // namespace

std::string to_json(const Network& net) {
  const Mlp& mlp = std::get<Mlp>(net);
  const Json json{{"family", "mlp"},
                  {"inputs", std::vector<int>(mlp.inputs.begin(), mlp.inputs.end())},
                  {"hidden", mlp.hidden},
                  {"classes", mlp.classes}};
  return json.dump();
}

Network network_from_json(std::string_view text, std::string_view where) {
  const Json json = object_from(text, where);
  if (!json.contains("family") || !json["family"].is_string()) fail(where, ": the network has no 'family'");
  const auto family = json["family"].get<std::string>();
  if (family == "mlp") return mlp_from(json, where);
  fail(where, ": want a network of the family 'mlp', got ", autodiff::in_quotes(family));
}

void add_parameters(SafetensorsWriter& writer, const std::string& prefix, const Parameters& parameters) {
  for (const ParameterInfo& info : parameters.layout().entries()) {
    writer.add(prefix + info.name, parameters[info.name], info.shape);
  }
}

Parameters parameters_from(const Safetensors& file, const std::string& prefix,
                           std::shared_ptr<const Layout> layout) {
  Parameters parameters(std::move(layout));
  for (const ParameterInfo& info : parameters.layout().entries()) {
    const autodiff::Tensor tensor = file.tensor(prefix + info.name, info.shape);
    std::copy(tensor.begin(), tensor.end(), parameters[info.name].begin());
  }
  return parameters;
}

void write_model(const std::filesystem::path& path, const Network& net, const Parameters& parameters,
                 const std::map<std::string, std::string>& metadata) {
  SafetensorsWriter writer;
  for (const auto& [key, value] : metadata) writer.metadata(key, value);
  writer.metadata("network", to_json(net));
  add_parameters(writer, "", parameters);
  writer.write(path);
}

ModelFile read_model(const std::filesystem::path& path) {
  const Safetensors file = Safetensors::read(path);
  const auto description = file.metadata().find("network");
  if (description == file.metadata().end()) {
    fail(path.string(),
         ": this is no model: its metadata have no 'network'; 'ev3 run' writes model.safetensors");
  }
  const Network network = network_from_json(description->second, path.string() + ": metadata 'network'");
  ModelFile model{network, parameters_from(file, "", layout(network)), file.metadata()};
  const std::size_t expected = model.parameters.layout().entries().size();
  if (file.entries().size() != expected) {
    fail(path.string(), ": want ", expected, " arrays for ", describe(network), ", got ",
         file.entries().size());
  }
  return model;
}

}  // namespace nn
