#include <charconv>
#include <optional>
#include <sstream>
#include <type_traits>

#include "autodiff/tensor/hash.h"
#include "ev3/cli/config_fields.h"
#include "ev3/cli/config_toml.h"

namespace ev3::cli {
namespace {

std::string value(bool x) { return x ? "true" : "false"; }
std::string value(int x) { return std::to_string(x); }
std::string value(std::int64_t x) { return std::to_string(x); }
std::string value(const std::string& x) { return toml_string(x); }
std::string value(nn::Schedule& x);
std::string value(nn::Border& x) {
  return !x.zeros ? "\"same\"" : *x.zeros == 0 ? "\"valid\"" : std::to_string(*x.zeros);
}
std::string value(nn::Layer& x);

// The shortest number that reads back as the same.
template <class T>
requires std::is_floating_point_v<T> std::string value(T x) {
  char digits[40];
  const auto end = std::to_chars(digits, digits + sizeof digits, x).ptr;
  const std::string out(digits, end);
  return out.find_first_of(".e") == std::string::npos ? out + ".0" : out;
}

template <class T>
requires std::is_enum_v<T> std::string value(T x) {
  return toml_string(Names<T>::list.at(static_cast<std::size_t>(x)));
}

template <class T>
std::string value(std::vector<T>& list);
template <class... T>
std::string value(std::variant<T...>& x);
template <class T>
requires std::is_aggregate_v<T> std::string value(T& x);

// The fields of a struct, between `before` and `after` each.
class Lines {
 public:
  Lines(const char* between, const char* after) : between_(between), after_(after) {}

  template <class T>
  void operator()(const char* key, T& member, const Range& = any) {
    line(key, value(member));
  }
  template <class T>
  void operator()(const char* key, std::optional<T>& member, const Range& = any) {
    if (member) line(key, value(*member));
  }
  /// In a section a layer has a line of its own.
  void operator()(const char* key, std::vector<nn::Layer>& layers, const Range& = any) {
    const bool wide = *after_ != 0;
    std::string list;
    for (nn::Layer& layer : layers) {
      list += (list.empty() ? "" : ",") + std::string(wide ? "\n  " : " ") + value(layer);
    }
    line(key, '[' + list.substr(wide || list.empty() ? 0 : 1) + (wide ? "\n]" : "]"));
  }
  template <class T>
  void among_keys_of(const char*, const T&) {}

  /// kind = "...", then the fields of the alternative.
  template <class... T>
  std::string of(std::variant<T...>& x) {
    line("kind", toml_string(Names<std::variant<T...>>::list.at(x.index())));
    std::visit([&](auto& alternative) { fields(*this, alternative); }, x);
    return text_;
  }
  template <class T>
  std::string of(T& x) {
    fields(*this, x);
    return text_;
  }

 private:
  void line(const char* key, const std::string& content) {
    if (!text_.empty()) text_ += between_;
    text_ += std::string(key) + " = " + content + after_;
  }
  const char *between_, *after_;
  std::string text_;
};

template <class T>
std::string value(std::vector<T>& list) {
  std::string out = "[";
  for (T& x : list) out += (out.size() > 1 ? ", " : "") + value(x);
  return out + "]";
}

template <class... T>
std::string value(std::variant<T...>& x) {
  return "{" + Lines(", ", "").of(x) + "}";
}

template <class T>
requires std::is_aggregate_v<T> std::string value(T& x) { return "{" + Lines(", ", "").of(x) + "}"; }

std::string value(nn::Schedule& x) {
  if (const auto* constant = std::get_if<nn::Constant>(&x.form())) return value(constant->value);
  nn::Schedule::Form form = x.form();
  return value(form);
}

std::string value(nn::Layer& x) { return value(x.form); }

// The experiment: keys, then sections.
class Sections {
 public:
  template <class T>
  void operator()(const char* key, T& member, const Range& = any) {
    if constexpr (std::is_aggregate_v<T>) {
      const std::string lines = Lines("", "\n").of(member);
      if (!lines.empty()) text_ += std::string("\n[") + key + "]\n" + lines;
    } else {
      text_ += std::string(key) + " = " + value(member) + "\n";
    }
  }
  template <class T>
  void operator()(const char* key, std::optional<T>& member, const Range& range = any) {
    if (member) (*this)(key, *member, range);
  }
  template <class... T>
  void operator()(const char* key, std::vector<std::variant<T...>>& list, const Range& = any) {
    for (auto& x : list) text_ += std::string("\n[[") + key + "]]\n" + Lines("", "\n").of(x);
  }
  const std::string& text() const { return text_; }

 private:
  std::string text_;
};

}  // namespace

std::string to_toml(const Experiment& experiment) {
  Experiment copy = experiment;  // fields() is one list for readers and writers, and hands out references
  Sections sections;
  fields(sections, copy);
  return sections.text();
}

namespace {

std::string without_rounds_and_paths(Experiment experiment) {
  experiment.rounds = 1;
  experiment.data.path = experiment.data.test_path = "";
  if (!experiment.data.logits.empty()) experiment.data.logits = "a file";
  for (std::string& teacher : experiment.teachers) teacher = "a file";
  return to_toml(experiment);
}

}  // namespace

std::uint64_t identity(const Experiment& experiment) {
  return autodiff::fnv1a64(without_rounds_and_paths(experiment));
}

std::string difference(const Experiment& there, const Experiment& here) {
  std::istringstream left(without_rounds_and_paths(there)), right(without_rounds_and_paths(here));
  std::string section;
  while (left || right) {
    std::string a, b;
    std::getline(left, a);
    std::getline(right, b);
    if (a != b) {
      const bool whole_section = a.empty() || b.empty() || a.starts_with('[') || b.starts_with('[');
      return (whole_section ? "" : section) + (a.empty() ? "nothing" : a) + " there, " +
             (b.empty() ? "nothing" : b) + " here";
    }
    if (a.starts_with('[')) section = a + ' ';
  }
  return "";
}

}  // namespace ev3::cli
