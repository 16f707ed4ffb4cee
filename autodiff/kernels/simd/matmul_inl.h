// The tile of a matrix product that stays in registers, compiled once per instruction set.

#if defined(EV3_KERNELS_SIMD_MATMUL_INL_H) == defined(HWY_TARGET_TOGGLE)  // Highway's include guard
#ifdef EV3_KERNELS_SIMD_MATMUL_INL_H
#undef EV3_KERNELS_SIMD_MATMUL_INL_H
#else
#define EV3_KERNELS_SIMD_MATMUL_INL_H
#endif

#include "autodiff/kernels/simd/vector_inl.h"

#if EV3_HAVE_VECTORS
HWY_BEFORE_NAMESPACE();
namespace autodiff::kernels::simd::HWY_NAMESPACE {

// Element (i, j) is data[i * row + j * column]; one of the two steps is 1.
struct Matrix {
  const float* data;
  std::size_t row, column;

  const float* at(std::size_t i, std::size_t j) const { return data + i * row + j * column; }
  Matrix from(std::size_t i, std::size_t j) const { return {at(i, j), row, column}; }
  Matrix transposed() const { return {data, column, row}; }
};

// c [R, width] (+)= a [R, k] b [k, width]; C vectors hold a row. The last one ends where the row ends and so
// overlaps the one before: both compute the same. Only a row shorter than one vector is stored in part, and
// its b must be padded to a whole one.
template <int R, int C, bool add, bool part, class D>
HWY_INLINE void tile(D d, std::size_t k, const Matrix& a, const float* b, std::size_t b_row, float* c,
                     std::size_t c_row, std::size_t width) {
  constexpr std::size_t N = lanes<D>, rows = R, vectors = C;
  const std::size_t last = part ? 0 : width - N;
  const auto at = [last](std::size_t j) { return j + 1 < vectors ? j * N : last; };
  hn::Vec<D> sum[rows][vectors];
  // What will be stored is on its way while the sums are formed.
  if (!add && k >= 32) {
    const float* soon = afresh(c);
#pragma GCC unroll 16
    for (std::size_t i = 0; i < rows; ++i, soon += c_row) {
#pragma GCC unroll 16
      for (std::size_t j = 0; j < vectors; ++j) __builtin_prefetch(soon + at(j), 1);
    }
  }
  const float* from = afresh(c);
#pragma GCC unroll 16
  for (std::size_t i = 0; i < rows; ++i, from += c_row) {
#pragma GCC unroll 16
    for (std::size_t j = 0; j < vectors; ++j) {
      sum[i][j] = !add ? hn::Zero(d) : part ? load_first(d, from + at(j), width) : hn::LoadU(d, from + at(j));
    }
  }
  // Rows of a by fours, each with an address of its own: x86 reaches four with two registers for the steps.
  constexpr std::size_t fours = (rows + 3) / 4;
  const float* factors[fours];
#pragma GCC unroll 16
  for (std::size_t i = 0; i < fours; ++i) factors[i] = afresh(a.at(4 * i, 0));
  for (std::size_t p = 0; p < k; ++p, b += b_row) {
    hn::Vec<D> row[vectors];
#pragma GCC unroll 16
    for (std::size_t j = 0; j < vectors; ++j) row[j] = hn::LoadU(d, b + at(j));
#pragma GCC unroll 16
    for (std::size_t i = 0; i < rows; ++i) {
      const auto factor = hn::Set(d, factors[i / 4][i % 4 * a.row]);
#pragma GCC unroll 16
      for (std::size_t j = 0; j < vectors; ++j) sum[i][j] = hn::MulAdd(factor, row[j], sum[i][j]);
    }
#pragma GCC unroll 16
    for (std::size_t i = 0; i < fours; ++i) factors[i] += a.column;
  }
  c = afresh(c);
#pragma GCC unroll 16
  for (std::size_t i = 0; i < rows; ++i, c += c_row) {
#pragma GCC unroll 16
    for (std::size_t j = 0; j < vectors; ++j) {
      if (part) {
        store_first(sum[i][j], d, c + at(j), width);
      } else {
        hn::StoreU(sum[i][j], d, c + at(j));
      }
    }
  }
}

// c [m, width] (+)= a [m, k] b [k, width], R rows at a time, then R / 2, ...
template <int R, int C, bool part = false, class D>
void strip(D d, std::size_t m, std::size_t k, Matrix a, const float* b, std::size_t b_row, float* c,
           std::size_t c_row, std::size_t width, bool add) {
  for (; m >= R; m -= R) {
    if (add) {
      tile<R, C, true, part>(d, k, a, b, b_row, c, c_row, width);
    } else {
      tile<R, C, false, part>(d, k, a, b, b_row, c, c_row, width);
    }
    a.data += R * a.row;
    c += R * c_row;
  }
  if constexpr (R > 1) {
    if (m > 0) strip<R / 2, C, part>(d, m, k, a, b, b_row, c, c_row, width, add);
  }
}

}  // namespace autodiff::kernels::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif  // EV3_HAVE_VECTORS
#endif  // include guard
