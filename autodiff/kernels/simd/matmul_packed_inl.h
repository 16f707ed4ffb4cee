// Large products, compiled once per instruction set: b is packed in the order in which tiles read it, a where
// it must be, and nothing waits for memory. While a tile is multiplied, the next rows of a transposed a, the
// next strip of b and the places of the next sums are fetched, line by line of the cache. Somewhat long: a
// tile's way of reading a, a strip of tiles and the blocks of strips belong together.

#if defined(EV3_KERNELS_SIMD_MATMUL_PACKED_INL_H) == defined(HWY_TARGET_TOGGLE)  // Highway's include guard
#ifdef EV3_KERNELS_SIMD_MATMUL_PACKED_INL_H
#undef EV3_KERNELS_SIMD_MATMUL_PACKED_INL_H
#else
#define EV3_KERNELS_SIMD_MATMUL_PACKED_INL_H
#endif

#include <algorithm>

#include "autodiff/kernels/cpu.h"
#include "autodiff/kernels/simd/matmul_inl.h"

#if EV3_HAVE_VECTORS
HWY_BEFORE_NAMESPACE();
namespace autodiff::kernels::simd::HWY_NAMESPACE {
namespace {

#if (HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX3) || HWY_ARCH_ARM_A64
constexpr int tile_rows = 8;  // 32 registers: 8 x 3 sums
#else
constexpr int tile_rows = 4;  // 16 registers: 4 x 3 sums
#endif
constexpr int tile_vectors = 3;
constexpr std::size_t block_k = 512;  // a strip of b is at most 96 KiB

// Products by strips of b: its packed strips are read often enough.
bool is_large(std::size_t m, std::size_t n, std::size_t k) {
  return m >= 4 * tile_rows && n >= 3 * tile_vectors * lanes<Full> && k >= 64;
}

// Whether tiles read rows of a where they are; else they are packed. Columns are not one after the other in
// memory, and rows of 4 KiB fall into the same few lines of the first-level cache. On an Emerald Rapids 128 x
// 256 x 784 took 320 us, with rows packed 336; 128 x 256 x 512 of b^T 206 and 211.
bool is_read_in_place(const Matrix& a) { return a.column == 1 && a.row * sizeof(float) % 4096 != 0; }

// Equal parts of k, at most `block`. (The smallest products would wait for the division.)
std::size_t depth_of(std::size_t k, std::size_t block = block_k) {
  if (k <= block) return k;
  const std::size_t parts = (k + block - 1) / block;
  return (k + parts - 1) / parts;
}

// The same for a b that is packed row by row: where the first-level cache has room for a strip of 38 KiB and
// for rows of a, it had better stay there. (Columns of less than all of k are not one after the other in
// memory.)
std::size_t depth_of_rows(std::size_t k) {
  return depth_of(k, first_level_cache() >= 48 << 10 ? 200 : block_k);
}

// to [k, width] = b [k, width], and zeros up to a whole vector where width is less.
template <class D>
void pack(D d, std::size_t k, std::size_t width, const Matrix& b, float* to, std::size_t to_row) {
  constexpr std::size_t N = lanes<D>;
  if (b.column == 1) {
    for (std::size_t p = 0; p < k; ++p, to += to_row) {
      const float* from = b.at(p, 0);
      if (width < N) {
        hn::StoreU(load_first(d, from, width), d, to);
        continue;
      }
      for (std::size_t j = 0; j + N < width; j += N) hn::StoreU(hn::LoadU(d, from + j), d, to + j);
      hn::StoreU(hn::LoadU(d, from + width - N), d, to + width - N);
    }
  } else {
    if (width < N) std::fill(to, to + k * to_row, 0.0f);
    transpose(width, k, b.data, b.column, to, to_row);
  }
}

// What happens beside the multiplications of a tile: for every row of the panel a line of the cache is
// fetched, `step` elements from the one before.
struct Fetch {
  const float* lines;
  std::size_t step;
  template <std::size_t vectors>
  HWY_INLINE void operator()(Full, const hn::Vec<Full> (&)[vectors]) {
    __builtin_prefetch(lines);
    lines += step;
  }
};

constexpr std::size_t rows_ahead = 8;

// Or b is packed for the tiles that follow, and its rows are fetched some way ahead, but not so many that
// rows of 2 KiB, which share a few lines of the first-level cache, drive each other out of it.
struct PackB {
  float* to;
  const float* ahead;
  std::size_t row_of_b;
  template <std::size_t vectors>
  HWY_INLINE void operator()(Full d, const hn::Vec<Full> (&row)[vectors]) {
#pragma GCC unroll 16
    for (std::size_t j = 0; j < vectors; ++j) {
      __builtin_prefetch(ahead + j * lanes<Full>);
      hn::StoreU(row[j], d, to + j * lanes<Full>);
    }
    ahead += row_of_b;
    to += vectors * lanes<Full>;
  }
};

// Rows of a as a tile reads them: packed,
class PackedRows {
 public:
  HWY_INLINE PackedRows(const float* first, std::size_t) : rows_(first) {}
  HWY_INLINE float operator[](std::size_t i) const { return rows_[i]; }
  HWY_INLINE void step() { rows_ += tile_rows; }

