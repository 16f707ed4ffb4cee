// Small calls wait until something else is called, and then go to the device together.
//
// A residual net has hundreds of functions of a few numbers (what batch norms do with means and variances).
// One launch for each would take longer than all its convolutions. So functions of at most `most_small`
// elements are put on a list, which one block runs in shared memory: it loads what the calls read, does one
// call after the other, and stores what they have written. Every element of a call belongs to one thread.
// Only where a call needs elements that another thread has read or written, which the addresses tell, do the
// threads wait for each other: such calls are in a later wave. No CUDA in here: tests run lists on the host.
//
// Somewhat long: what waits, the list that is made of it, and how a list is done.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "autodiff/kernels/scalar.h"

namespace autodiff::kernels::cuda {

inline constexpr std::size_t most_small = 1024;

/// What a call does: y = f(a) by `unary`, f(a, b) by `binary`, a copy, or zeros. Index i of [rows, columns]
/// is at row and column times the strides, which are not negative.
struct Small {
  enum class Kind : unsigned char { unary, binary, copy, zero };
  Kind kind = Kind::copy;
  unsigned char code = 0;
  int rows = 1, columns = 1;
  int a_row = 0, a_column = 0, b_row = 0, b_column = 0, y_row = 0, y_column = 0;
  float constant = 0;
  const float *a = nullptr, *b = nullptr;
  float* y = nullptr;
};

/// What a call reads or writes, from its first to its last byte.
struct Range {
  std::uintptr_t first = 0, last = 0;

  Range() = default;
  Range(std::uintptr_t first_byte, std::uintptr_t end) : first(first_byte), last(end) {}
  Range(const float* p, std::size_t n)
      : Range(reinterpret_cast<std::uintptr_t>(p), reinterpret_cast<std::uintptr_t>(p + n)) {}
  bool meets(const Range& other) const { return first < other.last && other.first < last; }
  bool covers(const Range& other) const { return first <= other.first && other.last <= last; }
};

/// Of all elements of an array whose first one is at p; strides may be negative.
template <class Stride>
Range range_of(const float* p, int rank, const int* sizes, const Stride* strides) {
  std::ptrdiff_t low = 0, high = 0;
  for (int k = 0; k < rank; ++k) {
    const auto reach = static_cast<std::ptrdiff_t>(sizes[k] - 1) * static_cast<std::ptrdiff_t>(strides[k]);
    (reach < 0 ? low : high) += reach;
  }
  return {p + low, static_cast<std::size_t>(high - low + 1)};
}

/// An array that a call reads or writes.
struct Part {
  const float* p;
  int rows, columns, row, column;

