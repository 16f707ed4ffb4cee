// What the CPU offers and what was chosen for it: for logs, for `ev3 doctor`, and for tests.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace autodiff::kernels {

/// "AMD EPYC 9B14", from the operating system; the architecture where it does not say.
std::string cpu_name();
/// The vector extensions that matter here, "SSE4.2 AVX2 FMA AVX-512"; "none known" elsewhere.
std::string cpu_features();

/// Bytes of a core's first-level cache for data; 0 where the system does not say.
std::size_t first_level_cache();
/// And of its second-level cache.
std::size_t second_level_cache();

/// The instruction set of the simd row: "AVX3" is Highway's name for AVX-512; "none" where the row is absent.
/// It is the best one of this CPU, unless the environment variable EV3_SIMD_TARGET names another, or none:
/// then whatever asks for the rows first throws Error for a name that is not one of simd_targets().
std::string simd_target();
/// All that were compiled and that this CPU can run, best first; empty where the row is absent.
std::vector<std::string> simd_targets();
/// All that were compiled, also those which this CPU lacks.
std::vector<std::string> compiled_simd_targets();
/// The most FLOP/s of one core by multiply-adds of the simd row's instruction set, measured in some 50 ms; 0
/// where there is no such row.
double measure_flops();
/// Rewrites the simd row for one of simd_targets(), or for the best one ("best"), or takes it away ("none").
/// For tests, with no program running; programs that are compiled already keep their kernels. Throws Error
/// for any other name.
void force_simd_target(const std::string& name);

/// The BLAS that is linked, and whether it can be trusted with this CPU.
struct BlasInfo {
  std::string core;    ///< the CPU for which it chose its kernels, "Cooperlake"; "none" without BLAS
  std::string config;  ///< version and build options
  int threads = 0;     ///< that it may use: always 1
  bool older_than_cpu = false;
  std::string warning;  ///< "" or what is wrong and what to do about it
};
BlasInfo blas_info();
/// Whether OpenBLAS's kernels for `core` ("Haswell") leave out vectors that a CPU with `features` (as
/// cpu_features() lists them) has.
bool is_older_core(std::string_view core, std::string_view features);

}  // namespace autodiff::kernels
