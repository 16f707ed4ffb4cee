// Small calls wait until something else is called, and then go to the device together.
//
// A residual net has hundreds of functions of a few numbers (what batch norms do with means and variances).
// One launch for each would take longer than all its convolutions. So functions of at most `most_small`
// elements are put on a list; one block runs the list, in waves: a call is in the first wave after all those
// that it depends on, which their addresses tell. No CUDA in here: tests run lists on the host.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "autodiff/kernels/scalar.h"

namespace autodiff::kernels::cuda {

inline constexpr std::size_t most_small = 1024;

/// What a call does: y = f(a) by `unary`, f(a, b) by `binary`, a copy, or zeros. Index i of [rows, columns]
/// is at row and column times the strides.
struct Small {
  enum class Kind : unsigned char { unary, binary, copy, zero };
  Kind kind = Kind::copy;
  unsigned char code = 0, wave = 0;
  int rows = 1, columns = 1;
  int a_row = 0, a_column = 0, b_row = 0, b_column = 0, y_row = 0, y_column = 0;
  float constant = 0;
  const float *a = nullptr, *b = nullptr;
  float* y = nullptr;
};

/// Calls that wait. Their descriptions are arguments of a kernel, of 4 KiB at the most.
struct SmallList {
  static constexpr int longest = 40;
  int calls = 0, waves = 0;
  Small call[longest] = {};
};
static_assert(sizeof(SmallList) <= 3968);

/// Does what a call says of elements first, first + step, ... of its index space.
template <class UnaryOf, class BinaryOf>
EV3_SHARED void run_small(const Small& s, int first, int step, UnaryOf unary, BinaryOf binary) {
  for (int i = first; i < s.rows * s.columns; i += step) {
    const int row = i / s.columns, column = i % s.columns;
    float* y = s.y + row * s.y_row + column * s.y_column;
    if (s.kind == Small::Kind::zero) {
      *y = 0;
      continue;
    }
    const float a = s.a[row * s.a_row + column * s.a_column];
    if (s.kind == Small::Kind::binary) {
      *y = binary(a, s.b[row * s.b_row + column * s.b_column]);
    } else {
      *y = s.kind == Small::Kind::unary ? unary(a) : a;
    }
  }
}

/// What a call reads or writes, from its first to its last byte.
struct Range {
  std::uintptr_t first = 0, last = 0;

  Range() = default;
  Range(std::uintptr_t first_byte, std::uintptr_t end) : first(first_byte), last(end) {}
  Range(const float* p, std::size_t n)
      : Range(reinterpret_cast<std::uintptr_t>(p), reinterpret_cast<std::uintptr_t>(p + n)) {}
  bool meets(const Range& other) const { return first < other.last && other.first < last; }
};

namespace detail {

inline Range range(const float* p, const Small& s, int row, int column) {
  if (!p) return {};
  const auto begin = reinterpret_cast<std::uintptr_t>(p);
  const std::ptrdiff_t end =
      static_cast<std::ptrdiff_t>(s.rows - 1) * row + static_cast<std::ptrdiff_t>(s.columns - 1) * column;
  const std::ptrdiff_t low =
      std::min<std::ptrdiff_t>({0, static_cast<std::ptrdiff_t>(s.rows - 1) * row,
                                static_cast<std::ptrdiff_t>(s.columns - 1) * column, end});
  const std::ptrdiff_t high =
      std::max<std::ptrdiff_t>({0, static_cast<std::ptrdiff_t>(s.rows - 1) * row,
                                static_cast<std::ptrdiff_t>(s.columns - 1) * column, end});
  return {begin + static_cast<std::uintptr_t>(low * 4), begin + static_cast<std::uintptr_t>(high * 4 + 4)};
}

/// Whether `later` must wait for `earlier`: it reads or writes what that writes, or writes what that reads.
inline bool depends(const Small& later, const Small& earlier) {
  const Range y = range(later.y, later, later.y_row, later.y_column),
              written = range(earlier.y, earlier, earlier.y_row, earlier.y_column);
  return written.meets(y) || written.meets(range(later.a, later, later.a_row, later.a_column)) ||
         written.meets(range(later.b, later, later.b_row, later.b_column)) ||
         y.meets(range(earlier.a, earlier, earlier.a_row, earlier.a_column)) ||
         y.meets(range(earlier.b, earlier, earlier.b_row, earlier.b_column));
}

}  // namespace detail

/// Adds a call to a list that has room for it, in the first wave after all that it depends on.
inline void add_to(SmallList& list, const Small& call) {
  Small& added = list.call[list.calls] = call;
  added.wave = 0;
  for (int i = 0; i < list.calls; ++i) {
    const Small& earlier = list.call[i];
    if (earlier.wave >= added.wave && detail::depends(added, earlier)) {
      added.wave = static_cast<unsigned char>(earlier.wave + 1);
    }
  }
  ++list.calls;
}

/// Whether the calls of a list give the same after a kernel as before it, when it reads and writes this.
inline bool may_follow(const SmallList& list, const Range& reads, const Range& writes) {
  for (int i = 0; i < list.calls; ++i) {
    const Small& s = list.call[i];
    const Range y = detail::range(s.y, s, s.y_row, s.y_column);
    if (y.meets(reads) || y.meets(writes) || detail::range(s.a, s, s.a_row, s.a_column).meets(writes) ||
        detail::range(s.b, s, s.b_row, s.b_column).meets(writes)) {
      return false;
    }
  }
  return true;
}

/// Wave after wave, in the order in which they were added.
inline void sort_by_wave(SmallList& list) {
  std::stable_sort(list.call, list.call + list.calls,
                   [](const Small& a, const Small& b) { return a.wave < b.wave; });
  list.waves = list.calls ? list.call[list.calls - 1].wave + 1 : 0;
}

}  // namespace autodiff::kernels::cuda
