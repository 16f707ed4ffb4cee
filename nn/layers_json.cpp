#include "nn/layers_json.h"

#include <algorithm>

#include "autodiff/tensor/error.h"
#include "autodiff/tensor/text.h"
#include "nn/layer_fields.h"

namespace nn {
namespace {

using autodiff::fail;
using autodiff::text;
using Json = nlohmann::ordered_json;

class Writer {
 public:
  explicit Writer(Json& json) : json_(json) {}
  template <class T>
  void operator()(const char* key, const T& value, const Range&) {
    json_[key] = value;
  }
  void operator()(const char* key, const std::optional<int>& value, const Range&) {
    if (value) json_[key] = *value;
  }
  void operator()(const char* key, const Border& border, const Range&) {
    json_[key] = border == same ? Json("same") : border == valid ? Json("valid") : Json(*border.zeros);
  }
  void operator()(const char* key, const std::vector<Layer>& layers, const Range&) {
    json_[key] = to_json(layers);
  }

 private:
  Json& json_;
};

// One layer's object; what no field asks for is an unknown key.
class LayerReader {
 public:
  LayerReader(const Json& json, std::string where, int depth)
      : json_(json), where_(std::move(where)), depth_(depth) {}

  Layer layer() {
    if (!json_.is_object()) fail(where_, ": want a layer, an object with a kind, got ", json_.dump());
    const std::string kind = json_.value("kind", Json()).is_string() ? json_["kind"].get<std::string>() : "";
    const auto found = std::ranges::find(layer_kinds, kind);
    if (found == layer_kinds.end()) {
      fail(where_, ": want a kind of layer such as \"conv2d\" or \"dense\", got ",
           json_.contains("kind") ? json_["kind"].dump() : "none",
           kind.empty() ? "" : text("; did you mean '", autodiff::nearest(kind, kinds()), "'?"));
    }
    Layer out = made(static_cast<std::size_t>(found - layer_kinds.begin()),
                     std::make_index_sequence<layer_kinds.size()>());
    for (const auto& [key, value] : json_.items()) {
      if (std::find(known_.begin(), known_.end(), key) != known_.end()) continue;
      fail(where_, ": a layer of the kind ", kind, " has no '", key, "'; did you mean '",
           autodiff::nearest(key, known_), "'?");
    }
    if (!missing_.empty()) fail(where_, ": a layer of the kind ", kind, " wants the key '", missing_, "'");
    return out;
  }

  void operator()(const char* key, int& out, const Range& range) { number(key, out, range); }
  void operator()(const char* key, double& out, const Range& range) { number(key, out, range); }
  void operator()(const char* key, std::optional<int>& out, const Range& range) {
    int value = 0;
    if (number(key, value, range)) out = value;
  }
  void operator()(const char* key, bool& out, const Range& range) {
    const Json* value = find(key, range);
    if (!value) return;
    if (!value->is_boolean()) wrong(key, "true or false", *value);
    out = value->get<bool>();
  }
  void operator()(const char* key, Border& out, const Range& range) {
    const Json* value = find(key, range);
    if (!value) return;
    int zeros = 0;
    if (*value == "same") {
      out = same;
    } else if (*value == "valid") {
      out = valid;
    } else if (value->is_string()) {
      wrong(key, "\"same\", \"valid\" or a number", *value);
    } else if (number(key, zeros, range)) {
      out.zeros = zeros;
    }
  }
  void operator()(const char* key, std::vector<Layer>& out, const Range& range) {
    if (const Json* value = find(key, range)) out = list(*value, text(where_, '.', key), depth_ + 1);
  }

  static std::vector<Layer> list(const Json& json, const std::string& where, int depth) {
    if (!json.is_array()) fail(where, ": want a list of layers, got ", json.dump());
    if (depth > 64) fail(where, ": these layers are nested too deep");
    std::vector<Layer> out;
    for (std::size_t i = 0; i < json.size(); ++i) {
      out.push_back(LayerReader(json[i], text(where, '.', i), depth).layer());
    }
    return out;
  }

 private:
  static std::vector<std::string> kinds() { return {layer_kinds.begin(), layer_kinds.end()}; }

  template <std::size_t... I>
  Layer made(std::size_t kind, std::index_sequence<I...>) {
    Layer out;
    ((I == kind ? fields(*this, out.form.emplace<I>()) : void()), ...);
    return out;
  }
  const Json* find(const char* key, const Range& range) {
    known_.emplace_back(key);
    if (json_.contains(key)) return &json_[key];
    if (range.required && missing_.empty()) missing_ = key;
    return nullptr;
  }
  // Whether it is there.
  template <class T>
  bool number(const char* key, T& out, const Range& range) {
    const Json* value = find(key, range);
    if (!value) return false;
    constexpr bool whole = std::is_same_v<T, int>;
    if (!(whole ? value->is_number_integer() : value->is_number()) || !inside(range, value->get<double>())) {
      wrong(key, text(whole ? "a whole number" : "a number", words(range)), *value);
    }
    out = value->get<T>();
    return true;
  }
  [[noreturn]] void wrong(const char* key, const std::string& wanted, const Json& got) const {
    fail(where_, ": want '", key, "' to be ", wanted, ", got ", got.dump());
  }

  const Json& json_;
  std::string where_, missing_;
  int depth_;
  std::vector<std::string> known_{"kind"};
};

}  // namespace

Json to_json(const std::vector<Layer>& layers) {
  Json out = Json::array();
  for (Layer layer : layers) {  // a copy: one list of fields serves readers and writers
    Json json{{"kind", layer_kinds.at(layer.form.index())}};
    Writer writer(json);
    std::visit([&](auto& form) { fields(writer, form); }, layer.form);
    out.push_back(std::move(json));
  }
  return out;
}

std::vector<Layer> layers_from_json(const Json& json, const std::string& where) {
  return LayerReader::list(json, where, 1);
}

}  // namespace nn
