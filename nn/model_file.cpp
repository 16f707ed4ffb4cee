#include "nn/model_file.h"

#include <algorithm>

namespace nn {

using autodiff::fail;

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
