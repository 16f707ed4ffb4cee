// Sums (formed in double) and maxima.
//
// Won over portable on a Zen 4 with AVX-512 (bench_kernels, each the best of 4 interleaved runs): sums over a
// batch, 1.8 times for [32], 5 for [32, 2], 2.9 for [32, 8], 1.5 for [128, 10], 1.7 for [128, 512]; along
// rows of 512, 6.7.
#include <algorithm>
#include <limits>

#include "autodiff/kernels/simd/simd.h"
#include "autodiff/kernels/simd/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "autodiff/kernels/simd/reduce.cpp"
#include <hwy/foreach_target.h>

#include "autodiff/kernels/simd/vector_inl.h"

HWY_BEFORE_NAMESPACE();
namespace autodiff::kernels::simd::HWY_NAMESPACE {
#if EV3_HAVE_VECTORS
namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();

// An accumulator has one running result for each lane; `nothing` changes none.
struct Sum {
  static constexpr float nothing = 0;
  DoubleVector sums;

  HWY_INLINE Sum() {}
  HWY_INLINE void add(Vector v) { sums.add(v); }
  HWY_INLINE void add(const Sum& other) { sums.add(other.sums); }
  HWY_INLINE void store(double* to) const { sums.store(to); }
  static double join(double a, double b) { return a + b; }
  static float finish(const ReduceDims& d, double sum) { return static_cast<float>(sum / d.divisor); }
};

struct Max {  // NaN is never greater, as in the reference
  static constexpr float nothing = -infinity;
  Vector best;

