// Networks as JSON: in model files, checkpoints, records and replay bundles.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "autodiff/tensor/text.h"
#include "nn/layers_json.h"
#include "nn/model_file.h"

namespace nn {
namespace {

using autodiff::fail;
using Json = nlohmann::ordered_json;

// One network's object.
class NetworkReader {
 public:
  NetworkReader(const Json& json, std::string where) : json_(json), where_(std::move(where)) {
    if (!has("family") || !json["family"].is_string()) fail(where_, ": the network has no 'family'");
    family_ = json["family"].get<std::string>();
  }
  const std::string& family() const { return family_; }
  bool has(const std::string& key) const { return json_.contains(key); }
  int size(const std::string& key) { return one(at(key), key); }
  std::vector<int> sizes(const std::string& key) { return list(at(key), key); }
  std::vector<Layer> layers(const std::string& key) { return layers_from_json(at(key), where_ + ": " + key); }
  std::vector<std::vector<int>> lists_of_sizes(const std::string& key) {
    const Json& value = at(key);
    std::vector<std::vector<int>> out;
    if (!value.is_array()) wrong(key, "a list of lists of sizes", value);
    for (const Json& part : value) out.push_back(list(part, key));
    return out;
  }
  autodiff::Shape shape(const std::string& key) {
    const std::vector<int> axes = sizes(key);
    if (axes.empty() || axes.size() > 4) wrong(key, "1 to 4 axes", json_[key]);
    return autodiff::Shape(axes);
  }
  bool flag_or(const std::string& key, bool absent) {
    if (!has(key)) return absent;
    if (!json_[key].is_boolean()) wrong(key, "true or false", json_[key]);
    return json_[key].get<bool>();
  }
  /// Refuses other keys than these; to be called first, as a misspelled key is the better message than a
  /// missing one.
  void expect(std::vector<std::string> keys) {
    keys.push_back("family");
    for (const auto& [key, value] : json_.items()) {
      if (std::find(keys.begin(), keys.end(), key) != keys.end()) continue;
      fail(where_, ": a network of the family ", family_, " has no '", key, "'; did you mean '",
           autodiff::nearest(key, keys), "'?");
    }
  }

 private:
  const Json& at(const std::string& key) {
    if (!has(key)) fail(where_, ": the network has no '", key, "'");
    return json_[key];
  }
  int one(const Json& value, const std::string& key) const {
    if (!value.is_number_integer() || value < 1 || value > 1000000000)
      wrong(key, "sizes from 1 to 10^9", json_[key]);
    return value.get<int>();
  }
  std::vector<int> list(const Json& value, const std::string& key) const {
    if (!value.is_array()) wrong(key, "a list of sizes from 1 to 10^9", json_[key]);
    std::vector<int> out;
    for (const Json& x : value) out.push_back(one(x, key));
    return out;
  }
  [[noreturn]] void wrong(const std::string& key, const char* wanted, const Json& got) const {
    fail(where_, ": want '", key, "' to be ", wanted, ", got ", got.dump());
  }

  const Json& json_;
  std::string where_, family_;
};

Json list_of(const autodiff::Shape& shape) { return std::vector<int>(shape.begin(), shape.end()); }

Json json_of(const Mlp& net) {
  return {
      {"family", "mlp"}, {"inputs", list_of(net.inputs)}, {"hidden", net.hidden}, {"classes", net.classes}};
}

Json json_of(const Cnn& net) {
  return {{"family", "cnn"},
          {"inputs", list_of(net.inputs)},
          {"stages", net.stages},
          {"hidden", net.hidden},
          {"classes", net.classes}};
}

Json json_of(const ResNet& net) {
  const bool cifar = net.form == ResNet::Form::cifar;
  Json json{{"family", cifar ? "resnet_cifar" : "resnet_imagenet"},
            {"inputs", list_of(net.inputs)},
            {"filters", net.filters},
            {"blocks", net.blocks},
            {"classes", net.classes}};
  if (net.bottleneck || !cifar) json["bottleneck"] = net.bottleneck;
  return json;
}

Json json_of(const Vit& net) {
  return {{"family", "vit"},    {"inputs", list_of(net.inputs)},
          {"patch", net.patch}, {"width", net.width},
          {"depth", net.depth}, {"heads", net.heads},
          {"mlp", net.mlp},     {"classes", net.classes}};
}

Json json_of(const Sequential& net) {
  return {{"family", "sequential"},
          {"inputs", list_of(net.inputs)},
          {"layers", to_json(net.layers)},
          {"classes", net.classes}};
}

Network mlp_from(NetworkReader& r) {
  r.expect({"inputs", "hidden", "classes"});
  return Mlp{.inputs = r.shape("inputs"), .hidden = r.sizes("hidden"), .classes = r.size("classes")};
}

Network cnn_from(NetworkReader& r) {
  r.expect({"inputs", "stages", "hidden", "classes"});
  Cnn net{.inputs = r.shape("inputs"), .classes = r.size("classes")};
  if (r.has("stages")) net.stages = r.lists_of_sizes("stages");
  if (r.has("hidden")) net.hidden = r.sizes("hidden");
  return net;
}

Network resnet_from(NetworkReader& r, ResNet::Form form) {
  r.expect({"inputs", "filters", "blocks", "classes", "bottleneck"});
  return ResNet{.inputs = r.shape("inputs"),
                .filters = r.size("filters"),
                .blocks = r.sizes("blocks"),
                .classes = r.size("classes"),
                .form = form,
                .bottleneck = r.flag_or("bottleneck", false)};
}

Network vit_from(NetworkReader& r) {
  r.expect({"inputs", "patch", "width", "depth", "heads", "mlp", "classes"});
  return Vit{.inputs = r.shape("inputs"),
             .patch = r.size("patch"),
             .width = r.size("width"),
             .depth = r.size("depth"),
             .heads = r.size("heads"),
             .mlp = r.size("mlp"),
             .classes = r.size("classes")};
}

Network sequential_from(NetworkReader& r) {
  r.expect({"inputs", "layers", "classes"});
  return Sequential{.inputs = r.shape("inputs"), .layers = r.layers("layers"), .classes = r.size("classes")};
}

Network from(NetworkReader& r, const std::string& where) {
  if (r.family() == "mlp") return mlp_from(r);
  if (r.family() == "cnn") return cnn_from(r);
  if (r.family() == "resnet_cifar") return resnet_from(r, ResNet::Form::cifar);
  if (r.family() == "resnet_imagenet") return resnet_from(r, ResNet::Form::imagenet);
  if (r.family() == "vit") return vit_from(r);
  if (r.family() == "sequential") return sequential_from(r);
  fail(where,
       ": want a network of the family mlp, cnn, resnet_cifar, resnet_imagenet, vit or sequential, got ",
       autodiff::in_quotes(r.family()));
}

}  // namespace

std::string to_json(const Network& net) {
  return std::visit([](const auto& n) { return json_of(n); }, net).dump();
}

Network network_from_json(std::string_view text, std::string_view where) {
  const Json json = Json::parse(text, nullptr, false);
  if (!json.is_object()) {
    fail(where, ": want a JSON object that describes a network, got ", autodiff::in_quotes(text));
  }
  NetworkReader reader(json, std::string(where));
  const Network net = from(reader, std::string(where));
  try {
    layout(net);
  } catch (const autodiff::Error& error) {
    fail(where, ": ", error.what());
  }
  return net;
}

}  // namespace nn