  Range range() const {
    if (!p) return {};
    const int sizes[] = {rows, columns}, strides[] = {row, column};
    return range_of(p, 2, sizes, strides);
  }
  /// Element i is where element i of the other is.
  bool operator==(const Part& o) const {
    return p == o.p && rows == o.rows && columns == o.columns && (rows == 1 || row == o.row) &&
           (columns == 1 || column == o.column);
  }
  bool has_gaps() const { return (columns > 1 && column != 1) || (rows > 1 && row != columns); }
  /// Whether rows follow each other as columns do, so that all is one row.
  bool is_one_row() const { return !p || rows == 1 || (columns > 1 ? row == columns * column : false); }
};
inline Part part_a(const Small& s) { return {s.a, s.rows, s.columns, s.a_row, s.a_column}; }
inline Part part_b(const Small& s) { return {s.b, s.rows, s.columns, s.b_row, s.b_column}; }
inline Part part_y(const Small& s) { return {s.y, s.rows, s.columns, s.y_row, s.y_column}; }

/// Calls as a kernel takes them. Operands have places in `room` floats of shared memory.
struct SmallList {
  static constexpr int longest = 40, room = 4096;
  struct alignas(16) Call {
    Small::Kind kind;
    unsigned char code, wave;
    bool loads_a : 1, loads_b : 1, stores : 1;  ///< from memory before the first wave, to it after the last
    short rows, columns, a, b, y;
    short a_row, a_column, b_row, b_column, y_row, y_column;
    short none = 0;
    float constant;
    const float *a_from, *b_from;
    float* y_to;
    const float* nothing = nullptr;
  };
  /// Their number, whether all of them may be done at the same time, and whether a ListProgram is in their
  /// place. Here and below no bytes are unnamed: lists are compared by them.
  int calls = 0, independent = 1, is_program = 0, nothing = 0;
  Call call[longest] = {};
};

/// Calls that wait, in their order.
class SmallCalls {
 public:
  bool empty() const { return calls_.empty(); }
  const std::vector<Small>& calls() const { return calls_; }
  /// False, and nothing added, where the list has no room for it.
  bool add(const Small& call) {
    if (static_cast<int>(calls_.size()) == SmallList::longest) return false;
    std::vector<Range> regions = regions_;
    for (const Part& part : {part_a(call), part_b(call), part_y(call)}) {
      if (part.p) join(regions, part.range());
    }
    if (floats(regions) > SmallList::room) return false;
    regions_ = std::move(regions);
    calls_.push_back(call);
    return true;
  }
  /// Whether the calls give the same after a kernel as before it, when it reads and writes this.
  bool may_follow(const Range& reads, const Range& writes) const {
    return std::none_of(calls_.begin(), calls_.end(), [&](const Small& s) {
      const Range y = part_y(s).range();
      return y.meets(reads) || y.meets(writes) || part_a(s).range().meets(writes) ||
             part_b(s).range().meets(writes);
    });
  }
  /// The list, wave after wave, and inside a wave in the order in which they were added.
  SmallList list() const {
    SmallList out;
    std::vector<int> waves;
    int last = 0;
    for (std::size_t k = 0; k < calls_.size(); ++k) {
      waves.push_back(wave(k, waves, out));
      last = std::max(last, waves.back());
    }
    for (int wave = 0; wave <= last; ++wave) {
      for (std::size_t k = 0; k < calls_.size(); ++k) {
        if (waves[k] == wave) out.call[out.calls++] = placed(k, wave);
      }
    }
    return out;
  }
  void clear() {
    calls_.clear();
    regions_.clear();
  }

