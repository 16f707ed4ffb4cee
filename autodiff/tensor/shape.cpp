#include "autodiff/tensor/shape.h"

#include <ostream>

#include "autodiff/tensor/error.h"

namespace autodiff {

Shape::Shape(std::span<const int> dims) {
  constexpr std::size_t limit = std::size_t{1} << 48;
  if (dims.size() > static_cast<std::size_t>(max_rank)) {
    fail("shape: want at most ", max_rank, " axes, got ", dims.size());
  }
  bool empty = false;
  std::size_t nonzero_product = 1;
  for (const int dim : dims) {
    if (dim < 0) fail("shape: want sizes of at least 0, got ", dim, " for axis ", rank_);
    empty = empty || dim == 0;
    if (dim != 0 && nonzero_product > limit / static_cast<std::size_t>(dim)) {
      fail("shape: more than 2^48 elements");
    }
    nonzero_product *= dim == 0 ? 1 : static_cast<std::size_t>(dim);
    dims_[static_cast<std::size_t>(rank_++)] = dim;
  }
  size_ = empty ? 0 : nonzero_product;
}

Shape Shape::with(int axis, int size) const {
  std::array<int, max_rank> dims = dims_;
  dims[static_cast<std::size_t>(axis < 0 ? axis + rank_ : axis)] = size;
  return Shape(std::span<const int>(dims.data(), static_cast<std::size_t>(rank_)));
}

Shape Shape::sample() const {
  if (rank_ == 0) fail("shape: a scalar has no sample axis");
  return Shape(dims().subspan(1));
}

Shape Shape::batched(int n) const {
  if (rank_ == max_rank) fail("shape: no room for a sample axis before ", *this);
  std::array<int, max_rank> dims{n};
  for (int i = 0; i < rank_; ++i) dims[static_cast<std::size_t>(i) + 1] = (*this)[i];
  return Shape(std::span<const int>(dims.data(), static_cast<std::size_t>(rank_) + 1));
}

std::string Shape::str() const {
  std::string out = "[";
  for (int i = 0; i < rank_; ++i) out += (i ? ", " : "") + std::to_string((*this)[i]);
  return out + "]";
}

std::ostream& operator<<(std::ostream& out, const Shape& shape) { return out << shape.str(); }

Strides row_major(const Shape& shape) {
  Strides strides{};
  std::ptrdiff_t step = 1;
  for (int i = shape.rank() - 1; i >= 0; --i) {
    strides[static_cast<std::size_t>(i)] = step;
    step *= shape[i];
  }
  return strides;
}

Shape broadcast(const Shape& a, const Shape& b, const char* who) {
  const int rank = a.rank() > b.rank() ? a.rank() : b.rank();
  std::array<int, Shape::max_rank> dims{};
  for (int i = 1; i <= rank; ++i) {
    const int x = i <= a.rank() ? a[-i] : 1;
    const int y = i <= b.rank() ? b[-i] : 1;
    if (x != y && x != 1 && y != 1) {
      fail(who, ": want shapes whose axes, aligned at the end, are equal or 1, got ", a, " and ", b);
    }
    dims[static_cast<std::size_t>(rank - i)] = x == 1 ? y : x;
  }
  return Shape(std::span<const int>(dims.data(), static_cast<std::size_t>(rank)));
}

Strides broadcast_strides(const Shape& from, const Shape& to) {
  const Strides own = row_major(from);
  Strides strides{};
  for (int i = 1; i <= from.rank(); ++i) {
    strides[static_cast<std::size_t>(to.rank() - i)] =
        from[-i] == 1 ? 0 : own[static_cast<std::size_t>(from.rank() - i)];
  }
  return strides;
}

}  // namespace autodiff
