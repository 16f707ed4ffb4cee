// safetensors: named arrays behind a JSON header. What parameters, models and replay bundles are stored in.
//
//   8 bytes   N, little-endian
//   N bytes   {"__metadata__": {key: string, ...}, name: {"dtype": "F32", "shape": [..], "data_offsets": [a,
//   b]}, ...} the rest  data; every byte belongs to exactly one array
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "autodiff/tensor/array.h"
#include "autodiff/tensor/tensor.h"

namespace nn {

/// One array of a file. `bytes` looks into the Safetensors it came from, not necessarily aligned.
struct SafetensorsEntry {
  std::string name;
  autodiff::DType dtype;
  std::vector<std::int64_t> shape;
  std::span<const std::byte> bytes;
};

/// The content of a file, completely checked. Copies share the bytes. Every error begins with the path (or
/// `where`) and names the array.
class Safetensors {
 public:
  /// Throws Error when the file cannot be read or is not exactly what the format says: a header cut off,
  /// above 100 MB, not UTF-8 or no JSON; a key twice or unknown; unknown types; sizes whose product overflows
  /// or does not fit the offsets; arrays that overlap, leave a gap, begin at no multiple of their element
  /// size or reach beyond the end.
  static Safetensors read(const std::filesystem::path& path);
  /// The same from memory.
  static Safetensors parse(std::string bytes, std::string where);

  const std::map<std::string, std::string>& metadata() const { return metadata_; }
  /// All arrays, sorted by name.
  std::span<const SafetensorsEntry> entries() const { return entries_; }
  bool contains(std::string_view name) const { return find(name) != nullptr; }
  /// The array of that name, or null. Valid as long as this object is.
  const SafetensorsEntry* find(std::string_view name) const;

  /// A float32 array of any shape. Throws Error when it is missing or of another type.
  autodiff::Tensor tensor(std::string_view name) const;
  /// The same, of this very shape.
  autodiff::Tensor tensor(std::string_view name, const autodiff::Shape& shape) const;
  /// An int32 array, or int64 with all values within int32.
  autodiff::Labels labels(std::string_view name) const;
  /// The elements of a float64 array of any shape.
  std::vector<double> doubles(std::string_view name) const;
  /// The elements of an int64 array of any shape.
  std::vector<std::int64_t> integers(std::string_view name) const;

 private:
  const SafetensorsEntry& at(std::string_view name) const;
  const SafetensorsEntry& at(std::string_view name, autodiff::DType dtype) const;
  std::string where(const SafetensorsEntry& entry) const;

  std::shared_ptr<const std::string> bytes_;
  std::string where_;
  std::map<std::string, std::string> metadata_;
  std::vector<SafetensorsEntry> entries_;
};

/// Collects arrays (copied) and writes them. The bytes depend on the content alone, not on the order in which
/// it was added: arrays are sorted by decreasing element size, then name, metadata by key.
class SafetensorsWriter {
 public:
  /// Adds an array. Throws Error for a name that is there already or "__metadata__", and unless there is one
  /// value per element of `shape`.
  void add(const std::string& name, const autodiff::Tensor& tensor);
  void add(const std::string& name, const autodiff::Labels& labels);
  void add(const std::string& name, std::span<const float> values, const autodiff::Shape& shape);
  void add(const std::string& name, std::span<const std::int32_t> values, const autodiff::Shape& shape);
  void add(const std::string& name, std::span<const double> values, const autodiff::Shape& shape);
  void add(const std::string& name, std::span<const std::int64_t> values, const autodiff::Shape& shape);
  /// Sets a metadata string; a later one of the same key replaces it.
  void metadata(const std::string& key, const std::string& value) { metadata_[key] = value; }

  /// The file. Throws Error for names or metadata that are not UTF-8, and for a header above 100 MB.
  std::string bytes() const;
  /// Writes bytes() in one step, see autodiff::write_file.
  void write(const std::filesystem::path& path) const;

 private:
  void add(const std::string& name, autodiff::DType dtype, const autodiff::Shape& shape,
           std::string_view bytes);

  std::map<std::string, autodiff::Array> arrays_;
  std::map<std::string, std::string> metadata_;
};

}  // namespace nn
