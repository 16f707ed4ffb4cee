// Optimizers: the operations of the reference, in its order, so that the bits are the same.
#include "autodiff/kernels/simd/simd.h"
#include "autodiff/kernels/simd/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "autodiff/kernels/simd/update.cpp"
#include <hwy/foreach_target.h>

#include "autodiff/kernels/simd/math_inl.h"

HWY_BEFORE_NAMESPACE();
namespace autodiff::kernels::simd::HWY_NAMESPACE {
#if EV3_HAVE_VECTORS
namespace {

void adamw(const AdamwDims& d, const float* g, const float* from, float* m, float* v, float* p) {
  const Vector b1 = set(d.b1), b2 = set(d.b2), c1 = set(1 - d.b1), c2 = set(1 - d.b2);
  const Vector to_m = set(d.to_m), to_v = set(d.to_v), epsilon = set(d.epsilon);
  const Vector decay = set(d.weight_decay), rate = set(d.learning_rate);
  for_each_vector(d.n, [&](auto load, auto store) HWY_ATTR {
    const Vector slope = load(g);
    const Vector first = hn::Add(hn::Mul(b1, load(m)), hn::Mul(c1, slope));
    const Vector second = hn::Add(hn::Mul(b2, load(v)), hn::Mul(c2, hn::Mul(slope, slope)));
    const Vector down = hn::Add(hn::Sqrt(hn::Mul(second, to_v)), epsilon);
    const Vector step = hn::Add(hn::Div(hn::Mul(first, to_m), down), hn::Mul(decay, load(from)));
    store(first, m);
    store(second, v);
    store(hn::Sub(load(p), hn::Mul(rate, step)), p);
  });
}

}  // namespace
#endif

void add_update([[maybe_unused]] Backend& row) {
#if EV3_HAVE_VECTORS
  row.adamw = {adamw};
#endif
}

}  // namespace autodiff::kernels::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace autodiff::kernels::simd {

HWY_EXPORT(add_update);
void add_update(Backend& row) { HWY_DYNAMIC_DISPATCH(add_update)(row); }

}  // namespace autodiff::kernels::simd
#endif
