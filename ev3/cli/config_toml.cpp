#include "ev3/cli/config_toml.h"

#include <charconv>
#include <sstream>

#include "autodiff/tensor/text.h"

namespace ev3::cli {
namespace {

using autodiff::fail;

// "value = TEXT" as TOML; where TEXT is no TOML value, as the text itself.
toml::table parse_value(const std::string& text, const std::string& where) {
  try {
    toml::table table = toml::parse("value = " + text, where);
    if (table.size() == 1) return table;
  } catch (const toml::parse_error&) {
  }
  return toml::parse("value = " + toml_string(text), where);
}

toml::node& element(toml::array& list, const std::string& step, const std::string& where) {
  std::size_t index = 0;
  const auto [end, error] = std::from_chars(step.data(), step.data() + step.size(), index);
  if (error != std::errc() || end != step.data() + step.size() || index >= list.size()) {
    fail(where, ": want an index from 0 to ", static_cast<std::ptrdiff_t>(list.size()) - 1, " where '", step,
         "' stands");
  }
  return *list.get(index);
}

bool is_index(const std::string& step) {
  return !step.empty() && step.find_first_not_of("0123456789") == std::string::npos;
}

// The value under `step` of a table or list; where a table has none, one more table, unless `next` is an
// index.
toml::node& descend(toml::node& node, const std::string& step, const std::string& next,
                    const std::string& where) {
  if (toml::array* list = node.as_array()) return element(*list, step, where);
  toml::table* table = node.as_table();
  if (!table) fail(where, ": what stands before '", step, "' is a value, not a section");
  if (!table->contains(step)) {
    if (is_index(next)) fail(where, ": the config has no list '", step, "', so no entry ", next, " of it");
    table->insert(step, toml::table{});
  }
  return *table->get(step);
}

}  // namespace

toml::table parse_toml(std::string_view text, const std::string& where) {
  try {
    return toml::parse(text, where);
  } catch (const toml::parse_error& error) {
    refuse(error.source(), error.description());
  }
}

void override_value(toml::table& root, const std::string& assignment) {
  const std::string where = "--set " + assignment;
  const std::size_t equals = assignment.find('=');
  if (equals == std::string::npos || equals == 0) fail(where, ": want KEY=VALUE, such as rounds=10");
  std::vector<std::string> steps{""};
  for (const char c : assignment.substr(0, equals)) {
    if (c == '.') {
      steps.emplace_back();
    } else {
      steps.back() += c;
    }
  }
  toml::node* node = &root;
  for (std::size_t i = 0; i + 1 < steps.size(); ++i) node = &descend(*node, steps[i], steps[i + 1], where);

  // Moved, not copied: a copy would forget where it comes from.
  toml::table value = parse_value(assignment.substr(equals + 1), where);
  value.get("value")->visit([&](auto& content) {
    if (toml::array* list = node->as_array()) {
      element(*list, steps.back(), where);
      const auto index = static_cast<std::ptrdiff_t>(std::stoull(steps.back()));
      list->replace(list->cbegin() + index, std::move(content));
    } else if (toml::table* table = node->as_table()) {
      table->insert_or_assign(steps.back(), std::move(content));
    } else {
      fail(where, ": what stands before '", steps.back(), "' is a value, not a section");
    }
  });
}

std::string toml_string(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      const char* digits = "0123456789ABCDEF";
      out += "\\u00";
      out += digits[c >> 4 & 15];
      out += digits[c & 15];
    } else {
      out += c;
    }
  }
  return out + '"';
}

std::string shown(const toml::node& node) {
  if (node.is_table()) return "a table";
  std::ostringstream out;
  node.visit([&](const auto& content) {
    if constexpr (toml::is_array<decltype(content)>) {
      out << content;
    } else if constexpr (toml::is_value<decltype(content)>) {
      out << toml::toml_formatter{content};
    }
  });
  const std::string text = out.str();
  return text.size() <= 60 && text.find('\n') == std::string::npos ? text
         : node.is_array()                                         ? "a list"
                                                                   : autodiff::in_quotes(text);
}

}  // namespace ev3::cli
