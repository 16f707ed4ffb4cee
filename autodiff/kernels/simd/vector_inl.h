// What the vector kernels share, compiled once per instruction set: loads and stores of the first lanes only,
// sums in double, and transposition. Nothing outside an array is ever read or written.

#if defined(EV3_KERNELS_SIMD_VECTOR_INL_H) == defined(HWY_TARGET_TOGGLE)  // Highway's include guard
#ifdef EV3_KERNELS_SIMD_VECTOR_INL_H
#undef EV3_KERNELS_SIMD_VECTOR_INL_H
#else
#define EV3_KERNELS_SIMD_VECTOR_INL_H
#endif

#include <cstddef>
#include <cstdint>
#include <cstring>

#include <hwy/highway.h>

// Without vectors (the fallback of x86, GCC 12) or without double there is nothing to win: no entries.
#undef EV3_HAVE_VECTORS
#if HWY_TARGET == HWY_SCALAR || HWY_TARGET == HWY_EMU128 || !HWY_HAVE_FLOAT64
#define EV3_HAVE_VECTORS 0
#else
#define EV3_HAVE_VECTORS 1
#endif

#if EV3_HAVE_VECTORS
HWY_BEFORE_NAMESPACE();
namespace autodiff::kernels::simd::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;
using Full = hn::ScalableTag<float>;
using Quad = hn::CappedTag<float, 4>;
using Ints = hn::RebindToSigned<Full>;
using Vector = hn::Vec<Full>;

template <class D>
constexpr std::size_t lanes = hn::MaxLanes(D());

constexpr std::size_t cache_line = 16;  // floats, on most CPUs

/// The same pointer or number, of which the compiler forgets how it came about. Without this g++ computes all
/// addresses of a tile before the loops around it, and keeps them where its sums should be.
template <class T>
HWY_INLINE T afresh(T x) {
  __asm__("" : "+r"(x));
  return x;
}

/// Elements in rows and columns, so many elements apart. Where one is gets computed when it is needed.
template <class T>
struct Grid {
  T* first;
  std::ptrdiff_t down, across;

  template <class Step>
  HWY_INLINE Grid(T* start, Step to_next_row, Step to_next_column)
      : first(afresh(start)),
        down(afresh(static_cast<std::ptrdiff_t>(to_next_row))),
        across(afresh(static_cast<std::ptrdiff_t>(to_next_column))) {}
  HWY_INLINE T* at(int i, int j) const { return first + i * down + j * across; }
};

/// Lanes 0 .. count-1 from x, the others 0.
template <class D>
HWY_INLINE hn::Vec<D> load_first(D d, const hn::TFromD<D>* x, std::size_t count) {
#if HWY_MEM_OPS_MIGHT_FAULT  // no masked loads
  HWY_ALIGN hn::TFromD<D> copy[lanes<D>] = {};
  for (std::size_t i = 0; i < lanes<D> && i < count; ++i) copy[i] = x[i];
  return hn::Load(d, copy);
#else
  return hn::MaskedLoad(hn::FirstN(d, count), d, x);
#endif
}

/// Writes lanes 0 .. count-1 to y.
template <class D>
HWY_INLINE void store_first(hn::Vec<D> v, D d, float* y, std::size_t count) {
#if HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX3
  hn::BlendedStore(v, hn::FirstN(d, count), d, y);
#else  // the masked stores of AVX2 are slow on some CPUs
  HWY_ALIGN float copy[lanes<D>];
  hn::Store(v, d, copy);
  const float* from = copy;
  for (std::size_t part = lanes<D>; part > 0; part /= 2) {
    if (count & part) {
      std::memcpy(y, from, part * sizeof(float));
      y += part;
      from += part;
    }
  }
#endif
}

/// Calls body(i, load, store) for the elements i, i + N, ... < n; load(x) and store(v, y) move the vector at
/// x + i and y + i, or as much of it as there is.
template <class Body>
HWY_INLINE void for_each_vector(std::size_t n, Body body) {
  const Full d;
  std::size_t i = 0;
  for (; i + lanes<Full> <= n; i += lanes<Full>) {
    body([&](const float* x) HWY_ATTR { return hn::LoadU(d, x + i); },
         [&](Vector v, float* y) HWY_ATTR { hn::StoreU(v, d, y + i); });
  }
  if (i < n) {
    body([&](const float* x) HWY_ATTR { return load_first(d, x + i, n - i); },
         [&](Vector v, float* y) HWY_ATTR { store_first(v, d, y + i, n - i); });
  }
}

/// One double for every float lane. (Constructors are written out here and elsewhere because implicit ones
/// are not compiled for the instruction set.)
struct DoubleVector {
  using D = hn::RepartitionToWide<Full>;
  hn::Vec<D> low, high;

