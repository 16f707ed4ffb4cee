// From TOML to structs: one template that reads whatever has fields().
#pragma once

#include <cmath>
#include <filesystem>
#include <limits>
#include <optional>
#include <type_traits>
#include <utility>

#include "autodiff/tensor/text.h"
#include "ev3/cli/config_fields.h"
#include "ev3/cli/config_toml.h"

namespace ev3::cli {

/// A value and where it stands: "explore.trajectory_length".
struct Place {
  const toml::node& node;
  std::string key;

  template <class... Parts>
  [[noreturn]] void want(const Parts&... parts) const {
    refuse(node.source(), key, ": want ", parts..., ", got ", shown(node));
  }
};

/// Reads one table; whatever `fields` does not ask for is an unknown key.
class Reader {
 public:
  explicit Reader(const Place& place) : place_(place) {
    if (!place.node.is_table()) place.want("a table");
  }

  template <class T>
  void operator()(const char* key, T& member, const Range& range = any);
  /// The keys that follow are those of this alternative: for the message about an unknown one.
  template <class T>
  void among_keys_of(const char* key, const T& choice) {
    context_ = autodiff::text(" where ", key, " = ",
                              toml_string(Names<T>::list.at(static_cast<std::size_t>(choice))));
  }
  /// The alternative that `kind` names.
  template <class T>
  std::size_t kind() {
    std::size_t chosen = 0;
    const toml::node* node = place_.node.as_table()->get("kind");
    known_.push_back("kind");
    if (!node) place_.want("a kind, one of ", choices<T>());
    chosen = choice<T>({*node, place_.key + ".kind"});
    context_ = autodiff::text(" where kind = ", toml_string(Names<T>::list.at(chosen)));
    return chosen;
  }
  /// Throws Error for a key that nobody asked for, then for one that is missing.
  void finish() const;

  template <class T>
  static std::string choices() {
    std::string out;
    for (const char* name : Names<T>::list) out += (out.empty() ? "" : ", ") + toml_string(name);
    return out;
  }
  template <class T>
  static std::size_t choice(const Place& place) {
    const auto word = place.node.value<std::string>();
    for (std::size_t i = 0; word && i < Names<T>::list.size(); ++i) {
      if (*word == Names<T>::list.at(i)) return i;
    }
    place.want("one of ", choices<T>());
  }

 private:
  const Place& place_;
  std::vector<std::string> known_;
  std::string missing_, context_;
};

void read(const Place& place, bool& out, const Range& range);
void read(const Place& place, std::string& out, const Range& range);
void read(const Place& place, std::int64_t& out, const Range& range);
void read(const Place& place, int& out, const Range& range);
void read(const Place& place, double& out, const Range& range);
void read(const Place& place, float& out, const Range& range);
void read(const Place& place, nn::Schedule& out, const Range& range);
void read(const Place& place, nn::Border& out, const Range& range);
void read(const Place& place, nn::Layer& out, const Range& range);

template <class T>
requires std::is_enum_v<T>
void read(const Place& place, T& out, const Range&) { out = static_cast<T>(Reader::choice<T>(place)); }

template <class T>
requires std::is_aggregate_v<T>
void read(const Place& place, T& out, const Range&) {
  Reader reader(place);
  fields(reader, out);
  reader.finish();
}

template <class T>
void read(const Place& place, std::optional<T>& out, const Range& range) {
  read(place, out.emplace(), range);
}

template <class T>
void read(const Place& place, std::vector<T>& out, const Range& range) {
  const toml::array* list = place.node.as_array();
  if (!list) place.want("a list");
  out.clear();
  for (std::size_t i = 0; i < list->size(); ++i) {
    read(Place{*list->get(i), autodiff::text(place.key, '.', i)}, out.emplace_back(), range);
  }
}

template <class... Alternatives>
void read(const Place& place, std::variant<Alternatives...>& out, const Range&) {
  using Variant = std::variant<Alternatives...>;
  Reader reader(place);
  const std::size_t chosen = reader.kind<Variant>();
  std::size_t index = 0;
  ((index++ == chosen ? static_cast<void>(fields(reader, out.template emplace<Alternatives>())) : void()),
   ...);
  reader.finish();
  if constexpr (requires { check(out); }) {
    try {
      check(out);
    } catch (const autodiff::Error& error) {
      refuse(place.node.source(), place.key, ": ", error.what());
    }
  }
}

template <class T>
void Reader::operator()(const char* key, T& member, const Range& range) {
  known_.emplace_back(key);
  if (const toml::node* node = place_.node.as_table()->get(key)) {
    read(Place{*node, place_.key.empty() ? key : place_.key + '.' + key}, member, range);
  } else if (range.required && missing_.empty()) {
    missing_ = key;
  }
}

}  // namespace ev3::cli
