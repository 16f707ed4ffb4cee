// Large products with a small second factor, as the gradients of weights are, compiled once per instruction
// set. The result is formed a few rows after the other: its memory, and what else lies there, is met in the
// order in which CPUs fetch it ahead. For every few rows all of b is read again, from the second-level cache.

#if defined(EV3_KERNELS_SIMD_MATMUL_ROWS_INL_H) == defined(HWY_TARGET_TOGGLE)  // Highway's include guard
#ifdef EV3_KERNELS_SIMD_MATMUL_ROWS_INL_H
#undef EV3_KERNELS_SIMD_MATMUL_ROWS_INL_H
#else
#define EV3_KERNELS_SIMD_MATMUL_ROWS_INL_H
#endif

#include <algorithm>

#include "autodiff/kernels/simd/matmul_packed_inl.h"

#if EV3_HAVE_VECTORS
HWY_BEFORE_NAMESPACE();
namespace autodiff::kernels::simd::HWY_NAMESPACE {
namespace {

// The same as product_by_strips(), with all of b packed in `scratch`; k is one block.
template <class To>
void product_by_rows(std::size_t m, std::size_t n, std::size_t k, const Matrix& a, const Matrix& b,
                     float* scratch, To& to) {
  const Full d;
  HWY_ALIGN float rows[tile_rows * block_k];
  for (std::size_t i = 0; i < m; i += tile_rows) {
    const std::size_t count = std::min<std::size_t>(tile_rows, m - i);
    if (count == tile_rows) pack_rows(k, a.from(i, 0), rows);
    for (std::size_t j = 0; j < n;) {
      const Strip columns(n, j);
      const std::size_t width = columns.width, next = j + width;
      float *const packed = scratch + j * k, *const c = to.place(i, j);
      columns.run([&]<int C>() HWY_ATTR {
        constexpr std::size_t packed_row = C * lanes<Full>;
        const std::size_t c_row = to.template row<C>();
        const bool whole_rows = width == packed_row;
        if (i == 0 && !whole_rows) pack(d, k, width, b.from(0, j), packed, packed_row);
        if (count < tile_rows || !whole_rows) {
          to.before_part();
          if (count < tile_rows) {
            strip<tile_rows, C>(d, count, k, a.from(i, 0), packed, packed_row, c, c_row, width, false);
          } else {
            tile<tile_rows, C, false, false>(d, k, {rows, 1, tile_rows}, packed, packed_row, c, c_row, width);
          }
          return to.template part_done<C>(i, j, count, width);
        }
        const auto between = to.template between<C>(k, i, j, i, next < n ? next : j);
        Fetch fetch{rows, 0};  // nothing new
        if (j == 0 && a.row == 1 && i + 2 * tile_rows <= m) fetch = {a.at(i + tile_rows, 0), a.column};
        if (i == 0) {
          packed_tile<C, false, PackedRows>(k, rows, 0, b.at(0, j), b.row, c, c_row,
                                            PackB{packed, b.at(rows_ahead, j), b.row}, between);
        } else {
          packed_tile<C, false, PackedRows>(k, rows, 0, packed, packed_row, c, c_row, fetch, between);
        }
      });
      j = next;
    }
  }
  to.finish();
}

// Whether b stays in the second-level cache when all of it is packed.
bool packs_all_of_b(std::size_t n, std::size_t k, bool transposed) {
  return !transposed && k <= block_k && n * k <= 128 << 10;
}

}  // namespace
}  // namespace autodiff::kernels::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif  // EV3_HAVE_VECTORS
#endif  // include guard