  HWY_INLINE Max() : best(hn::Set(Full(), nothing)) {}
  HWY_INLINE void add(Vector v) { best = hn::IfThenElse(hn::Gt(v, best), v, best); }
  HWY_INLINE void add(const Max& other) { add(other.best); }
  HWY_INLINE void store(double* to) const {
    HWY_ALIGN float copy[lanes<Full>];
    hn::Store(best, Full(), copy);
    for (std::size_t i = 0; i < lanes<Full>; ++i) to[i] = static_cast<double>(copy[i]);
  }
  static double join(double a, double b) { return b > a ? b : a; }
  static float finish(const ReduceDims&, double best) { return static_cast<float>(best); }
};

// Lanes beyond `count` are Accumulator::nothing.
template <class Accumulator>
HWY_INLINE Vector load_padded(const float* x, std::size_t count) {
  const Full d;
  return hn::IfThenElse(hn::FirstN(d, count), load_first(d, x, count), hn::Set(d, Accumulator::nothing));
}

// `inner` divides the number of lanes: x is walked as one array, and lane l meets column l mod inner only.
template <class Accumulator>
void reduce_flat(const ReduceDims& d, const float* x, float* y) {
  constexpr std::size_t N = lanes<Full>;
  const std::size_t n = d.reduced * d.inner;
  for (std::size_t o = 0; o < d.outer; ++o, x += n, y += d.inner) {
    Accumulator all, second;  // two chains of additions
    std::size_t i = 0;
    for (; i + 2 * N <= n; i += 2 * N) {
      all.add(hn::LoadU(Full(), x + i));
      second.add(hn::LoadU(Full(), x + i + N));
    }
    if (i + N <= n) {
      second.add(hn::LoadU(Full(), x + i));
      i += N;
    }
    if (i < n) all.add(load_padded<Accumulator>(x + i, n - i));
    all.add(second);
    HWY_ALIGN double results[N];
    all.store(results);
    for (std::size_t half = N / 2; half >= d.inner; half /= 2) {
      for (std::size_t l = 0; l < half; ++l) results[l] = Accumulator::join(results[l], results[l + half]);
    }
    for (std::size_t c = 0; c < d.inner; ++c) y[c] = Accumulator::finish(d, results[c]);
  }
}

// V vectors of columns are walked down together; `columns` of them in all.
template <class Accumulator, std::size_t V>
HWY_INLINE void reduce_block(const ReduceDims& d, const float* x, float* y, std::size_t columns) {
  constexpr std::size_t N = lanes<Full>;
  Accumulator all[V];
  for (std::size_t r = 0; r < d.reduced; ++r, x += d.inner) {
    for (std::size_t v = 0; v < V; ++v) {
      all[v].add(columns < N ? load_padded<Accumulator>(x, columns) : hn::LoadU(Full(), x + v * N));
    }
  }
  HWY_ALIGN double results[V * N];
  for (std::size_t v = 0; v < V; ++v) all[v].store(results + v * N);
  for (std::size_t c = 0; c < columns; ++c) y[c] = Accumulator::finish(d, results[c]);
}

template <class Accumulator>
void reduce_columns(const ReduceDims& d, const float* x, float* y) {
  constexpr std::size_t N = lanes<Full>;
  for (std::size_t o = 0; o < d.outer; ++o, x += d.reduced * d.inner, y += d.inner) {
    std::size_t c = 0;
    for (; c + 4 * N <= d.inner; c += 4 * N) reduce_block<Accumulator, 4>(d, x + c, y + c, 4 * N);
    for (; c + N <= d.inner; c += N) reduce_block<Accumulator, 1>(d, x + c, y + c, N);
    if (c < d.inner) reduce_block<Accumulator, 1>(d, x + c, y + c, d.inner - c);
  }
}

template <class Accumulator>
void reduce(const ReduceDims& d, const float* x, float* y) {
  if (d.inner > 0 && lanes<Full> % d.inner == 0) {
    reduce_flat<Accumulator>(d, x, y);
  } else {
    reduce_columns<Accumulator>(d, x, y);
  }
}

void reduce(const ReduceDims& d, const float* x, float* y) {
  d.kind == Reduce::sum ? reduce<Sum>(d, x, y) : reduce<Max>(d, x, y);
}

// The moments of `count` channels, at most a vector, one of `channels` in each row: one pass over the
// distances from the first row, in double, which lose nothing to a mean far from zero.
void moments_block(const MomentsDims& d, const float* x, float* m, std::size_t count) {
  using Wide = DoubleVector::D;
  const Full full;
  const hn::Half<Full> half;
  const Wide wide;
  const auto load = [&](std::size_t row) HWY_ATTR {
    const float* from = x + row * d.channels;
    return count == lanes<Full> ? hn::LoadU(full, from) : load_first(full, from, count);
  };
  const Vector first = load(0);
  const auto low_first = hn::PromoteTo(wide, hn::LowerHalf(half, first));
  const auto high_first = hn::PromoteTo(wide, hn::UpperHalf(half, first));
  DoubleVector sums[2], squares[2];  // of every other row: two chains of additions
  for (std::size_t row = 0; row < d.rows; ++row) {
    const Vector v = load(row);
    DoubleVector &sum = sums[row % 2], &square = squares[row % 2];
    const auto low = hn::Sub(hn::PromoteTo(wide, hn::LowerHalf(half, v)), low_first);
    const auto high = hn::Sub(hn::PromoteTo(wide, hn::UpperHalf(half, v)), high_first);
    sum.low = hn::Add(sum.low, low);
    sum.high = hn::Add(sum.high, high);
    square.low = hn::MulAdd(low, low, square.low);
    square.high = hn::MulAdd(high, high, square.high);
  }
  sums[0].add(sums[1]);
  squares[0].add(squares[1]);
  HWY_ALIGN double sum[lanes<Full>], square[lanes<Full>];
  sums[0].store(sum);
  squares[0].store(square);
  const auto rows = static_cast<double>(d.rows);
  for (std::size_t c = 0; c < count; ++c) {
    const double distance = sum[c] / rows;
    m[c] = static_cast<float>(static_cast<double>(x[c]) + distance);
    m[d.channels + c] = static_cast<float>(std::max(0.0, square[c] / rows - distance * distance));
  }
}

void moments(const MomentsDims& d, const float* x, float* m) {
  for (std::size_t c = 0; c < d.channels; c += lanes<Full>) {
    moments_block(d, x + c, m + c, std::min(lanes<Full>, d.channels - c));
  }
}

bool supports_moments(const MomentsDims& d) { return d.rows > 0 && d.channels >= 4; }

// Less than a vector in all: nothing to win.
bool supports(const ReduceDims& d) { return d.reduced * d.inner >= lanes<Full>; }

}  // namespace
#endif

void add_reduce([[maybe_unused]] Backend& row) {
#if EV3_HAVE_VECTORS
  row.reduce = {reduce, supports};
  row.moments = {moments, supports_moments};
#endif
}

}  // namespace autodiff::kernels::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace autodiff::kernels::simd {

HWY_EXPORT(add_reduce);
void add_reduce(Backend& row) { HWY_DYNAMIC_DISPATCH(add_reduce)(row); }

}  // namespace autodiff::kernels::simd
#endif