  HWY_INLINE DoubleVector() : low(hn::Zero(D())), high(low) {}
  HWY_INLINE void add(Vector v) {
    const hn::Half<Full> half;
    low = hn::Add(low, hn::PromoteTo(D(), hn::LowerHalf(half, v)));
    high = hn::Add(high, hn::PromoteTo(D(), hn::UpperHalf(half, v)));
  }
  HWY_INLINE void add(const DoubleVector& other) {
    low = hn::Add(low, other.low);
    high = hn::Add(high, other.high);
  }
  HWY_INLINE void store(double* to) const {
    hn::StoreU(low, D(), to);
    hn::StoreU(high, D(), to + lanes<D>);
  }
  /// Each lane minus `x`, rounded to float.
  HWY_INLINE Vector minus(double x) const {
    const hn::Half<Full> half;
    const auto s = hn::Set(D(), x);
    return hn::Combine(Full(), hn::DemoteTo(half, hn::Sub(high, s)), hn::DemoteTo(half, hn::Sub(low, s)));
  }
  /// The sum of all lanes.
  HWY_INLINE double sum() const { return hn::GetLane(hn::SumOfLanes(D(), hn::Add(low, high))); }
};

// Four elements of each of some rows, step apart, as one vector.
HWY_INLINE hn::Vec<Quad> fours(Quad d, const float* x, std::size_t) { return hn::LoadU(d, x); }
template <class D>
HWY_INLINE hn::Vec<D> fours(D d, const float* x, std::size_t step) {
  const hn::Half<D> half;
  return hn::Combine(d, fours(half, x + lanes<D> / 8 * step, step), fours(half, x, step));
}

// y[c * y_stride + r] = x[r * x_stride + c] for as many rows as a vector has lanes: 4 x 4 in registers, side
// by side.
template <class D>
HWY_INLINE void columns_of(D d, std::size_t cols, const float* x, std::size_t x_stride, float* y,
                           std::size_t y_stride) {
  std::size_t c = 0;
  for (; c + 4 <= cols; c += 4, y += 4 * y_stride) {
    const auto r0 = fours(d, x + c, 4 * x_stride), r1 = fours(d, x + x_stride + c, 4 * x_stride);
    const auto r2 = fours(d, x + 2 * x_stride + c, 4 * x_stride),
               r3 = fours(d, x + 3 * x_stride + c, 4 * x_stride);
    const auto low02 = hn::InterleaveLower(d, r0, r2), low13 = hn::InterleaveLower(d, r1, r3);
    const auto high02 = hn::InterleaveUpper(d, r0, r2), high13 = hn::InterleaveUpper(d, r1, r3);
    hn::StoreU(hn::InterleaveLower(d, low02, low13), d, y);
    hn::StoreU(hn::InterleaveUpper(d, low02, low13), d, y + y_stride);
    hn::StoreU(hn::InterleaveLower(d, high02, high13), d, y + 2 * y_stride);
    hn::StoreU(hn::InterleaveUpper(d, high02, high13), d, y + 3 * y_stride);
  }
  for (; c < cols; ++c, y += y_stride) {
    for (std::size_t k = 0; k < lanes<D>; ++k) y[k] = x[k * x_stride + c];
  }
}

/// y[c * y_stride + r] = x[r * x_stride + c] for r < rows, c < cols.
HWY_INLINE void transpose(std::size_t rows, std::size_t cols, const float* x, std::size_t x_stride, float* y,
                          std::size_t y_stride) {
  const Quad d;
  std::size_t r = 0, c = 0;
  if (cols == 2 && x_stride == 2) {
    for (; r + 4 <= rows; r += 4) {
      hn::Vec<Quad> even, odd;
      hn::LoadInterleaved2(d, x + r * 2, even, odd);
      hn::StoreU(even, d, y + r);
      hn::StoreU(odd, d, y + y_stride + r);
    }
  } else if (rows == 2 && y_stride == 2) {
    for (; c + 4 <= cols; c += 4) {
      hn::StoreInterleaved2(hn::LoadU(d, x + c), hn::LoadU(d, x + x_stride + c), d, y + c * 2);
    }
    for (; c < cols; ++c) {
      y[c * 2] = x[c];
      y[c * 2 + 1] = x[x_stride + c];
    }
    return;
  } else {
    for (; r + 16 <= rows && lanes<Full> >= 16; r += 16)
      columns_of(hn::CappedTag<float, 16>(), cols, x + r * x_stride, x_stride, y + r, y_stride);
    for (; r + 8 <= rows && lanes<Full> >= 8; r += 8)
      columns_of(hn::CappedTag<float, 8>(), cols, x + r * x_stride, x_stride, y + r, y_stride);
    for (; r + 4 <= rows; r += 4) columns_of(d, cols, x + r * x_stride, x_stride, y + r, y_stride);
  }
  for (; r < rows; ++r) {
    for (c = 0; c < cols; ++c) y[c * y_stride + r] = x[r * x_stride + c];
  }
}

}  // namespace autodiff::kernels::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif  // EV3_HAVE_VECTORS
#endif  // include guard
