// The rows simd and winograd: Google Highway, with the instruction set chosen when it is first asked for.
#include "autodiff/kernels/cpu.h"
#include "autodiff/kernels/simd/simd.h"
#include "autodiff/kernels/simd/targets.h"
#include "autodiff/tensor/error.h"

#include <hwy/highway.h>

namespace autodiff::kernels {
namespace {

// Those that can run on this CPU (or only those compiled), best first, without the fallback that has no
// vectors.
std::vector<std::int64_t> targets(std::int64_t allowed) {
  std::vector<std::int64_t> out;
  for (std::int64_t left = allowed & HWY_TARGETS & ~(HWY_SCALAR | HWY_EMU128); left; left &= left - 1) {
    out.push_back(left & ~(left - 1));
  }
  return out;
}

std::vector<std::string> names(const std::vector<std::int64_t>& list) {
  std::vector<std::string> out;
  for (const std::int64_t target : list) out.emplace_back(hwy::TargetName(target));
  return out;
}

struct Row {
  Backend backend, winograd;
  std::int64_t target = 0;

  Row() { use(0); }
  // 0: the best one.
  void use(std::int64_t wanted) {
    hwy::SetSupportedTargetsForTest(wanted);
    const auto supported = targets(hwy::SupportedTargets());
    target = supported.empty() ? 0 : supported.front();
    hwy::GetChosenTarget().Update(hwy::SupportedTargets());
    backend = {.name = "simd"};
    simd::add_matmul(backend);
    simd::add_conv2d(backend);
    simd::add_elementwise(backend);
    simd::add_pointwise(backend);
    simd::add_reduce(backend);
    simd::add_softmax(backend);
    winograd = {.name = "winograd"};
    simd::add_winograd(winograd);
  }
};

Row& row() {
  static Row instance;
  return instance;
}

}  // namespace

const Backend* winograd_backend() { return row().target ? &row().winograd : nullptr; }

const Backend* simd_backend() { return row().target ? &row().backend : nullptr; }

std::string simd_target() { return row().target ? hwy::TargetName(row().target) : "none"; }

std::vector<std::string> simd_targets() {
  static const auto supported = (row(), targets(hwy::SupportedTargets()));
  return names(supported);
}

std::vector<std::string> compiled_simd_targets() { return names(targets(HWY_TARGETS)); }

void force_simd_target(const std::string& name) {
  if (name == "best") return row().use(0);
  simd_targets();  // before a forced one hides the others
  for (const std::int64_t target : targets(HWY_TARGETS)) {
    if (name != hwy::TargetName(target)) continue;
    for (const std::string& known : simd_targets()) {
      if (known == name) return row().use(target);
    }
  }
  std::string known;
  for (const std::string& target : simd_targets()) known += " " + target;
  fail("simd target: want 'best' or one of", known, ", got '", name, "'");
}

}  // namespace autodiff::kernels
