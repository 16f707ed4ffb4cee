// Optimizers: whole arrays, or parts of some rows.
#include "autodiff/kernels/simd/simd.h"
#include "autodiff/kernels/simd/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "autodiff/kernels/simd/update.cpp"
#include <hwy/foreach_target.h>

#include "autodiff/kernels/simd/update_inl.h"

HWY_BEFORE_NAMESPACE();
namespace autodiff::kernels::simd::HWY_NAMESPACE {
#if EV3_HAVE_VECTORS
namespace {

void update(const UpdateDims& d, const UpdateScalars& s, const float* g, const ParameterArrays& a) {
  const UpdateFactors f(d, s);
  with_kind(d.kind, [&]<UpdateDims::Kind kind>()
                        HWY_ATTR { update_rows<kind>(f, d.rows, d.n, g, d.gradient_row, a, d.row); });
}

}  // namespace
#endif

void add_update([[maybe_unused]] Backend& row) {
#if EV3_HAVE_VECTORS
  row.update = {update};
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
