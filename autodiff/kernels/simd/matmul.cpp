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
// 512^3), and large products pack what they must, without waiting for memory: while a tile is multiplied, the
// next rows of a transposed a, the next strip of b and the places of the next sums are fetched, and the first
// tile of a strip packs b as it goes: 115 GFLOP/s for 512^3, 113 for 128 x 512 x 784 and for the gradient of
// its weights, of 118 at most.
#include <algorithm>

#include "autodiff/kernels/simd/simd.h"
#include "autodiff/kernels/simd/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "autodiff/kernels/simd/matmul.cpp"
#include <hwy/foreach_target.h>

#include "autodiff/kernels/simd/matmul_update_inl.h"

HWY_BEFORE_NAMESPACE();
namespace autodiff::kernels::simd::HWY_NAMESPACE {
#if EV3_HAVE_VECTORS
namespace {

constexpr std::size_t row_vectors = 2 * tile_rows;  // of a row alone

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
      } else if (width < N) {
        strip<tile_rows, 1, true>(d, m, depth, rows, panel, panel_row, c + j, c_row, width, p > 0);
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

// The operands as the functions above take them.
struct Operands {
  std::size_t m, n, k;
  Matrix a, b;

  Operands(const MatmulDims& d, const float* a_data, const float* b_data)
      : m(static_cast<std::size_t>(d.m)), n(static_cast<std::size_t>(d.n)), k(static_cast<std::size_t>(d.k)) {
    const auto a_row = static_cast<std::size_t>(d.row_of_a()), b_row = static_cast<std::size_t>(d.row_of_b());
    a = {a_data, d.transpose_a ? 1 : a_row, d.transpose_a ? a_row : 1};
    b = {b_data, d.transpose_b ? 1 : b_row, d.transpose_b ? b_row : 1};
  }
};

std::size_t scratch_bytes(const MatmulDims& dims) {
  const auto [m, n, k, a, b] = Operands(dims, nullptr, nullptr);
  if (!is_large(m, n, k)) return 0;
  if (packs_all_of_b(n, k, dims.transpose_b)) return (n + tile_vectors * lanes<Full>)*k * sizeof(float);
  if (is_read_in_place(a)) return 0;
  return m / tile_rows * tile_rows * depth_of(k) * sizeof(float);
}

void matmul(const MatmulDims& dims, const float* a_data, const float* b_data, Scratch scratch, float* c) {
  const auto [m, n, k, a, b] = Operands(dims, a_data, b_data);
  const auto c_row = static_cast<std::size_t>(dims.row_of_c());
  if (k == 0) {
    for (std::size_t i = 0; i < m; ++i) std::fill_n(c + i * c_row, n, 0.0f);
    return;
  }
  // Rows too short for vectors; somewhat longer ones, too, where a^T is at hand.
  if (m > n && (n <= 4 || (n < narrow && dims.transpose_a))) return by_columns(m, n, k, a, b, c, c_row);
  ToMemory to{c, c_row};
  if (!is_large(m, n, k)) return product(m, n, k, a, b, c, c_row);
  if (packs_all_of_b(n, k, dims.transpose_b)) return product_by_rows(m, n, k, a, b, scratch.data, to);
  product_by_blocks(m, n, k, a, b, scratch.data, to);
}

// Whether a tile has registers to spare, so that an update runs beside it.
constexpr bool has_spare_registers = tile_rows == 8;

[[maybe_unused]] bool is_update_fast(const MatmulDims& d) {
  return scratch_bytes(d) > 0 &&
         packs_all_of_b(static_cast<std::size_t>(d.n), static_cast<std::size_t>(d.k), d.transpose_b);
}

[[maybe_unused]] void matmul_update(const MatmulDims& dims, const float* a_data, const float* b_data,
                                    Scratch scratch, const ParameterUpdate* update) {
  const Operands o(dims, a_data, b_data);
  const UpdateFactors factors(update->dims, update->scalars);
  with_kind(update->dims.kind, [&]<UpdateDims::Kind kind>() {
    if constexpr (!divides(kind)) {
      ToUpdate<kind> to(factors, update->arrays, static_cast<std::size_t>(dims.row_of_c()));
      product_by_rows(o.m, o.n, o.k, o.a, o.b, scratch.data, to);
    }
  });
}

}  // namespace
#endif

void add_matmul([[maybe_unused]] Backend& row) {
#if EV3_HAVE_VECTORS
  row.matmul_by_element = true;
  row.matmul = {matmul, nullptr, scratch_bytes};
  if constexpr (has_spare_registers) row.matmul_update = {matmul_update, is_update_fast, scratch_bytes};
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
