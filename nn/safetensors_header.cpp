#include "nn/safetensors_header.h"

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "autodiff/tensor/error.h"
#include "autodiff/tensor/text.h"

namespace nn {
namespace {

using autodiff::fail;
using autodiff::in_quotes;
using nlohmann::json;

// The header's bytes: behind the length, which is checked against the file before anything else.
std::string_view header_text(std::string_view bytes, const std::string& where) {
  if (bytes.size() < 8) fail(where, ": no safetensors file: want at least 8 bytes, got ", bytes.size());
  std::uint64_t length = 0;
  for (std::size_t i = 8; i-- > 0;) length = length << 8 | static_cast<unsigned char>(bytes[i]);
  if (length > safetensors_header_limit) {
    fail(where, ": no safetensors file: want a header of at most ", safetensors_header_limit, " bytes, got ",
         length);
  }
  if (length > bytes.size() - 8) {
    fail(where, ": truncated: want a header of ", length, " bytes, got ", bytes.size() - 8);
  }
  const std::string_view text = bytes.substr(8, static_cast<std::size_t>(length));
  if (!text.starts_with('{')) fail(where, ": no safetensors file: its header does not begin with '{'");
  return text;
}

// The JSON value. Keys that occur twice and deep nesting are refused while parsing.
json parse_json(std::string_view text, const std::string& where) {
  std::vector<std::set<std::string>> keys;
  const auto check = [&](int depth, json::parse_event_t event, const json& value) {
    if (depth > 3) fail(where, ": corrupt header: nested too deeply");
    if (event == json::parse_event_t::object_start) keys.emplace_back();
    if (event == json::parse_event_t::object_end) keys.pop_back();
    if (event == json::parse_event_t::key) {
      const auto& key = value.get_ref<const std::string&>();
      if (!keys.back().insert(key).second)
        fail(where, ": corrupt header: key ", in_quotes(key), " occurs twice");
    }
    return true;
  };
  try {
    return json::parse(text.begin(), text.end(), check);
  } catch (const json::exception& error) {
    // "[json.exception.parse_error.101] parse error at ...: ...; last read: '...'": the middle is for people.
    std::string_view what = error.what();
    what.remove_prefix(std::min(what.size(), what.find(' ') + 1));
    fail(where, ": corrupt header: ", what.substr(0, what.find("; last read")));
  }
}

std::map<std::string, std::string> read_metadata(const json& value, const std::string& where) {
  if (!value.is_object()) fail(where, ": __metadata__: want an object, got ", value.type_name());
  std::map<std::string, std::string> out;
  for (const auto& [key, text] : value.items()) {
    if (!text.is_string())
      fail(where, ": __metadata__: ", in_quotes(key), ": want a string, got ", text.type_name());
    out[key] = text.get<std::string>();
  }
  return out;
}

// [n, n, ...], whole numbers from 0 to 2^63 - 1.
std::vector<std::int64_t> read_numbers(const json& value, const char* key, const std::string& where) {
  if (!value.is_array()) fail(where, ": ", key, ": want a list of whole numbers, got ", value.type_name());
  std::vector<std::int64_t> out;
  for (const json& number : value) {
    if (!number.is_number_unsigned() ||
        number.get<std::uint64_t>() > std::numeric_limits<std::int64_t>::max()) {
      fail(where, ": ", key, ": want whole numbers from 0 to 2^63 - 1, got ",
           number.is_number() ? number.dump() : number.type_name());
    }
    out.push_back(number.get<std::int64_t>());
  }
  return out;
}

SafetensorsEntry read_entry(const std::string& name, const json& value, std::string_view data,
                            const std::string& file) {
  const std::string where = file + ": " + in_quotes(name);
  if (!value.is_object()) fail(where, ": want an object, got ", value.type_name());
  for (const char* const key : {"dtype", "shape", "data_offsets"}) {
    if (!value.contains(key)) fail(where, ": ", key, " is missing");
  }
  for (const auto& [key, ignored] : value.items()) {
    if (key != "dtype" && key != "shape" && key != "data_offsets")
      fail(where, ": unknown key ", in_quotes(key));
  }
  const json& type = value["dtype"];
  if (!type.is_string()) fail(where, ": dtype: want a string, got ", type.type_name());
  const auto dtype = autodiff::dtype_named(type.get_ref<const std::string&>());
  if (!dtype) fail(where, ": unknown dtype ", in_quotes(type.get_ref<const std::string&>()));

  SafetensorsEntry entry{name, *dtype, read_numbers(value["shape"], "shape", where), {}};
  const auto offsets = read_numbers(value["data_offsets"], "data_offsets", where);
  if (offsets.size() != 2 || offsets[0] > offsets[1]) {
    fail(where, ": data_offsets: want [begin, end], got ", autodiff::sizes_text(offsets));
  }
  const auto begin = static_cast<std::size_t>(offsets[0]), end = static_cast<std::size_t>(offsets[1]);
  if (end > data.size()) fail(where, ": truncated: its data end at byte ", end, " of ", data.size());
  const auto want = autodiff::byte_count(*dtype, entry.shape);
  if (!want) fail(where, ": shape ", autodiff::sizes_text(entry.shape), " is too large: its size overflows");
  if (*want != end - begin) {
    fail(where, ": want ", *want, " bytes for shape ", autodiff::sizes_text(entry.shape), " of ",
         autodiff::dtype_name(*dtype), ", got ", end - begin);
  }
  const std::size_t size = autodiff::dtype_size(*dtype);
  if (begin % size != 0)
    fail(where, ": want its data to begin at a multiple of ", size, ", they begin at ", begin);
  entry.bytes = std::as_bytes(std::span(data)).subspan(begin, end - begin);
  return entry;
}

// Every byte of the data belongs to exactly one entry.
void check_coverage(const std::vector<SafetensorsEntry>& entries, std::string_view data,
                    const std::string& where) {
  std::vector<const SafetensorsEntry*> order;
  for (const SafetensorsEntry& entry : entries) order.push_back(&entry);
  std::sort(order.begin(), order.end(), [](const SafetensorsEntry* a, const SafetensorsEntry* b) {
    return std::pair(a->bytes.data(), a->bytes.size()) < std::pair(b->bytes.data(), b->bytes.size());
  });
  const std::byte* const first = std::as_bytes(std::span(data)).data();
  std::size_t covered = 0;
  for (const SafetensorsEntry* entry : order) {
    const auto begin = static_cast<std::size_t>(entry->bytes.data() - first);
    if (begin != covered) {
      fail(where, ": ", in_quotes(entry->name), ": its data begin at byte ", begin, ", ",
           begin < covered ? "inside those of another array" : "leaving a gap", ": want ", covered);
    }
    covered += entry->bytes.size();
  }
  if (covered != data.size()) {
    fail(where, ": ", data.size() - covered, " bytes at the end belong to no array");
  }
}

}  // namespace

SafetensorsHeader parse_safetensors(std::string_view bytes, const std::string& where) {
  const std::string_view text = header_text(bytes, where), data = bytes.substr(8 + text.size());
  const json root = parse_json(text, where);
  SafetensorsHeader out;
  for (const auto& [name, value] : root.items()) {  // sorted by name
    if (name == "__metadata__") {
      out.metadata = read_metadata(value, where);
    } else {
      out.entries.push_back(read_entry(name, value, data, where));
    }
  }
  check_coverage(out.entries, data, where);
  return out;
}

}  // namespace nn