 private:
  const float* rows_;
};

// or where they are, `row` elements apart; by fours, each with an address of its own: x86 reaches four with
// two registers for the steps.
class RowsInPlace {
 public:
  HWY_INLINE RowsInPlace(const float* first, std::size_t row)
      : first_(first), fifth_(first + 4 * row), row_(row) {}
  HWY_INLINE float operator[](std::size_t i) const {
    return i < 4 ? first_[i * row_] : fifth_[(i - 4) * row_];
  }
  HWY_INLINE void step() { ++first_, ++fifth_; }

 private:
  const float *first_, *fifth_;
  std::size_t row_;
};

// c [tile_rows, C vectors] (+)= rows [tile_rows, k] panel [k, C vectors]. At the beginning of every few steps
// of k it calls between(), so often as that says: k >= between.times() * between.every().
template <int C, bool add, class Rows, class Also, class Between>
HWY_NOINLINE void packed_tile(std::size_t k, const float* a, std::size_t a_row, const float* panel,
                              std::size_t panel_row, float* c, std::size_t c_row, Also also,
                              Between between) {
  Rows rows(a, a_row);
  constexpr std::size_t N = lanes<Full>, vectors = C;
  const Full d;
  hn::Vec<Full> sum[tile_rows][vectors];
  const float* before = afresh(c);
#pragma GCC unroll 16
  for (std::size_t i = 0; i < tile_rows; ++i, before += c_row) {
#pragma GCC unroll 16
    for (std::size_t j = 0; j < vectors; ++j) sum[i][j] = add ? hn::LoadU(d, before + j * N) : hn::Zero(d);
  }
  const auto multiply = [&]() HWY_ATTR {
    hn::Vec<Full> row[vectors];
#pragma GCC unroll 16
    for (std::size_t j = 0; j < vectors; ++j) row[j] = hn::LoadU(d, panel + j * N);
    also(d, row);
#pragma GCC unroll 16
    for (std::size_t i = 0; i < tile_rows; ++i) {
      const auto factor = hn::Set(d, rows[i]);
#pragma GCC unroll 16
      for (std::size_t j = 0; j < vectors; ++j) sum[i][j] = hn::MulAdd(factor, row[j], sum[i][j]);
    }
    panel += panel_row;
    rows.step();
  };
  std::size_t p = 0;
#pragma GCC unroll 1
  for (std::size_t t = 0; t < between.times(); ++t) {
    between.template operator()<C>();
#pragma GCC unroll 1
    for (std::size_t q = 0; q < between.every(); ++q) multiply();
    p += between.every();
  }
  for (; p < k; ++p) multiply();
#pragma GCC unroll 16
  for (std::size_t i = 0; i < tile_rows; ++i, c += c_row) {
#pragma GCC unroll 16
    for (std::size_t j = 0; j < vectors; ++j) hn::StoreU(sum[i][j], d, c + j * N);
  }
}

// to [k, tile_rows] = the transpose of a [tile_rows, k]
void pack_rows(std::size_t k, const Matrix& a, float* to) {
  if (a.column == 1) return transpose(tile_rows, k, a.data, a.row, to, tile_rows);
  using D = hn::CappedTag<float, tile_rows>;
  const D d;
  const float* from = a.data;
  for (std::size_t p = 0; p < k; ++p, to += tile_rows, from += a.column) {
    for (std::size_t r = 0; r < tile_rows; r += lanes<D>) hn::StoreU(hn::LoadU(d, from + r), d, to + r);
  }
}

// Fetches the places of the next sums, row by row: all at once they would keep the panel waiting.
struct FetchPlaces {
  const float* line;
  std::size_t row;