 private:
  // Regions do not meet: what does is one region.
  static void join(std::vector<Range>& regions, Range range) {
    for (auto at = regions.begin(); at != regions.end();) {
      if (!at->meets(range)) {
        ++at;
        continue;
      }
      range = {std::min(at->first, range.first), std::max(at->last, range.last)};
      at = regions.erase(at);
    }
    regions.push_back(range);
  }
  static std::size_t floats(const std::vector<Range>& regions) {
    std::size_t bytes = 0;
    for (const Range& r : regions) bytes += r.last - r.first;
    return bytes / sizeof(float);
  }
  short place(const float* p) const {
    const auto at = reinterpret_cast<std::uintptr_t>(p);
    std::size_t before = 0;
    for (const Range& r : regions_) {
      if (r.first <= at && at < r.last) return static_cast<short>((before + at - r.first) / sizeof(float));
      before += r.last - r.first;
    }
    return 0;
  }
  // The first wave after all that call k has to wait for, when those before it are in these; if there is any,
  // the list is not of independent calls.
  int wave(std::size_t k, const std::vector<int>& waves, SmallList& list) const {
    int out = 0;
    for (std::size_t i = 0; i < k; ++i) {
      const Small &earlier = calls_[i], &later = calls_[k];
      const auto after = [&](const Part& one, const Part& other) {
        if (!one.range().meets(other.range())) return;
        list.independent = 0;
        // Of the same elements each is with the same thread, which does one call after the other.
        out = std::max(out, waves[i] + (one == other ? 0 : 1));
      };
      after(part_y(earlier), part_y(later));
      for (const Part& read : {part_a(later), part_b(later)}) after(part_y(earlier), read);
      for (const Part& read : {part_a(earlier), part_b(earlier)}) after(read, part_y(later));
    }
    return out;
  }
  SmallList::Call placed(std::size_t k, int wave) const {
    const Small& s = calls_[k];
    const auto n = [](int number) { return static_cast<short>(number); };
    const bool one_row = part_a(s).is_one_row() && part_b(s).is_one_row() && part_y(s).is_one_row();
    SmallList::Call out{.kind = s.kind,
                        .code = s.code,
                        .wave = static_cast<unsigned char>(wave),
                        .loads_a = loads(k, part_a(s)),
                        .loads_b = loads(k, part_b(s)),
                        .stores = true,
                        .rows = n(one_row ? 1 : s.rows),
                        .columns = n(one_row ? s.rows * s.columns : s.columns),
                        .a = place(s.a),
                        .b = place(s.b),
                        .y = place(s.y),
                        .a_row = n(s.a_row),
                        .a_column = n(s.a_column),
                        .b_row = n(s.b_row),
                        .b_column = n(s.b_column),
                        .y_row = n(s.y_row),
                        .y_column = n(s.y_column),
                        .constant = s.constant,
                        .a_from = s.a,
                        .b_from = s.b,
                        .y_to = s.y};
    for (std::size_t i = k + 1; i < calls_.size(); ++i) {
      if (part_y(calls_[i]) == part_y(s)) out.stores = false;  // that one does
    }
    return out;
  }
  // Whether call k has to load what it reads: unless one before it has written it, or loads it.
  bool loads(std::size_t k, const Part& read) const {
    if (!read.p) return false;
    for (std::size_t i = 0; i < k; ++i) {
      const Part y = part_y(calls_[i]);
      if (y == read || (!y.has_gaps() && y.range().covers(read.range()))) return false;
      if (part_a(calls_[i]) == read || part_b(calls_[i]) == read) return false;
    }
    return true;
  }

  std::vector<Small> calls_;
  std::vector<Range> regions_;
};

/// Calls body(i, row, column) for elements i = first, first + step, ... of a call.
template <class Body>
EV3_SHARED void for_elements(const SmallList::Call& c, int first, int step, Body body) {
  const int n = c.rows * c.columns;
#ifdef __CUDA_ARCH__
#pragma unroll 1  // mostly a single turn, and instructions that are run once are slow to come
#endif
  for (int i = first; i < n; i += step) {
    const int row = c.rows == 1 ? 0 : i / c.columns;
    body(row, i - row * c.columns);
  }
}

/// What a call loads from memory; read(p) gives what is there.
template <class Read>
EV3_SHARED void load_small(const SmallList::Call& c, float* room, int first, int step, Read read) {
  if (!c.loads_a && !c.loads_b) return;
  for_elements(c, first, step, [&](int row, int column) {
    const int a = row * c.a_row + column * c.a_column, b = row * c.b_row + column * c.b_column;
    if (c.loads_a) room[c.a + a] = read(c.a_from + a);
    if (c.loads_b) room[c.b + b] = read(c.b_from + b);
  });
}

/// What it computes.
template <class UnaryOf, class BinaryOf>
EV3_SHARED void run_small(const SmallList::Call& c, float* room, int first, int step, UnaryOf unary,
                          BinaryOf binary) {
  for_elements(c, first, step, [&](int row, int column) {
    float y = 0;
    if (c.kind != Small::Kind::zero) y = room[c.a + row * c.a_row + column * c.a_column];
    if (c.kind == Small::Kind::unary) y = unary(y);
    if (c.kind == Small::Kind::binary) y = binary(y, room[c.b + row * c.b_row + column * c.b_column]);
    room[c.y + row * c.y_row + column * c.y_column] = y;
  });
}

/// And what it stores.
EV3_SHARED inline void store_small(const SmallList::Call& c, const float* room, int first, int step) {
  if (!c.stores) return;
  for_elements(c, first, step, [&](int row, int column) {
    const int y = row * c.y_row + column * c.y_column;
    c.y_to[y] = room[c.y + y];
  });
}

}  // namespace autodiff::kernels::cuda
