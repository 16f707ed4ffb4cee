// What tests of kernels have in common: numbers, and the rows of the table.
#pragma once

#include <algorithm>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "autodiff/kernels/check.h"
#include "autodiff/kernels/cpu.h"
#include "autodiff/tensor/error.h"
#include "autodiff/tensor/random.h"
#include "tests/catch.h"

namespace tests {

using namespace autodiff;
using namespace autodiff::kernels;

/// n normal numbers, times `scale`.
inline std::vector<float> normal(std::size_t n, std::uint64_t stream, double scale = 1) {
  std::vector<float> out(n);
  const Random random{Seed{stream}};
  for (std::size_t i = 0; i < n; ++i) out[i] = static_cast<float>(scale * random.normal(i));
  return out;
}

/// The same bits, so that -0 is not 0 and NaN equals itself.
inline bool same(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() &&
         (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0);
}

/// Runs body with the simd row made for each instruction set in turn.
inline void for_each_target(const std::function<void(const Backend&, const std::string&)>& body) {
  const auto supported = simd_targets();
  const std::string before = simd_target();
  for (const std::string& target : compiled_simd_targets()) {
    if (std::find(supported.begin(), supported.end(), target) == supported.end()) {
      WARN("this CPU lacks " << target << ": not tested");
      continue;
    }
    force_simd_target(target);
    INFO("instruction set " << target);
    REQUIRE(simd_target() == target);
    body(*simd_backend(), target);
  }
  force_simd_target(before);
  if (supported.empty()) WARN("no simd row: nothing tested");
}

/// Every kernel of the row within its bound.
inline void check_all(const Backend& backend) {
  for (const KernelCheck& check : check_kernels(backend)) {
    INFO(check.backend << " " << check.kernel << " " << check.dims);
    INFO("error " << check.error << ", bound " << check.bound);
    CHECK(check.ok);
  }
}

}  // namespace tests