  static constexpr std::size_t times() { return tile_rows; }
  static constexpr std::size_t every() { return 1; }
  template <std::size_t vectors>
  HWY_INLINE void operator()() {
#pragma GCC unroll 16
    for (std::size_t j = 0; j < vectors; ++j) __builtin_prefetch(line + j * lanes<Full>, 1);
    line += row;
  }
};

// Where sums go: to c, row_of_c apart. (ToUpdate is another such class; it is asked where a tile stores and
// what happens between its multiplications, and told of parts of tiles, which have no such between.)
struct ToMemory {
  float* c;
  std::size_t row_of_c;

  template <int C>
  HWY_INLINE std::size_t row() const {
    return row_of_c;
  }
  HWY_INLINE float* place(std::size_t i, std::size_t j) const { return c + i * row_of_c + j; }
  // For the tile at (i, j), of k steps, before the one at (next_i, next_j).
  template <int C>
  HWY_INLINE FetchPlaces between(std::size_t, std::size_t, std::size_t, std::size_t next_i,
                                 std::size_t next_j) const {
    return {place(next_i, next_j), row_of_c};
  }
  HWY_INLINE void before_part() const {}
  template <int C>
  HWY_INLINE void part_done(std::size_t, std::size_t, std::size_t, std::size_t) const {}
  HWY_INLINE void finish() const {}
};

// Columns j, ... of the result [m, width] (+)= a [m, k] b [k, width] with k of one block; rows of a that are
// not read in place are packed in `rows`, each tile of them when the first strip comes to it.
template <int C, bool add>
void packed_strip(std::size_t m, std::size_t k, const Matrix& a, bool packs_a, float* rows, const Matrix& b,
                  const float* next_b, const ToMemory& to, std::size_t j, std::size_t width) {
  const Full d;
  const bool in_place = is_read_in_place(a);
  HWY_ALIGN float packed[block_k * C * lanes<Full>];
  constexpr std::size_t packed_row = C * lanes<Full>;
  const bool whole = width == packed_row, by_rows = b.column == 1;
  bool is_packed = !whole || !by_rows || m < tile_rows;  // else the first tile does it while it multiplies
  if (is_packed) pack(d, k, width, b, packed, packed_row);
  std::size_t i = 0, fetched = 0;  // columns of the next strip
  for (; i + tile_rows <= m; i += tile_rows, rows += in_place ? 0 : tile_rows * k) {
    if (packs_a && !in_place) pack_rows(k, a.from(i, 0), rows);
    float* c = to.place(i, j);
    if (!whole) {
      const Matrix own = in_place ? a.from(i, 0) : Matrix{rows, 1, tile_rows};
      tile<tile_rows, C, add, false>(d, k, own, packed, packed_row, c, to.row_of_c, width);
      continue;
    }
    const bool is_last = i + 2 * tile_rows > m;
    const auto between = to.between<C>(k, i, j, is_last ? i : i + tile_rows, j);
    const auto multiply = [&](const float* panel, std::size_t panel_row, auto also) HWY_ATTR {
      if (in_place) {
        packed_tile<C, add, RowsInPlace>(k, a.at(i, 0), a.row, panel, panel_row, c, to.row_of_c, also,
                                         between);
      } else {
        packed_tile<C, add, PackedRows>(k, rows, 0, panel, panel_row, c, to.row_of_c, also, between);
      }
    };
    if (!is_packed) {
      multiply(b.data, b.row, PackB{packed, b.at(rows_ahead, 0), b.row});
      is_packed = true;
    } else {
      Fetch fetch{packed, 0};  // nothing new
      if (packs_a && a.row == 1) {
        if (!is_last) fetch = {a.at(i + tile_rows, 0), a.column};
      } else if (next_b && fetched < packed_row) {
        fetch = by_rows ? Fetch{next_b + fetched, b.row} : Fetch{next_b + fetched * b.column, cache_line};
        fetched += cache_line;
      }
      multiply(packed, packed_row, fetch);
    }
  }
  strip<tile_rows, C>(d, m - i, k, a.from(i, 0), packed, packed_row, to.place(i, j), to.row_of_c, width, add);
}

// The strip of columns that begins with column j of n.
struct Strip {
  std::size_t vectors, width;

