// Networks and their parameters as files: safetensors with the description of the network in the metadata.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "nn/network.h"
#include "nn/safetensors.h"

namespace nn {

/// {"family":"mlp","inputs":[2],"hidden":[8],"classes":2}
std::string to_json(const Network& net);
/// The opposite. Throws Error beginning with `where` for text that is no JSON, unknown families or keys,
/// missing keys, wrong types, and sizes that are out of range.
Network network_from_json(std::string_view json, std::string_view where);

/// Adds every parameter under PREFIX + its name.
void add_parameters(SafetensorsWriter& writer, const std::string& prefix, const Parameters& parameters);
/// The parameters of a layout, from arrays named PREFIX + name. Throws Error for one that is missing or has
/// another shape or type. Other arrays do not matter.
Parameters parameters_from(const Safetensors& file, const std::string& prefix,
                           std::shared_ptr<const Layout> layout);

struct ModelFile {
  Network network = Mlp{};
  Parameters parameters;
  std::map<std::string, std::string> metadata;
};

/// Writes a model in one step; the bytes depend on the arguments alone. The key "network" is taken.
void write_model(const std::filesystem::path& path, const Network& net, const Parameters& parameters,
                 const std::map<std::string, std::string>& metadata = {});
/// Throws Error for a file that is no model: unreadable, no description, missing or additional arrays.
ModelFile read_model(const std::filesystem::path& path);

}  // namespace nn
