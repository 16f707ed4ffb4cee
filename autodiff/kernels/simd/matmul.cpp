// Matrix product in registers: a tile of R rows and C vectors of c stays in registers while p runs over k.
//
// Every element of c is one chain of (fused) multiply-adds over p = 0, 1, 2, ..., whatever the shape, the
// tile and the width of the vectors: the same bits for a row alone and in a batch, and on every CPU with
// fused multiply-add. Without it (SSE4) they are the bits of the portable kernel.
//
// Won over portable on a Zen 4 (thread time, each the best of 15 interleaved runs), AVX-512: 3 to 11 times
// for the products of a 2-8-2 network with batch 32, 5.6 for 32 x 64 x 64 (108 GFLOP/s), 4.7 to 7.2 for 128 x
// 512 x 784, up to 7.8 for 512^3, 1.8 to 2.9 for a single row. AVX2: up to a quarter
// less; SSE4: 2 to 4 times. Since then the portable kernel takes four products at a time (27 GFLOP/s for
// 512^3), and large products pack both factors, without waiting for memory: while a tile is multiplied, the
// next rows of a, the next strip of b and the places of the next sums are fetched, and the first tile of a
// strip packs b as it goes: 112 GFLOP/s for 512^3, 110 for 1024^3 and for 128 x 512 x 784, of 118 at most.
#include <algorithm>

#include "autodiff/kernels/simd/simd.h"
#include "autodiff/kernels/simd/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "autodiff/kernels/simd/matmul.cpp"
#include <hwy/foreach_target.h>

#include "autodiff/kernels/simd/matmul_inl.h"

