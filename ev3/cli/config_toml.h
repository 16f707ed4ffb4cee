// TOML as this program sees it: values with their places, and overrides from the command line.
#pragma once

#include <toml++/toml.h>
#include <string>
#include <string_view>
#include <vector>

#include "autodiff/tensor/error.h"

namespace ev3::cli {

/// Throws Error "config.toml:12:5: ..." (without line and column for what came from the command line).
template <class... Parts>
[[noreturn]] void refuse(const toml::source_region& place, const Parts&... parts) {
  const std::string file = place.path ? *place.path : std::string("config");
  if (file.starts_with("--") || place.begin.line == 0) autodiff::fail(file, ": ", parts...);
  autodiff::fail(file, ':', place.begin.line, ':', place.begin.column, ": ", parts...);
}

/// The text as a table whose values know that they come from `where`. Throws Error for what is no TOML.
toml::table parse_toml(std::string_view text, const std::string& where);
/// Sets "key.index.key=value" in it. Throws Error for a list index that is not there.
void override_value(toml::table& root, const std::string& assignment);

/// Text in TOML's double quotes.
std::string toml_string(std::string_view text);
/// A value for messages: its TOML where it is short, else what it is.
std::string shown(const toml::node& node);

}  // namespace ev3::cli
