// Functions of single elements, of one argument and of two.
//
// Won over portable on a Zen 4 with AVX-512 (bench_kernels, each the best of 4 interleaved runs): exp 11
// times, sigmoid 9 to 18, tanh 25 to 39, relu 1.2 (in the second-level cache) to 2.6, a bias added to rows of
// 2 to 10 elements 3.6 to 5.6, to rows of 512 1.2.
#include "autodiff/kernels/simd/simd.h"
#include "autodiff/kernels/simd/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "autodiff/kernels/simd/elementwise.cpp"
#include <hwy/foreach_target.h>

#include "autodiff/kernels/simd/elementwise_inl.h"

HWY_BEFORE_NAMESPACE();
namespace autodiff::kernels::simd::HWY_NAMESPACE {
#if EV3_HAVE_VECTORS
namespace {

template <Unary kind>
void map(const UnaryDims& d, const float* x, float* y) {
  const Vector constant = set(d.constant);
  for_each_vector(d.n, [&](auto load, auto store) HWY_ATTR { store(unary<kind>(load(x), constant), y); });
}

void unary(const UnaryDims& d, const float* x, float* y) {
  switch (d.kind) {
    case Unary::relu:
      return map<Unary::relu>(d, x, y);
    case Unary::tanh:
      return map<Unary::tanh>(d, x, y);
    case Unary::sigmoid:
      return map<Unary::sigmoid>(d, x, y);
    case Unary::exp:
      return map<Unary::exp>(d, x, y);
    case Unary::log:
      return map<Unary::log>(d, x, y);
    case Unary::sqrt:
      return map<Unary::sqrt>(d, x, y);
    case Unary::square:
      return map<Unary::square>(d, x, y);
    case Unary::scale:
      return map<Unary::scale>(d, x, y);
    case Unary::shift:
      return map<Unary::shift>(d, x, y);
  }
}

constexpr int most_repeated = 64;  // elements of a short row that is repeated in every row

// y = f(x, row) or, flipped, f(row, x); x and y [rows, n], the same `row` [n] for all. Short rows would leave
// most lanes idle: x and y are walked as one array instead, and vector i meets the repeated row at i mod n.
template <Binary kind, bool flipped>
void with_repeated_row(std::size_t rows, std::size_t n, const float* x, const float* row, float* y) {
  const Full d;
  float repeated[most_repeated + lanes<Full>];
  std::size_t i = 0;
  do {
    repeated[i] = row[i];
  } while (++i < n);
  for (; i < n + lanes<Full>; ++i) repeated[i] = repeated[i - n];
  const std::size_t advance = lanes<Full> % n;
  std::size_t at = 0;
  for_each_vector(rows * n, [&](auto load, auto store) HWY_ATTR {
    const Vector r = hn::LoadU(d, repeated + at);
    store(flipped ? binary<kind>(r, load(x)) : binary<kind>(load(x), r), y);
    at += advance;
    at = at < n ? at : at - n;
  });
}

template <Binary kind>
void zip(const BinaryDims& d, const float* a, const float* b, float* y) {
  const auto last = static_cast<std::size_t>(d.rank - 1);
  const auto n = static_cast<std::size_t>(d.size[last]);
  const bool short_rows =
      d.rank == 2 && n > 0 && n <= most_repeated && d.a_stride[1] == 1 && d.b_stride[1] == 1;
  if (short_rows && d.b_stride[0] == 0 && d.a_stride[0] == d.size[1]) {
    return with_repeated_row<kind, false>(static_cast<std::size_t>(d.size[0]), n, a, b, y);
  }
  if (short_rows && d.a_stride[0] == 0 && d.b_stride[0] == d.size[1]) {
    return with_repeated_row<kind, true>(static_cast<std::size_t>(d.size[0]), n, b, a, y);
  }
  if (d.a_stride[last] == 0) {
    for_each_row(d, a, b, y, [&](const float* ra, const float* rb, float* ry) HWY_ATTR {
      const Vector va = set(*ra);
      for_each_vector(n, [&](auto load, auto store) HWY_ATTR { store(binary<kind>(va, load(rb)), ry); });
    });
  } else if (d.b_stride[last] == 0) {
    for_each_row(d, a, b, y, [&](const float* ra, const float* rb, float* ry) HWY_ATTR {
      const Vector vb = set(*rb);
      for_each_vector(n, [&](auto load, auto store) HWY_ATTR { store(binary<kind>(load(ra), vb), ry); });
    });
  } else {
    for_each_row(d, a, b, y, [&](const float* ra, const float* rb, float* ry) HWY_ATTR {
      for_each_vector(n,
                      [&](auto load, auto store) HWY_ATTR { store(binary<kind>(load(ra), load(rb)), ry); });
    });
  }
}

void binary(const BinaryDims& d, const float* a, const float* b, float* y) {
  switch (d.kind) {
    case Binary::add:
      return zip<Binary::add>(d, a, b, y);
    case Binary::sub:
      return zip<Binary::sub>(d, a, b, y);
    case Binary::mul:
      return zip<Binary::mul>(d, a, b, y);
    case Binary::div:
      return zip<Binary::div>(d, a, b, y);
    case Binary::equal:
      return zip<Binary::equal>(d, a, b, y);
    case Binary::relu_grad:
      return zip<Binary::relu_grad>(d, a, b, y);
    case Binary::tanh_grad:
      return zip<Binary::tanh_grad>(d, a, b, y);
    case Binary::sigmoid_grad:
      return zip<Binary::sigmoid_grad>(d, a, b, y);
  }
}

}  // namespace
#endif

void add_elementwise([[maybe_unused]] Backend& row) {
#if EV3_HAVE_VECTORS
  row.unary = {unary};
  row.binary = {binary};
#endif
}

}  // namespace autodiff::kernels::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace autodiff::kernels::simd {

HWY_EXPORT(add_elementwise);
void add_elementwise(Backend& row) { HWY_DYNAMIC_DISPATCH(add_elementwise)(row); }

}  // namespace autodiff::kernels::simd
#endif
