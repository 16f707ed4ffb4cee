// Shapes: the sizes of an array's axes, row-major, the last axis fastest.
#pragma once

#include <array>
#include <cstddef>
#include <initializer_list>
#include <iosfwd>
#include <span>
#include <string>

namespace autodiff {

/// The sizes of up to `max_rank` axes. Images are [N, H, W, C]; a scalar is []. An axis may have size 0.
class Shape {
 public:
  static constexpr int max_rank = 6;

  /// The shape of a scalar, [].
  Shape() = default;
  /// Throws Error for more than max_rank axes, a negative size, or more than 2^48 elements.
  Shape(std::initializer_list<int> dims) : Shape(std::span<const int>(dims.begin(), dims.size())) {}
  explicit Shape(std::span<const int> dims);

  int rank() const { return rank_; }
  /// Size of axis `axis`; negative axes count from the end, -1 being the last.
  int operator[](int axis) const { return dims_[static_cast<std::size_t>(axis < 0 ? axis + rank_ : axis)]; }
  /// Number of elements: the product of all sizes, 1 for a scalar.
  std::size_t size() const { return size_; }
  std::span<const int> dims() const { return {dims_.data(), static_cast<std::size_t>(rank_)}; }
  const int* begin() const { return dims_.data(); }
  const int* end() const { return dims_.data() + rank_; }

  /// This shape with axis `axis` replaced by `size`.
  Shape with(int axis, int size) const;
  /// The shape of one sample: without the first axis. Throws Error for a scalar.
  Shape sample() const;
  /// This shape with a leading axis of size `n`: [n, ...].
  Shape batched(int n) const;
  /// "[32, 64]"
  std::string str() const;

  bool operator==(const Shape& other) const {
    return rank_ == other.rank_ && dims_ == other.dims_;  // unused entries are always 0
  }

 private:
  std::array<int, max_rank> dims_{};
  int rank_ = 0;
  std::size_t size_ = 1;
};

std::ostream& operator<<(std::ostream& out, const Shape& shape);

/// Distance in elements between neighbours along each axis.
using Strides = std::array<std::ptrdiff_t, Shape::max_rank>;

/// Strides of a row-major array without gaps: [4, 2, 1] for shape [3, 2, 2].
Strides row_major(const Shape& shape);

/// The shape of `a op b` under NumPy's rule: axes are aligned at the end and must be equal or 1.
/// Throws Error naming `who` and both shapes.
Shape broadcast(const Shape& a, const Shape& b, const char* who);

/// Strides with which an array of shape `from` is read as if it had shape `to` (0 along repeated axes).
Strides broadcast_strides(const Shape& from, const Shape& to);

}  // namespace autodiff