  Strip(std::size_t n, std::size_t j) {
    constexpr std::size_t N = lanes<Full>;
    const std::size_t left = (n - j + N - 1) / N;  // never one vector, as above
    vectors = left == 4 || left == 2 ? 2 : 3;
    width = std::min(vectors * N, n - j);
  }
  // Calls body with the number of vectors as a constant.
  template <class Body>
  HWY_INLINE void run(Body body) const {
    vectors == 3 ? body.template operator()<3>() : body.template operator()<2>();
  }
};

// The same as product(), strip by strip of b, with `scratch` for rows of a that are packed.
void product_by_strips(std::size_t m, std::size_t n, std::size_t k, const Matrix& a, const Matrix& b,
                       float* scratch, ToMemory to) {
  const std::size_t block = b.column == 1 ? depth_of_rows(k) : depth_of(k);
  for (std::size_t p = 0; p < k; p += block) {
    const std::size_t depth = std::min(block, k - p);
    for (std::size_t j = 0; j < n;) {
      const Strip strip(n, j);
      const std::size_t next = j + strip.width;
      const float* next_b = next < n ? b.at(p, next) : p + block < k ? b.at(p + block, 0) : nullptr;
      strip.run([&]<int C>() {
        const auto run = p > 0 ? packed_strip<C, true> : packed_strip<C, false>;
        run(m, depth, a.from(0, p), j == 0, scratch, b.from(p, j), next_b, to, j, strip.width);
      });
      j = next;
    }
  }
}

// The same, block by block of a large result where k is cut so often that its sums, read and written for each
// block of k, had better stay in half of the second-level cache.
void product_by_blocks(std::size_t m, std::size_t n, std::size_t k, const Matrix& a, const Matrix& b,
                       float* scratch, ToMemory to) {
  constexpr std::size_t rows = 256, N = lanes<Full>;
  const std::size_t room = second_level_cache() / 2 / sizeof(float);
  if (b.column != 1 || k <= 2 * depth_of_rows(k) || m * n <= room || room < rows * tile_vectors * N) {
    return product_by_strips(m, n, k, a, b, scratch, to);
  }
  const std::size_t columns = (depth_of(n, room / rows) + N - 1) / N * N;
  for (std::size_t j = 0; j < n; j += columns) {
    for (std::size_t i = 0; i < m; i += rows) {
      product_by_strips(std::min(rows, m - i), std::min(columns, n - j), k, a.from(i, 0), b.from(0, j),
                        scratch, {to.place(i, j), to.row_of_c});
    }
  }
}

}  // namespace
}  // namespace autodiff::kernels::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif  // EV3_HAVE_VECTORS
#endif  // include guard
