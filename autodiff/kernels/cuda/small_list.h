// Small calls wait until something else is called, and then go to the device together.
//
// A residual net has hundreds of functions of a few numbers (what batch norms do with means and variances).
// One launch for each would take longer than all its convolutions. So functions of at most `most_small`
// elements are put on a list, which one block runs. First it loads what the calls read; then every thread
// does its elements of one call after the other, with what is in between in shared memory. Only where a call
// reads elements of another that a different thread has written, which their addresses tell, do the threads
// wait for each other: such calls are in a later wave. No CUDA in here: tests run lists on the host.
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
  static constexpr short nowhere = -1;
  Kind kind = Kind::copy;
  unsigned char code = 0, wave = 0;
  bool loads_a : 1 = false, loads_b : 1 = false;  ///< to their places, before the first wave
  /// Where in the list's room elements are (i of them further on): read there instead of at a or b, written
  /// there as well as at y.
  short a_place = nowhere, b_place = nowhere, y_place = nowhere;
  int rows = 1, columns = 1;
  int a_row = 0, a_column = 0, b_row = 0, b_column = 0, y_row = 0, y_column = 0;
  float constant = 0;
  const float *a = nullptr, *b = nullptr;
  float* y = nullptr;
};

/// Calls that wait. Their descriptions are arguments of a kernel, of 4 KiB at the most.
struct SmallList {
  static constexpr int longest = 40;
  static constexpr int room = 3072;  ///< floats in shared memory
  int calls = 0, waves = 0, used = 0;
  Small call[longest] = {};
};
static_assert(sizeof(SmallList) <= 2944);

/// What a call loads before the first wave, of elements first, first + step, ... of its index space; `read`
/// gives what is at an address.
template <class Read>
EV3_SHARED void load_small(const Small& s, float* room, int first, int step, Read read) {
  for (int i = first; i < s.rows * s.columns; i += step) {
    const int row = s.rows == 1 ? 0 : i / s.columns, column = i - row * s.columns;
    if (s.loads_a) room[s.a_place + i] = read(s.a + row * s.a_row + column * s.a_column);
    if (s.loads_b) room[s.b_place + i] = read(s.b + row * s.b_row + column * s.b_column);
  }
}

/// Does what a call says of elements first, first + step, ...
template <class Read, class UnaryOf, class BinaryOf>
EV3_SHARED void run_small(const Small& s, float* room, int first, int step, Read read, UnaryOf unary,
                          BinaryOf binary) {
  for (int i = first; i < s.rows * s.columns; i += step) {
    const int row = s.rows == 1 ? 0 : i / s.columns, column = i - row * s.columns;
    const auto value = [&](const float* p, int by_row, int by_column, short place) {
      return place >= 0 ? room[place + i] : read(p + row * by_row + column * by_column);
    };
    float y = 0;
    if (s.kind != Small::Kind::zero) {
      y = value(s.a, s.a_row, s.a_column, s.a_place);
      if (s.kind == Small::Kind::unary) y = unary(y);
      if (s.kind == Small::Kind::binary) y = binary(y, value(s.b, s.b_row, s.b_column, s.b_place));
    }
    s.y[row * s.y_row + column * s.y_column] = y;
    if (s.y_place >= 0) room[s.y_place + i] = y;
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

/// An array that a call reads or writes.
struct Part {
  const float* p;
  int rows, columns, row, column;

  Range range() const {
    const Small s{.rows = rows, .columns = columns};
    return detail::range(p, s, row, column);
  }
  /// Element i is where element i of the other is.
  bool operator==(const Part& o) const {
    return p == o.p && rows == o.rows && columns == o.columns && (rows == 1 || row == o.row) &&
           (columns == 1 || column == o.column);
  }
};
inline Part part_a(const Small& s) { return {s.a, s.rows, s.columns, s.a_row, s.a_column}; }
inline Part part_b(const Small& s) { return {s.b, s.rows, s.columns, s.b_row, s.b_column}; }
inline Part part_y(const Small& s) { return {s.y, s.rows, s.columns, s.y_row, s.y_column}; }

/// A place in the list's room for the elements of a call, if there is any left.
inline short take_place(SmallList& list, const Small& call) {
  const int n = call.rows * call.columns;
  if (list.used + n > SmallList::room) return Small::nowhere;
  list.used += n;
  return static_cast<short>(list.used - n);
}

/// Where a call finds what it reads: with the last call before it that wrote there, if that wrote the same
/// elements; in a place that is loaded before the first wave, if none did: then this is true; else in memory.
inline bool find_source(SmallList& list, const Small& call, const Part& read, short& place) {
  for (int i = list.calls - 1; i >= 0; --i) {
    Small& earlier = list.call[i];
    if (!part_y(earlier).range().meets(read.range())) continue;
    if (!(part_y(earlier) == read)) return false;
    if (earlier.y_place < 0) earlier.y_place = take_place(list, earlier);
    place = earlier.y_place;
    return false;
  }
  for (int i = 0; i < list.calls; ++i) {
    const Small& earlier = list.call[i];
    if (earlier.loads_a && part_a(earlier) == read) place = earlier.a_place;
    if (earlier.loads_b && part_b(earlier) == read) place = earlier.b_place;
  }
  if (place >= 0) return false;
  place = take_place(list, call);
  return place >= 0;
}

/// The first wave that a call may be in, for what it reads or writes and another did before.
inline int wave_after(const Small& earlier, const Part& other, const Part& mine) {
  if (!other.p || !other.range().meets(mine.range())) return 0;
  return earlier.wave + (other == mine ? 0 : 1);  // the same thread has the element, or another one
}

}  // namespace detail

/// Adds a call to a list that has room for it, in the first wave after all that it has to wait for.
inline void add_to(SmallList& list, const Small& call) {
  Small added = call;
  const detail::Part a = detail::part_a(call), b = detail::part_b(call), y = detail::part_y(call);
  if (a.p) added.loads_a = detail::find_source(list, call, a, added.a_place);
  if (b.p) added.loads_b = detail::find_source(list, call, b, added.b_place);
  int wave = 0;
  for (int i = 0; i < list.calls; ++i) {
    const Small& earlier = list.call[i];
    const detail::Part written = detail::part_y(earlier);
    wave = std::max(wave, detail::wave_after(earlier, written, y));
    if (a.p && added.a_place < 0) wave = std::max(wave, detail::wave_after(earlier, written, a));
    if (b.p && added.b_place < 0) wave = std::max(wave, detail::wave_after(earlier, written, b));
    // What has been read in a place may be written over in memory.
    if (earlier.a_place < 0) wave = std::max(wave, detail::wave_after(earlier, detail::part_a(earlier), y));
    if (earlier.b_place < 0) wave = std::max(wave, detail::wave_after(earlier, detail::part_b(earlier), y));
    // What another call leaves in a place is there once that has run.
    if (earlier.y_place >= 0 && (earlier.y_place == added.a_place || earlier.y_place == added.b_place))
      wave = std::max<int>(wave, earlier.wave);
  }
  added.wave = static_cast<unsigned char>(wave);
  list.call[list.calls++] = added;
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
