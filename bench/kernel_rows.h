// Rows of benchmarks of single kernels: numbers, a check of what is timed, rates.
#pragma once

#include <benchmark/benchmark.h>

#include <chrono>
#include <cmath>
#include <iostream>
#include <string>
#include <vector>

#include "autodiff/kernels/backend.h"
#include "autodiff/kernels/cpu.h"
#include "autodiff/tensor/buffer.h"
#include "autodiff/tensor/error.h"
#include "autodiff/tensor/random.h"

namespace bench {

using namespace autodiff;
using namespace autodiff::kernels;

inline AlignedBuffer<float> normal(std::size_t n, std::uint64_t stream) {
  AlignedBuffer<float> out(n);
  const Random random{Seed{stream}};
  for (std::size_t i = 0; i < n; ++i) out[i] = static_cast<float>(random.normal(i));
  return out;
}

inline std::vector<double> doubles(const AlignedBuffer<float>& x) { return {x.begin(), x.end()}; }

// Largest error over largest value; kernels_test.cpp has the sharp bounds.
inline bool wrong(benchmark::State& state, const AlignedBuffer<float>& got, const std::vector<double>& want) {
  double error = 0, scale = 1e-30;
  for (std::size_t i = 0; i < want.size(); ++i) {
    error = std::max(error, std::abs(static_cast<double>(got[i]) - want[i]));
    scale = std::max(scale, std::abs(want[i]));
  }
  if (error <= 1e-5 * scale) return false;
  state.SkipWithError(("wrong by " + std::to_string(error / scale)).c_str());
  return true;
}

/// What the CPU's multiply-adds give, measured once; 0 without vectors.
inline double peak() {
  static const double measured = measure_flops();
  return measured;
}

/// Times `run`, which does so many operations.
template <class Run>
void time_operations(benchmark::State& state, double flops, const Run& run) {
  const auto start = std::chrono::steady_clock::now();
  for (auto _ : state) {
    run();
    benchmark::ClobberMemory();
  }
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  const double rate = flops * static_cast<double>(state.iterations()) / seconds.count();
  state.counters["FLOP/s"] = rate;
  if (peak() > 0) state.counters["of peak"] = rate / peak();
}

inline void bytes_per_second(benchmark::State& state, std::size_t floats) {
  state.counters["B/s"] = benchmark::Counter(static_cast<double>(floats * sizeof(float)),
                                             benchmark::Counter::kIsIterationInvariantRate);
}

/// The row "WHAT/BACKEND": f(state, backend, args...).
template <class F, class... Args>
void add_row(const std::string& what, const Backend& row, F f, Args... args) {
  benchmark::RegisterBenchmark((what + "/" + std::string(row.name)).c_str(),
                               [=, &row](benchmark::State& state) { f(state, row, args...); });
}

/// Prints what the CPU is and can do, and runs what `add` adds.
template <class Add>
int run_rows(int argc, char** argv, const Add& add) {
  const BlasInfo blas = blas_info();
  std::cout << cpu_name() << ": " << cpu_features() << "; simd " << simd_target() << "; BLAS core "
            << blas.core << "; multiply-adds " << std::round(peak() * 1e-8) / 10 << " GFLOP/s a thread\n";
  if (!blas.warning.empty()) std::cout << blas.warning << "\n";
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  add();
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}

}  // namespace bench
