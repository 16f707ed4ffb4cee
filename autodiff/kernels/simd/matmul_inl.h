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

// What else a tile does with each row of b: nothing.
struct OnlyMultiply {
  static constexpr bool fetches_c = false;
  template <class D, std::size_t vectors>
  HWY_INLINE void operator()(D, const hn::Vec<D> (&)[vectors], std::size_t) {}
};

// c [R, width] (+)= a [R, k] b [k, width]; C vectors hold a row. The last one ends where the row ends and so
// overlaps the one before: both compute the same. Only a row shorter than one vector is stored in part, and
// its b must be padded to a whole one.
template <int R, int C, class D, class Also = OnlyMultiply>
HWY_INLINE void tile(D d, std::size_t k, const Matrix& a, const float* b, std::size_t b_row, float* c,
                     std::size_t c_row, std::size_t width, bool add, Also also = {}) {
  constexpr std::size_t N = lanes<D>, rows = R, vectors = C;
  const bool part = width < N;
  const std::size_t last = part ? 0 : width - N;
  const auto at = [last](std::size_t j) { return j + 1 < vectors ? j * N : last; };
  hn::Vec<D> sum[rows][vectors];
  // What will be stored is on its way while the sums are formed.
  if (!Also::fetches_c && !add && k >= 32) {
    for (std::size_t i = 0; i < rows; ++i) {
      for (std::size_t j = 0; j < vectors; ++j) __builtin_prefetch(c + i * c_row + at(j), 1);
    }
  }
  for (std::size_t i = 0; i < rows; ++i) {
    for (std::size_t j = 0; j < vectors; ++j) {
      const float* from = c + i * c_row + at(j);
      sum[i][j] = !add ? hn::Zero(d) : part ? load_first(d, from, width) : hn::LoadU(d, from);
    }
  }
  const float* factors = a.data;
  for (std::size_t p = 0; p < k; ++p, b += b_row, factors += a.column) {
    hn::Vec<D> row[vectors];
    for (std::size_t j = 0; j < vectors; ++j) row[j] = hn::LoadU(d, b + at(j));
    also(d, row, last);
    for (std::size_t i = 0; i < rows; ++i) {
      const auto factor = hn::Set(d, factors[i * a.row]);
      for (std::size_t j = 0; j < vectors; ++j) sum[i][j] = hn::MulAdd(factor, row[j], sum[i][j]);
    }
  }
  for (std::size_t i = 0; i < rows; ++i) {
    for (std::size_t j = 0; j < vectors; ++j) {
      float* to = c + i * c_row + at(j);
      if (part) {
        store_first(sum[i][j], d, to, width);
      } else {
        hn::StoreU(sum[i][j], d, to);
      }
    }
  }
}

// c [m, width] (+)= a [m, k] b [k, width], R rows at a time, then R / 2, ...
template <int R, int C, class D>
void strip(D d, std::size_t m, std::size_t k, Matrix a, const float* b, std::size_t b_row, float* c,
           std::size_t c_row, std::size_t width, bool add) {
  for (; m >= R; m -= R) {
    tile<R, C>(d, k, a, b, b_row, c, c_row, width, add);
    a.data += R * a.row;
    c += R * c_row;
  }
  if constexpr (R > 1) {
    if (m > 0) strip<R / 2, C>(d, m, k, a, b, b_row, c, c_row, width, add);
  }
}

}  // namespace autodiff::kernels::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif  // EV3_HAVE_VECTORS
#endif  // include guard
