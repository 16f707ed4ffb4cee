// Arrays: a Tensor owns its elements, a View looks at somebody else's.
#pragma once

#include <cstdint>
#include <iosfwd>
#include <span>
#include <utility>
#include <vector>

#include "autodiff/tensor/buffer.h"
#include "autodiff/tensor/error.h"
#include "autodiff/tensor/shape.h"

namespace autodiff {

/// Elements that live elsewhere, with a stride per axis (so transposing and slicing move no data).
template <class T>
struct View {
  T* data = nullptr;
  Shape shape;
  Strides strides{};

  View() = default;
  View(T* d, const Shape& s) : data(d), shape(s), strides(row_major(s)) {}
  View(T* d, const Shape& s, const Strides& st) : data(d), shape(s), strides(st) {}

  /// Element at the given index, one number per axis. Not checked.
  template <class... Index>
  T& operator()(Index... index) const {
    const std::array<std::ptrdiff_t, sizeof...(Index)> at{static_cast<std::ptrdiff_t>(index)...};
    std::ptrdiff_t offset = 0;
    for (std::size_t i = 0; i < at.size(); ++i) offset += at[i] * strides[i];
    return data[offset];
  }
  /// The same elements with axes `a` and `b` exchanged.
  View transposed(int a = 0, int b = 1) const {
    View out = *this;
    out.shape = shape.with(a, shape[b]).with(b, shape[a]);
    std::swap(out.strides[static_cast<std::size_t>(a)], out.strides[static_cast<std::size_t>(b)]);
    return out;
  }
  /// Elements [begin, end) of axis `axis`. Throws Error when they are not there.
  View slice(int axis, int begin, int end) const {
    if (axis < 0 || axis >= shape.rank() || begin < 0 || end < begin || end > shape[axis]) {
      fail("slice: want a range inside axis ", axis, " of ", shape, ", got [", begin, ", ", end, ")");
    }
    View out = *this;
    out.data += begin * strides[static_cast<std::size_t>(axis)];
    out.shape = shape.with(axis, end - begin);
    return out;
  }
};

/// An array with elements of its own, row-major without gaps, 64-byte aligned, zero at first.
template <class T>
class BasicTensor {
 public:
  BasicTensor() = default;
  explicit BasicTensor(const Shape& shape) : shape_(shape), data_(shape.size()) {}
  /// Throws Error unless there is one value per element.
  BasicTensor(const Shape& shape, std::span<const T> values) : BasicTensor(shape) {
    if (values.size() != shape.size()) {
      fail("tensor: want ", shape.size(), " values for shape ", shape, ", got ", values.size());
    }
    for (std::size_t i = 0; i < values.size(); ++i) data_[i] = values[i];
  }
  BasicTensor(const Shape& shape, std::initializer_list<T> values)
      : BasicTensor(shape, std::span<const T>(values.begin(), values.size())) {}

  BasicTensor(const BasicTensor&) = default;
  BasicTensor& operator=(const BasicTensor&) = default;
  /// What was moved from is empty, shape [0].
  BasicTensor(BasicTensor&& other) noexcept
      : shape_(std::exchange(other.shape_, empty_shape())), data_(std::move(other.data_)) {}
  BasicTensor& operator=(BasicTensor&& other) noexcept {
    shape_ = std::exchange(other.shape_, empty_shape());
    data_ = std::move(other.data_);
    return *this;
  }
  ~BasicTensor() = default;

  const Shape& shape() const { return shape_; }
  std::size_t size() const { return data_.size(); }
  T* data() { return data_.data(); }
  const T* data() const { return data_.data(); }
  T* begin() { return data_.begin(); }
  T* end() { return data_.end(); }
  const T* begin() const { return data_.begin(); }
  const T* end() const { return data_.end(); }
  T& operator[](std::size_t i) { return data_[i]; }
  const T& operator[](std::size_t i) const { return data_[i]; }
  View<T> view() { return {data(), shape_}; }
  View<const T> view() const { return {data(), shape_}; }
  /// The only element. Throws Error when there are more or none.
  T item() const {
    if (size() != 1) fail("item: want one element, got shape ", shape_);
    return data_[0];
  }

 private:
  static Shape empty_shape() { return Shape{0}; }
  Shape shape_;
  AlignedBuffer<T> data_ = AlignedBuffer<T>(1);  // a scalar 0
};

using Tensor = BasicTensor<float>;
using Labels = BasicTensor<std::int32_t>;

/// Nested brackets, at most eight entries an axis: "[[1, 2], [3, 4]]".
std::ostream& operator<<(std::ostream& out, const Tensor& tensor);

}  // namespace autodiff
