#include "nn/safetensors.h"

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>
#include <utility>

#include "autodiff/tensor/error.h"
#include "autodiff/tensor/file.h"
#include "autodiff/tensor/text.h"
#include "nn/safetensors_header.h"

namespace nn {

using autodiff::DType;
using autodiff::fail;
using autodiff::in_quotes;
using autodiff::Labels;
using autodiff::Shape;
using autodiff::Tensor;

namespace {

// Copies the bytes of an entry to memory of the right type.
void copy_to(void* to, const SafetensorsEntry& entry) {
  if (!entry.bytes.empty()) std::memcpy(to, entry.bytes.data(), entry.bytes.size());
}

template <class T>
std::vector<T> elements(const SafetensorsEntry& entry) {
  std::vector<T> out(entry.bytes.size() / sizeof(T));
  copy_to(out.data(), entry);
  return out;
}

}  // namespace

Safetensors Safetensors::read(const std::filesystem::path& path) {
  return parse(autodiff::read_file(path), path.string());
}

Safetensors Safetensors::parse(std::string bytes, std::string where) {
  Safetensors out;
  out.bytes_ = std::make_shared<const std::string>(std::move(bytes));
  out.where_ = std::move(where);
  SafetensorsHeader header = parse_safetensors(*out.bytes_, out.where_);
  out.metadata_ = std::move(header.metadata);
  out.entries_ = std::move(header.entries);
  return out;
}

const SafetensorsEntry* Safetensors::find(std::string_view name) const {
  const auto found =
      std::lower_bound(entries_.begin(), entries_.end(), name,
                       [](const SafetensorsEntry& entry, std::string_view n) { return entry.name < n; });
  return found != entries_.end() && found->name == name ? &*found : nullptr;
}

std::string Safetensors::where(const SafetensorsEntry& entry) const {
  return where_ + ": " + in_quotes(entry.name);
}

const SafetensorsEntry& Safetensors::at(std::string_view name) const {
  const SafetensorsEntry* const entry = find(name);
  if (entry) return *entry;
  std::vector<std::string> names;
  for (const SafetensorsEntry& other : entries_) names.push_back(other.name);
  const std::string near = autodiff::nearest(name, names);
  fail(where_, ": no array ", in_quotes(name),
       near.empty() ? ": it is empty" : "; the nearest name is " + in_quotes(near));
}

const SafetensorsEntry& Safetensors::at(std::string_view name, DType dtype) const {
  const SafetensorsEntry& entry = at(name);
  if (entry.dtype != dtype) {
    fail(where(entry), ": want dtype ", autodiff::dtype_name(dtype), ", got ",
         autodiff::dtype_name(entry.dtype));
  }
  return entry;
}

Tensor Safetensors::tensor(std::string_view name) const {
  const SafetensorsEntry& entry = at(name, DType::F32);
  Tensor out(autodiff::to_shape(entry.shape, where(entry)));
  copy_to(out.data(), entry);
  return out;
}

Tensor Safetensors::tensor(std::string_view name, const Shape& shape) const {
  const SafetensorsEntry& entry = at(name, DType::F32);
  if (entry.shape != autodiff::to_sizes(shape)) {
    fail(where(entry), ": want shape ", shape, ", got ", autodiff::sizes_text(entry.shape));
  }
  return tensor(name);
}

Labels Safetensors::labels(std::string_view name) const {
  const SafetensorsEntry& entry = at(name);
  if (entry.dtype != DType::I32 && entry.dtype != DType::I64) {
    fail(where(entry), ": want dtype I32 or I64, got ", autodiff::dtype_name(entry.dtype));
  }
  Labels out(autodiff::to_shape(entry.shape, where(entry)));
  if (entry.dtype == DType::I32) {
    copy_to(out.data(), entry);
    return out;
  }
  const std::vector<std::int64_t> values = elements<std::int64_t>(entry);
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (!std::in_range<std::int32_t>(values[i])) {
      fail(where(entry), ": want values within int32, element ", i, " is ", values[i]);
    }
    out[i] = static_cast<std::int32_t>(values[i]);
  }
  return out;
}

