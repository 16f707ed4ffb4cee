// Reading JSON objects strictly: every key is asked for by name and type, what is left over is an error.
#pragma once

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "autodiff/tensor/error.h"
#include "autodiff/tensor/text.h"

namespace ev3 {

/// One object, and where it is ("spec.json: explore") for error messages.
class JsonObject {
 public:
  using Json = nlohmann::ordered_json;

  /// Throws Error when `json` is not an object.
  JsonObject(const Json& json, std::string where) : json_(json), where_(std::move(where)) {
    if (!json_.is_object()) autodiff::fail(where_, ": want an object {...}, got ", cut(json_));
  }

  const std::string& where() const { return where_; }
  bool has(const std::string& key) {
    known_.push_back(key);
    return json_.contains(key);
  }
  /// The value of a key. Throws Error when it is missing.
  const Json& at(const std::string& key) {
    if (!has(key)) autodiff::fail(where_, ": the key '", key, "' is missing");
    return json_[key];
  }
  JsonObject object(const std::string& key) { return {at(key), where_ + ": " + key}; }
  std::string string(const std::string& key) {
    const Json& value = at(key);
    if (!value.is_string()) wrong(key, "a string", value);
    return value.get<std::string>();
  }
  bool boolean(const std::string& key) {
    const Json& value = at(key);
    if (!value.is_boolean()) wrong(key, "true or false", value);
    return value.get<bool>();
  }
  double number(const std::string& key) {
    const Json& value = at(key);
    if (!value.is_number()) wrong(key, "a number", value);
    return value.get<double>();
  }
  double number_or(const std::string& key, double absent) { return has(key) ? number(key) : absent; }
  /// A whole number in [least, 2^31).
  int integer(const std::string& key, int least) {
    const Json& value = at(key);
    if (!value.is_number_integer() || value < least || value > 2147483647) {
      wrong(key, autodiff::text("a whole number of at least ", least), value);
    }
    return value.get<int>();
  }
  /// The elements of a list. Throws Error when it is none.
  const Json& list(const std::string& key) {
    const Json& value = at(key);
    if (!value.is_array()) wrong(key, "a list [...]", value);
    return value;
  }
  /// Throws Error for a key that nobody has asked for.
  void finish() const {
    for (const auto& [key, value] : json_.items()) {
      if (std::find(known_.begin(), known_.end(), key) == known_.end()) {
        autodiff::fail(where_, ": unknown key ", autodiff::in_quotes(key), "; did you mean '",
                       autodiff::nearest(key, known_), "'?");
      }
    }
  }
  [[noreturn]] void wrong(const std::string& key, const std::string& wanted, const Json& got) const {
    autodiff::fail(where_, ": want '", key, "' to be ", wanted, ", got ", cut(got));
  }

 private:
  static std::string cut(const Json& json) {
    const std::string text = json.dump();
    return text.size() > 60 ? text.substr(0, 57) + "..." : text;
  }
  const Json& json_;
  std::string where_;
  std::vector<std::string> known_;
};

}  // namespace ev3
