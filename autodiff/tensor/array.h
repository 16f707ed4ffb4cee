// Arrays as files hold them: any element type, any sizes, little-endian bytes. What npy and safetensors
// share.
#pragma once

#include <bit>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "autodiff/tensor/tensor.h"

namespace autodiff {

static_assert(std::endian::native == std::endian::little, "files are read and written as they lie in memory");

/// Element types, in the order of decreasing size.
enum class DType { F64, I64, U64, F32, I32, U32, F16, BF16, I16, U16, I8, U8, Bool };

/// "F32", "BOOL": the names safetensors uses.
const char* dtype_name(DType dtype);
/// The type of that name, if there is one.
std::optional<DType> dtype_named(std::string_view name);
/// Bytes of one element: 8, 4, 2 or 1.
std::size_t dtype_size(DType dtype);

/// Bytes of a row-major array: the product of its sizes times the element size. Nothing when a size is
/// negative or the product (zeros left out) is beyond 2^63.
std::optional<std::size_t> byte_count(DType dtype, std::span<const std::int64_t> sizes);
/// "[60000, 28, 28]"
std::string sizes_text(std::span<const std::int64_t> sizes);
/// The sizes as a Shape. Throws Error beginning with `where` for more than Shape::max_rank axes or one beyond
/// int.
Shape to_shape(std::span<const std::int64_t> sizes, std::string_view where);
/// A Shape as sizes.
std::vector<std::int64_t> to_sizes(const Shape& shape);

/// The memory of `values` as characters, for files and hashes.
template <class T>
std::string_view as_chars(std::span<T> values) {
  return {reinterpret_cast<const char*>(values.data()), values.size_bytes()};
}

/// An array with bytes of its own. `bytes` holds byte_count(dtype, shape) bytes.
struct Array {
  DType dtype = DType::F32;
  std::vector<std::int64_t> shape;
  std::string bytes;

  /// Number of elements.
  std::size_t size() const { return bytes.size() / dtype_size(dtype); }
  /// The elements as float32; double is rounded. Throws Error beginning with `where` for an integer beyond
  /// 2^24 (it may not be exact), a finite double beyond float32, or the types F16, BF16, I8, I16, U16, U32,
  /// U64.
  std::vector<float> to_floats(std::string_view where = "array") const;
  /// The elements as int32. Throws Error beginning with `where` for a value beyond int32, one that is not
  /// whole (F32, F64), or the types F16, BF16, I8, I16, U16, U32, U64.
  std::vector<std::int32_t> to_ints(std::string_view where = "array") const;
};

/// Copies, for writing.
Array to_array(const Tensor& tensor);
Array to_array(const Labels& labels);

}  // namespace autodiff