std::vector<double> Safetensors::doubles(std::string_view name) const {
  return elements<double>(at(name, DType::F64));
}

std::vector<std::int64_t> Safetensors::integers(std::string_view name) const {
  return elements<std::int64_t>(at(name, DType::I64));
}

void SafetensorsWriter::add(const std::string& name, const Tensor& tensor) {
  add(name, std::span<const float>(tensor.data(), tensor.size()), tensor.shape());
}

void SafetensorsWriter::add(const std::string& name, const Labels& labels) {
  add(name, std::span<const std::int32_t>(labels.data(), labels.size()), labels.shape());
}

void SafetensorsWriter::add(const std::string& name, std::span<const float> values, const Shape& shape) {
  add(name, DType::F32, shape, autodiff::as_chars(values));
}

void SafetensorsWriter::add(const std::string& name, std::span<const std::int32_t> values,
                            const Shape& shape) {
  add(name, DType::I32, shape, autodiff::as_chars(values));
}

void SafetensorsWriter::add(const std::string& name, std::span<const double> values, const Shape& shape) {
  add(name, DType::F64, shape, autodiff::as_chars(values));
}

void SafetensorsWriter::add(const std::string& name, std::span<const std::int64_t> values,
                            const Shape& shape) {
  add(name, DType::I64, shape, autodiff::as_chars(values));
}

void SafetensorsWriter::add(const std::string& name, DType dtype, const Shape& shape,
                            std::string_view bytes) {
  const std::size_t size = autodiff::dtype_size(dtype);
  if (bytes.size() != shape.size() * size) {
    fail("safetensors: ", in_quotes(name), ": want ", shape.size(), " values for shape ", shape, ", got ",
         bytes.size() / size);
  }
  if (name == "__metadata__" || arrays_.contains(name)) {
    fail("safetensors: ", in_quotes(name),
         name == "__metadata__" ? ": no name for an array" : ": added twice");
  }
  arrays_[name] = {dtype, autodiff::to_sizes(shape), std::string(bytes)};
}

std::string SafetensorsWriter::bytes() const {
  using Entry = std::pair<const std::string, autodiff::Array>;
  std::vector<const Entry*> order;
  for (const Entry& entry : arrays_) order.push_back(&entry);
  std::stable_sort(order.begin(), order.end(), [](const Entry* a, const Entry* b) {
    return autodiff::dtype_size(a->second.dtype) > autodiff::dtype_size(b->second.dtype);
  });

  std::string header = "{", data;
  try {
    if (!metadata_.empty()) header += "\"__metadata__\":" + nlohmann::json(metadata_).dump();
    for (const Entry* entry : order) {
      const auto& [name, array] = *entry;
      const nlohmann::json shape = array.shape, offsets = {data.size(), data.size() + array.bytes.size()};
      if (header.size() > 1) header += ',';
      header += nlohmann::json(name).dump() + ":{\"dtype\":\"" + autodiff::dtype_name(array.dtype) +
                "\",\"shape\":" + shape.dump() + ",\"data_offsets\":" + offsets.dump() + "}";
      data += array.bytes;
    }
  } catch (const nlohmann::json::exception&) {
    fail("safetensors: want names and metadata in UTF-8");
  }
  header += '}';
  header.resize((header.size() + 7) / 8 * 8, ' ');
  if (header.size() > safetensors_header_limit) {
    fail("safetensors: want a header of at most ", safetensors_header_limit, " bytes, got ", header.size());
  }
  const std::uint64_t length = header.size();
  return std::string(autodiff::as_chars(std::span(&length, 1))) + header + data;
}

void SafetensorsWriter::write(const std::filesystem::path& path) const {
  autodiff::write_file(path, bytes());
}

}  // namespace nn
