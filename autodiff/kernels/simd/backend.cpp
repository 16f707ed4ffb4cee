// The rows simd and winograd: Google Highway, with the instruction set chosen when it is first asked for.
#include <cstdlib>

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

// What this CPU has.
std::vector<std::int64_t> supported_targets() {
  static const auto supported = (hwy::SetSupportedTargetsForTest(0), targets(hwy::SupportedTargets()));
  return supported;
}

struct Row {
  Backend backend, winograd;
  std::int64_t target = 0;

  Row() {
    const char* const told = std::getenv("EV3_SIMD_TARGET");
    use(told && *told ? told : "best");
  }
  void use(const std::string& name) {
    target = find(name);
    backend = {.name = "simd"};
    winograd = {.name = "winograd"};
    if (!target) return;
    hwy::SetSupportedTargetsForTest(target);
    hwy::GetChosenTarget().Update(hwy::SupportedTargets());
    simd::add_matmul(backend);
    simd::add_conv2d(backend);
    simd::add_elementwise(backend);
    simd::add_pointwise(backend);
    simd::add_reduce(backend);
    simd::add_softmax(backend);
    simd::add_update(backend);
    simd::add_winograd(winograd);
  }

 private:
  // 0 for none. Throws Error for a name that is not one of this CPU's.
  static std::int64_t find(const std::string& name) {
    const auto supported = supported_targets();
    if (name == "none") return 0;
    if (name == "best") return supported.empty() ? 0 : supported.front();
    std::string known;
    for (const std::int64_t target : supported) {
      if (name == hwy::TargetName(target)) return target;
      known += std::string(", ") + hwy::TargetName(target);
    }
    fail("simd target: want best, none", known, ", got '", name, "'");
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

std::vector<std::string> simd_targets() { return names(supported_targets()); }

std::vector<std::string> compiled_simd_targets() { return names(targets(HWY_TARGETS)); }

void force_simd_target(const std::string& name) { row().use(name); }

}  // namespace autodiff::kernels