HWY_BEFORE_NAMESPACE();
namespace autodiff::kernels::simd::HWY_NAMESPACE {
#if EV3_HAVE_VECTORS
namespace {

#if (HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX3) || HWY_ARCH_ARM_A64
constexpr int tile_rows = 8;  // 32 registers: 8 x 3 sums
#else
constexpr int tile_rows = 4;  // 16 registers: 4 x 3 sums
#endif
constexpr int tile_vectors = 3;
constexpr std::size_t row_vectors = 2 * tile_rows;  // of a row alone
constexpr std::size_t block_k = 512;                // a strip of b is at most 96 KiB

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

// c [m, n] = a [m, k] b [k, n]
template <class D>
void product(D d, std::size_t m, std::size_t n, std::size_t k, const Matrix& a, const Matrix& b, float* c,
             std::size_t c_row) {
  constexpr std::size_t N = lanes<D>;
  HWY_ALIGN float packed[block_k * tile_vectors * N];
  // Rows of b that are few, or used only a few times, are read where they are.
  const bool in_place = b.column == 1 && n >= N && (m < 2 * tile_rows || n * k <= 8192);
  const std::size_t block = depth_of(k);
  for (std::size_t p = 0; p < k; p += block) {
    const std::size_t depth = std::min(block, k - p);
    const Matrix rows = a.from(0, p);
    for (std::size_t j = 0; j < n;) {
      // Never one vector behind others: the last strip must be longer than a vector.
      const std::size_t left = (n - j + N - 1) / N;
      std::size_t vectors = left == 4 ? 2 : std::min<std::size_t>(left, tile_vectors);
      if (in_place && m == 1) {
        // A row alone only waits for b, which is best read in long pieces.
        for (const std::size_t wide : {row_vectors / 2, row_vectors}) {
          if (left >= wide && left != wide + 1) vectors = wide;
        }
      }
      const std::size_t width = std::min(vectors * N, n - j);
      const Matrix columns = b.from(p, j);
      if (!in_place) pack(d, depth, width, columns, packed, vectors * N);
      const float* panel = in_place ? columns.data : packed;
      const std::size_t panel_row = in_place ? b.row : vectors * N;
      if (vectors == row_vectors) {
        strip<1, row_vectors>(d, m, depth, rows, panel, panel_row, c + j, c_row, width, p > 0);
      } else if (vectors == row_vectors / 2) {
        strip<1, row_vectors / 2>(d, m, depth, rows, panel, panel_row, c + j, c_row, width, p > 0);
      } else if (vectors == 1) {
        strip<tile_rows, 1>(d, m, depth, rows, panel, panel_row, c + j, c_row, width, p > 0);
      } else if (vectors == 2) {
        strip<tile_rows, 2>(d, m, depth, rows, panel, panel_row, c + j, c_row, width, p > 0);
      } else {
        strip<tile_rows, 3>(d, m, depth, rows, panel, panel_row, c + j, c_row, width, p > 0);
      }
      j += width;
    }
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

// With vectors no longer than the rows of c, if there are such. Where rows of c lie between, one vector in
// part is a tenth faster than two short ones, but not for a few rows: b is packed for it.
HWY_INLINE void product(std::size_t m, std::size_t n, std::size_t k, const Matrix& a, const Matrix& b,
                        float* c, std::size_t c_row) {
  if (n < 8) return product(Quad(), m, n, k, a, b, c, c_row);
  if (n < lanes<Full> && (n == 8 || m <= tile_rows)) {
    return product(hn::CappedTag<float, 8>(), m, n, k, a, b, c, c_row);
  }
  product(Full(), m, n, k, a, b, c, c_row);
}

// c^T [n, m] = b^T a^T, a block of columns at a time.
constexpr std::size_t narrow = 16;
HWY_NOINLINE void by_columns(std::size_t m, std::size_t n, std::size_t k, const Matrix& a, const Matrix& b,
                             float* c, std::size_t c_row) {
  constexpr std::size_t block_m = 128;
  HWY_ALIGN float block[narrow * block_m];
  for (std::size_t i = 0; i < m; i += block_m) {
    const std::size_t width = std::min(block_m, m - i);
    product(n, width, k, b.transposed(), {a.at(i, 0), a.column, a.row}, block, width);
    transpose(n, width, block, width, c + i * c_row, c_row);
  }
}

std::size_t scratch_bytes(const MatmulDims& dims) {
  const auto m = static_cast<std::size_t>(dims.m), n = static_cast<std::size_t>(dims.n);
  const auto k = static_cast<std::size_t>(dims.k);
  return packs_rows(m, n, k) ? m / tile_rows * tile_rows * depth_of(k) * sizeof(float) : 0;
}

void matmul(const MatmulDims& dims, const float* a_data, const float* b_data, Scratch scratch, float* c) {
  const auto m = static_cast<std::size_t>(dims.m), n = static_cast<std::size_t>(dims.n);
  const auto k = static_cast<std::size_t>(dims.k);
  const auto a_row = static_cast<std::size_t>(dims.row_of_a()),
             b_row = static_cast<std::size_t>(dims.row_of_b());
  const auto c_row = static_cast<std::size_t>(dims.row_of_c());
  if (k == 0) {
    for (std::size_t i = 0; i < m; ++i) std::fill_n(c + i * c_row, n, 0.0f);
    return;
  }
  const Matrix a{a_data, dims.transpose_a ? 1 : a_row, dims.transpose_a ? a_row : 1};
  const Matrix b{b_data, dims.transpose_b ? 1 : b_row, dims.transpose_b ? b_row : 1};
  // Rows too short for vectors; somewhat longer ones, too, where a^T is at hand.
  if (m > n && (n <= 4 || (n < narrow && dims.transpose_a))) return by_columns(m, n, k, a, b, c, c_row);
  if (scratch.data) return packed_product(m, n, k, a, b, scratch.data, c, c_row);
  product(m, n, k, a, b, c, c_row);
}

}  // namespace
#endif

void add_matmul([[maybe_unused]] Backend& row) {
#if EV3_HAVE_VECTORS
  row.matmul_by_element = true;
  row.matmul = {matmul, nullptr, scratch_bytes};
#endif
}

}  // namespace autodiff::kernels::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace autodiff::kernels::simd {

HWY_EXPORT(add_matmul);
void add_matmul(Backend& row) { HWY_DYNAMIC_DISPATCH(add_matmul)(row); }

}  // namespace autodiff::kernels::simd
#endif
