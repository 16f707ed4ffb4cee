// Layers as JSON: [{"kind": "conv2d", "filters": 32, ...}, {"kind": "relu"}, ...].
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "nn/layers.h"

namespace nn {

/// A list of objects, each with all of its keys but for those that are absent.
nlohmann::ordered_json to_json(const std::vector<Layer>& layers);
/// The opposite; keys that may be absent have their defaults. Throws Error beginning with `where` for what is
/// no list of layers, unknown kinds or keys, missing keys, wrong types, and numbers out of range.
std::vector<Layer> layers_from_json(const nlohmann::ordered_json& json, const std::string& where);

}  // namespace nn
