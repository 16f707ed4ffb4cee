// A ladder: the same product by one backend after the other, each checked, with its share of what the CPU can
// do.
#pragma once

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <limits>
#include <string>
#include <vector>

#include "autodiff/kernels/cpu.h"
#include "autodiff/tensor/error.h"
#include "autodiff/tensor/random.h"

namespace bench {

inline std::vector<float> normal(std::size_t n, std::uint64_t stream) {
  std::vector<float> out(n);
  const autodiff::Random random{autodiff::Seed{stream}};
  for (std::size_t i = 0; i < n; ++i) out[i] = static_cast<float>(random.normal(i));
  return out;
}

/// Prints a line per rung.
class Ladder {
 public:
  /// `what` is computed with so many operations. Results must be within `tolerance` of `want`, relative to
  /// its greatest element.
  Ladder(const std::string& what, double flops, std::vector<double> want, double tolerance)
      : flops_(flops),
        want_(std::move(want)),
        tolerance_(tolerance),
        peak_(autodiff::kernels::measure_flops()) {
    std::printf("%s, %.4g MFLOP, one thread; multiply-adds alone: %.1f GFLOP/s\n", what.c_str(), flops * 1e-6,
                peak_ * 1e-9);
    std::printf("%-12s %12s %9s %9s %11s %9s\n", "rung", "best ms", "GFLOP/s", "of peak", "times faster",
                "error");
  }

  /// run(y) computes; `note` follows the figures. Throws Error for a wrong result.
  template <class Run>
  void rung(const std::string& name, Run run, const char* note = "") {
    std::vector<float> y(want_.size(), std::numeric_limits<float>::quiet_NaN());
    run(y.data());
    double off = 0, top = 0;
    for (std::size_t i = 0; i < y.size(); ++i) {
      const double error = std::abs(static_cast<double>(y[i]) - want_[i]);
      if (!(error <= off)) off = error;
      top = std::max(top, std::abs(want_[i]));
    }
    if (!(off <= tolerance_ * top)) autodiff::fail(name, ": ", off, " off where the greatest is ", top);
    using Clock = std::chrono::steady_clock;
    double best = std::numeric_limits<double>::infinity(), total = 0;
    for (int i = 0; i < 1000 && (total < 0.5 || i < 3); ++i) {
      const auto start = Clock::now();
      run(y.data());
      const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
      best = std::min(best, seconds);
      total += seconds;
    }
    const double rate = flops_ / best;
    std::printf("%-12s %12.4f %9.1f %8.1f%% %11.1fx %9.1e%s%s\n", name.c_str(), best * 1e3, rate * 1e-9,
                peak_ > 0 ? 100 * rate / peak_ : 0.0, before_ > 0 ? before_ / best : 1.0,
                top > 0 ? off / top : 0.0, *note ? "  " : "", note);
    before_ = best;
  }

 private:
  double flops_;
  std::vector<double> want_;
  double tolerance_, peak_, before_ = 0;
};

/// The numbers after the program's name, or these. Throws Error for anything else.
inline std::vector<int> sizes(int argc, char** argv, std::vector<int> otherwise, const char* usage) {
  if (argc == 1) return otherwise;
  std::vector<int> out;
  for (int i = 1; i < argc; ++i) {
    char* end = nullptr;
    const long value = std::strtol(argv[i], &end, 10);
    if (*end != '\0' || value < 1 || value > 100000) autodiff::fail("want ", usage, ", got ", argv[i]);
    out.push_back(static_cast<int>(value));
  }
  if (out.size() != otherwise.size()) autodiff::fail("want ", usage, ", got ", out.size(), " numbers");
  return out;
}

}  // namespace bench
