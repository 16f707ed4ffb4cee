// The header of a safetensors file: what its JSON may say, checked against the data behind it.
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "nn/safetensors.h"

namespace nn {

/// No header may be longer, in bytes.
inline constexpr std::size_t safetensors_header_limit = 100'000'000;

struct SafetensorsHeader {
  std::map<std::string, std::string> metadata;
  std::vector<SafetensorsEntry> entries;  // sorted by name
};

/// Reads and checks a whole file; the entries look into `bytes`. Throws Error beginning with `where`.
SafetensorsHeader parse_safetensors(std::string_view bytes, const std::string& where);

}  // namespace nn
