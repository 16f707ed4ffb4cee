// Products whose result is a gradient that nobody wants to see: the parameters are updated while it is
// formed, a vector every few steps of a tile's inner loop, and their memory is fetched a tile before. Plain
// SGD costs 0.5 to 1 ns for a vector of 16 so, after 2.2 to 4.2 in a loop of its own (Emerald Rapids). Not
// for optimizers that divide: while an update waits for a square root and a division, the multiplications
// after it fill what a CPU has of registers for results not yet final, and then wait, too. AdamW cost 14 to
// 20 ns for a vector, alone 8; cut in four parts, each for another vector, 12; after every tile, 9.

#if defined(EV3_KERNELS_SIMD_MATMUL_UPDATE_INL_H) == defined(HWY_TARGET_TOGGLE)  // Highway's include guard
#ifdef EV3_KERNELS_SIMD_MATMUL_UPDATE_INL_H
#undef EV3_KERNELS_SIMD_MATMUL_UPDATE_INL_H
#else
#define EV3_KERNELS_SIMD_MATMUL_UPDATE_INL_H
#endif

#include <array>
#include <utility>

#include "autodiff/kernels/simd/matmul_rows_inl.h"
#include "autodiff/kernels/simd/update_inl.h"

#if EV3_HAVE_VECTORS
HWY_BEFORE_NAMESPACE();
namespace autodiff::kernels::simd::HWY_NAMESPACE {
namespace {

constexpr std::size_t most_vectors = tile_rows * tile_vectors;  // of a tile

// Where the vectors of a tile with C vectors a row belong, whose rows are `row` elements apart; from the
// start again behind the last one.
using Offsets = std::array<std::size_t, most_vectors>;
Offsets offsets_of(std::size_t row, std::size_t C) {
  Offsets out;
  for (std::size_t k = 0; k < out.size(); ++k) out[k] = k / C % tile_rows * row + k % C * lanes<Full>;
  return out;
}

// A tile of so many vectors, whose parameters are at `first` and further on.
struct Tile {
  std::size_t vectors = 0, first = 0;
  const Offsets* offsets = nullptr;

  HWY_INLINE std::size_t place(std::size_t k) const { return first + (*offsets)[k]; }
};

// What happens between the multiplications of a tile: the memory of its parameters is fetched, and vector
// after vector of the last tile's is updated.
template <UpdateDims::Kind kind>
class UpdateBetween {
 public:
  HWY_INLINE UpdateBetween(const UpdateFactors& factors, const ParameterArrays& arrays, std::size_t k,
                           const float* sums, const Tile& last, const Tile& own)
      : factors_(&factors), arrays_(arrays), every_(k / times()), sums_(sums), last_(last), own_(own) {}

  static constexpr std::size_t times() { return most_vectors; }
  HWY_INLINE std::size_t every() const { return every_; }

  template <int>
  HWY_INLINE void operator()() {
    const ParameterArrays soon = at(own_.place(next_));
    __builtin_prefetch(soon.p, 1);
    if constexpr (has_m(kind)) __builtin_prefetch(soon.m, 1);
    if (next_ < last_.vectors) {
      const Full d;
      update_vector<kind>(
          *factors_, hn::LoadU(d, sums_ + next_ * lanes<Full>), at(last_.place(next_)),
          [d](const float* x) HWY_ATTR { return hn::LoadU(d, x); },
          [d](Vector value, float* x) HWY_ATTR { hn::StoreU(value, d, x); });
    }
    ++next_;
  }

 private:
  // The arrays from element i on.
  HWY_INLINE ParameterArrays at(std::size_t i) const {
    return {nullptr, has_m(kind) ? arrays_.m + i : nullptr, nullptr, arrays_.p + i};
  }

  const UpdateFactors* factors_;
  ParameterArrays arrays_;
  std::size_t every_, next_ = 0;
  const float* sums_;
  Tile last_, own_;
};

// As ToMemory: where the sums of a gradient go, whose parameters are `row` apart.
template <UpdateDims::Kind kind>
class ToUpdate {
 public:
  ToUpdate(const UpdateFactors& factors, const ParameterArrays& arrays, std::size_t row)
      : factors_(&factors),
        arrays_(arrays),
        row_(row),
        three_(offsets_of(row, 3)),
        two_(offsets_of(row, 2)) {}

  template <int C>
  static constexpr std::size_t row() {
    return C * lanes<Full>;
  }
  HWY_INLINE float* place(std::size_t, std::size_t) { return sums_; }
  template <int C>
  HWY_INLINE UpdateBetween<kind> between(std::size_t k, std::size_t i, std::size_t j, std::size_t,
                                         std::size_t) {
    const Tile own{tile_rows * C, i * row_ + j, C == 3 ? &three_ : &two_};
    return {*factors_, arrays_, k, sums_, std::exchange(last_, own), own};
  }
  void before_part() { finish(); }
  template <int C>
  void part_done(std::size_t i, std::size_t j, std::size_t rows, std::size_t columns) {
    update_rows<kind>(*factors_, rows, columns, sums_, row<C>(), arrays_.at(i * row_ + j), row_);
  }
  void finish() {
    const std::size_t columns = last_.vectors / tile_rows * lanes<Full>;
    update_rows<kind>(*factors_, tile_rows, columns, sums_, columns, arrays_.at(last_.first), row_);
    last_ = {};
  }

 private:
  const UpdateFactors* factors_;
  ParameterArrays arrays_;
  std::size_t row_;
  Offsets three_, two_;
  Tile last_;  // whose parameters are still to be updated
  HWY_ALIGN float sums_[most_vectors * lanes<Full>];
};

}  // namespace
}  // namespace autodiff::kernels::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif  // EV3_HAVE_VECTORS
#endif  // include guard
