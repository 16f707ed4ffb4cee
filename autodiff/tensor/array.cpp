#include "autodiff/tensor/array.h"

#include <cmath>
#include <cstring>
#include <limits>
#include <type_traits>
#include <utility>

namespace autodiff {
namespace {

struct DTypeRow {
  const char* name;
  std::size_t size;
};

// In the order of the enumeration.
constexpr DTypeRow dtypes[] = {{"F64", 8}, {"I64", 8}, {"U64", 8},  {"F32", 4}, {"I32", 4},
                               {"U32", 4}, {"F16", 2}, {"BF16", 2}, {"I16", 2}, {"U16", 2},
                               {"I8", 1},  {"U8", 1},  {"BOOL", 1}};

const DTypeRow& row(DType dtype) { return dtypes[static_cast<std::size_t>(dtype)]; }

// Whether `value` may become an Out without a surprise.
template <class Out, class In>
bool fits(In value) {
  if constexpr (std::is_same_v<Out, float> && std::is_floating_point_v<In>) {
    return !std::isfinite(value) || std::fabs(value) <= static_cast<In>(std::numeric_limits<float>::max());
  } else if constexpr (std::is_same_v<Out, float>) {
    return value >= -(1 << 24) && value <= 1 << 24;
  } else if constexpr (std::is_floating_point_v<In>) {
    return value >= In{-0x1p31} && value < In{0x1p31} && std::trunc(value) == value;
  } else {
    return std::in_range<Out>(value);
  }
}

template <class Out, class In>
std::vector<Out> converted(std::string_view bytes, std::string_view where) {
  std::vector<Out> out(bytes.size() / sizeof(In));
  for (std::size_t i = 0; i < out.size(); ++i) {
    In value;
    std::memcpy(&value, bytes.data() + i * sizeof(In), sizeof(In));
    if (!fits<Out>(value)) {
      fail(where, ": element ", i, " is ", +value, ", which is no ",
           std::is_same_v<Out, float> ? "float32 without loss" : "whole number within int32");
    }
    out[i] = static_cast<Out>(value);
  }
  return out;
}

template <class Out>
std::vector<Out> converted(const Array& array, std::string_view where) {
  if (byte_count(array.dtype, array.shape) != array.bytes.size()) {
    fail(where, ": want the bytes of ", dtype_name(array.dtype), ' ', sizes_text(array.shape), ", got ",
         array.bytes.size());
  }
  switch (array.dtype) {
    case DType::F64:
      return converted<Out, double>(array.bytes, where);
    case DType::F32:
      return converted<Out, float>(array.bytes, where);
    case DType::I64:
      return converted<Out, std::int64_t>(array.bytes, where);
    case DType::I32:
      return converted<Out, std::int32_t>(array.bytes, where);
    case DType::U8:
    case DType::Bool:
      return converted<Out, std::uint8_t>(array.bytes, where);
    default:
      break;
  }
  fail(where, ": want elements of type F32, F64, I32, I64, U8 or BOOL, got ", dtype_name(array.dtype));
}

}  // namespace

const char* dtype_name(DType dtype) { return row(dtype).name; }

std::optional<DType> dtype_named(std::string_view name) {
  for (std::size_t i = 0; i < std::size(dtypes); ++i) {
    if (name == dtypes[i].name) return static_cast<DType>(i);
  }
  return std::nullopt;
}

std::size_t dtype_size(DType dtype) { return row(dtype).size; }

std::optional<std::size_t> byte_count(DType dtype, std::span<const std::int64_t> sizes) {
  constexpr std::size_t limit = std::size_t{1} << 63;
  std::size_t bytes = dtype_size(dtype);
  bool empty = false;
  for (const std::int64_t size : sizes) {
    if (size < 0) return std::nullopt;
    empty = empty || size == 0;
    if (size == 0) continue;
    if (bytes > limit / static_cast<std::size_t>(size)) return std::nullopt;
    bytes *= static_cast<std::size_t>(size);
  }
  return empty ? 0 : bytes;
}

std::string sizes_text(std::span<const std::int64_t> sizes) {
  constexpr std::size_t most = 16;  // a broken file may have a million axes
  std::string out = "[";
  for (std::size_t i = 0; i < sizes.size() && i < most; ++i)
    out += (i ? ", " : "") + std::to_string(sizes[i]);
  return out + (sizes.size() > most ? ", ...]" : "]");
}

Shape to_shape(std::span<const std::int64_t> sizes, std::string_view where) {
  if (sizes.size() > static_cast<std::size_t>(Shape::max_rank)) {
    fail(where, ": want at most ", Shape::max_rank, " axes, got shape ", sizes_text(sizes));
  }
  std::vector<int> dims;
  for (const std::int64_t size : sizes) {
    if (!std::in_range<int>(size) || size < 0) {
      fail(where, ": want axes of at most ", std::numeric_limits<int>::max(), ", got shape ",
           sizes_text(sizes));
    }
    dims.push_back(static_cast<int>(size));
  }
  return Shape(std::span<const int>(dims));
}

std::vector<std::int64_t> to_sizes(const Shape& shape) { return {shape.begin(), shape.end()}; }

std::vector<float> Array::to_floats(std::string_view where) const { return converted<float>(*this, where); }

std::vector<std::int32_t> Array::to_ints(std::string_view where) const {
  return converted<std::int32_t>(*this, where);
}

Array to_array(const Tensor& tensor) {
  return {DType::F32, to_sizes(tensor.shape()),
          std::string(as_chars(std::span(tensor.data(), tensor.size())))};
}

Array to_array(const Labels& labels) {
  return {DType::I32, to_sizes(labels.shape()),
          std::string(as_chars(std::span(labels.data(), labels.size())))};
}

}  // namespace autodiff
