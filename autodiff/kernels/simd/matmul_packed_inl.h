// Large products, compiled once per instruction set: both factors are packed in the order in which tiles read
// them, and nothing waits for memory. While a tile is multiplied, the next rows of a, the next strip of b and
// the places of the next sums are fetched, a line of the cache at a time.

#if defined(EV3_KERNELS_SIMD_MATMUL_PACKED_INL_H) == defined(HWY_TARGET_TOGGLE)  // Highway's include guard
#ifdef EV3_KERNELS_SIMD_MATMUL_PACKED_INL_H
#undef EV3_KERNELS_SIMD_MATMUL_PACKED_INL_H
#else
#define EV3_KERNELS_SIMD_MATMUL_PACKED_INL_H
#endif

#include <algorithm>

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

// Products in which rows of a are packed: they are read often enough. Else rows of 4 KiB fall into the same
// few cache lines, and every strip of b meets them anew.
bool packs_rows(std::size_t m, std::size_t n, std::size_t k) {
  return m >= 4 * tile_rows && n >= 3 * tile_vectors * lanes<Full> && k >= 64;
}

// Equal parts of k, at most block_k. (The smallest products would wait for the division.)
std::size_t depth_of(std::size_t k) {
  if (k <= block_k) return k;
  const std::size_t parts = (k + block_k - 1) / block_k;
  return (k + parts - 1) / parts;
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

// A block of a matrix that will be needed soon, as lines of the cache that are fetched one by one.
struct Lines {
  static constexpr std::size_t line = 16;
  const float* row = nullptr;
  std::size_t step = 0, each = 0, rows = 0, at = 0;  // lines of a row; rows that are left

  Lines() = default;
  Lines(const Matrix& m, std::size_t rows_of_m, std::size_t columns_of_m) : row(m.data) {
    const bool by_rows = m.column == 1;
    step = by_rows ? m.row : m.column;
    each = ((by_rows ? columns_of_m : rows_of_m) + line - 1) / line;
    rows = by_rows ? rows_of_m : columns_of_m;
  }
  HWY_INLINE bool fetch() {
    if (rows == 0) return false;
    __builtin_prefetch(row + at * line);
    if (++at == each) {
      at = 0;
      row += step;
      --rows;
    }
    return true;
  }
};

// Fetches, a line for every row of b: where the next tile's sums will be stored, its rows of a, and the next
// strip of b.
struct Fetch {
  static constexpr bool fetches_c = true;
  Lines c, a;
  Lines& b;
  template <class D, std::size_t vectors>
  HWY_INLINE void operator()(D, const hn::Vec<D> (&)[vectors], std::size_t) {
    if (!c.fetch() && !a.fetch()) b.fetch();
  }
};

constexpr std::size_t rows_ahead = 24;

// Packs b for the tiles that follow, and fetches rows of b some way ahead, which the first strip of all
// needs.
struct PackB {
  static constexpr bool fetches_c = false;
  float* to;
  const float* ahead;
  std::size_t row_of_b;
  template <class D, std::size_t vectors>
  HWY_INLINE void operator()(D d, const hn::Vec<D> (&row)[vectors], std::size_t last) {
    for (std::size_t j = 0; j < vectors; ++j) __builtin_prefetch(ahead + j * lanes<D>);
    ahead += row_of_b;
    for (std::size_t j = 0; j < vectors; ++j)
      hn::StoreU(row[j], d, to + (j + 1 < vectors ? j * lanes<D> : last));
    to += vectors * lanes<D>;
  }
};

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

// c [m, n] (+)= a [m, k] b [k, n] with k of one block; rows of a are packed in `rows`, each tile of them when
// the first strip comes to it.
template <int C>
void packed_strip(std::size_t m, std::size_t k, const Matrix& a, bool packs_a, float* rows, const Matrix& b,
                  Lines next_b, float* c, std::size_t c_row, std::size_t width, bool add) {
  const Full d;
  HWY_ALIGN float packed[block_k * C * lanes<Full>];
  constexpr std::size_t packed_row = C * lanes<Full>;
  const bool copies = b.column == 1;  // then the first tile packs b while it multiplies
  if (!copies) pack(d, k, width, b, packed, packed_row);
  std::size_t i = 0;
  for (; i + tile_rows <= m; i += tile_rows, rows += tile_rows * k) {
    const Matrix tile_of_a{rows, 1, tile_rows};
    float* to = c + i * c_row;
    if (packs_a) pack_rows(k, a.from(i, 0), rows);
    if (copies && i == 0) {
      tile<tile_rows, C>(d, k, tile_of_a, b.data, b.row, to, c_row, width, add,
                         PackB{packed, b.at(rows_ahead, 0), b.row});
      continue;
    }
    Fetch fetch{{}, {}, next_b};
    if (const std::size_t next = i + tile_rows; next + tile_rows <= m) {
      fetch.c = {{c + next * c_row, c_row, 1}, tile_rows, width};
      if (packs_a) fetch.a = {a.from(next, 0), tile_rows, k};
    }
    tile<tile_rows, C>(d, k, tile_of_a, packed, packed_row, to, c_row, width, add, fetch);
  }
  strip<tile_rows, C>(d, m - i, k, a.from(i, 0), packed, packed_row, c + i * c_row, c_row, width, add);
}

// The same as product(), with rows of a packed in `scratch`.
void packed_product(std::size_t m, std::size_t n, std::size_t k, const Matrix& a, const Matrix& b,
                    float* scratch, float* c, std::size_t c_row) {
  constexpr std::size_t N = lanes<Full>, widest = tile_vectors * N;
  const std::size_t block = depth_of(k);
  for (std::size_t p = 0; p < k; p += block) {
    const std::size_t depth = std::min(block, k - p);
    for (std::size_t j = 0; j < n;) {
      // Never one vector, as above.
      const std::size_t left = (n - j + N - 1) / N, vectors = left == 4 || left == 2 ? 2 : 3;
      const std::size_t width = std::min(vectors * N, n - j), next = j + width;
      Lines next_b;
      if (next < n) {
        next_b = {b.from(p, next), depth, std::min(widest, n - next)};
      } else if (p + block < k) {
        next_b = {b.from(p + block, 0), std::min(block, k - p - block), widest};
      }
      const auto strip = vectors == 3 ? packed_strip<3> : packed_strip<2>;
      strip(m, depth, a.from(0, p), j == 0, scratch, b.from(p, j), next_b, c + j, c_row, width, p > 0);
      j = next;
    }
  }
}

}  // namespace
}  // namespace autodiff::kernels::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif  // EV3_HAVE_VECTORS
#endif  // include guard
