// The most that multiply-adds give on this CPU: chains of them in registers, and nothing else.
#include <algorithm>
#include <chrono>
#include <limits>

#include "autodiff/kernels/cpu.h"
#include "autodiff/kernels/simd/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "autodiff/kernels/simd/peak.cpp"
#include <hwy/foreach_target.h>

#include "autodiff/kernels/simd/vector_inl.h"

HWY_BEFORE_NAMESPACE();
namespace autodiff::kernels::simd::HWY_NAMESPACE {

double chains_of_muladds() {
#if EV3_HAVE_VECTORS
  using Clock = std::chrono::steady_clock;
  constexpr int chains = 12, length = 4000;  // enough for two units with a latency of five
  const Full d;
  const Vector factor = hn::Set(d, 0.999f), summand = hn::Set(d, 1e-3f);
  double best = std::numeric_limits<double>::infinity();
  float sink = 0;
  for (int run = 0; run < 400; ++run) {
    Vector sums[chains];
    for (int i = 0; i < chains; ++i) sums[i] = hn::Set(d, static_cast<float>(i));
    const auto start = Clock::now();
    for (int k = 0; k < length; ++k) {
      for (int i = 0; i < chains; ++i) sums[i] = hn::MulAdd(sums[i], factor, summand);
    }
    for (int i = 1; i < chains; ++i) sums[0] = hn::Add(sums[0], sums[i]);
    sink += hn::GetLane(sums[0]);
    best = std::min(best, std::chrono::duration<double>(Clock::now() - start).count());
  }
  const double operations = 2.0 * chains * length * static_cast<double>(lanes<Full>);
  return sink == -1 ? 0 : operations / best;  // the sums are used
#else
  return 0;
#endif
}

}  // namespace autodiff::kernels::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace autodiff::kernels {
namespace simd {
HWY_EXPORT(chains_of_muladds);

double best_chains_of_muladds() { return HWY_DYNAMIC_DISPATCH(chains_of_muladds)(); }
}  // namespace simd

double measure_flops() { return simd::best_chains_of_muladds(); }

}  // namespace autodiff::kernels
#endif
