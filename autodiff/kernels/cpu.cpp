#include "autodiff/kernels/cpu.h"

#include <fstream>
#include <string_view>
#include <utility>

#include "autodiff/tensor/error.h"

#if defined(__unix__) || defined(__APPLE__)
#include <sys/utsname.h>
#include <unistd.h>
#endif

namespace autodiff::kernels {
namespace {

// The value of the first line of /proc/cpuinfo that starts with `key`, "" without one.
std::string cpuinfo(std::string_view key) {
  std::ifstream in("/proc/cpuinfo");
  for (std::string line; std::getline(in, line);) {
    const auto colon = line.find(':');
    if (colon == line.npos || line.compare(0, key.size(), key) != 0) continue;
    const auto value = line.find_first_not_of(" \t", colon + 1);
    return value == line.npos ? "" : line.substr(value);
  }
  return "";
}

}  // namespace

std::string cpu_name() {
  for (const char* key : {"model name", "Model", "Hardware", "cpu"}) {
    if (std::string name = cpuinfo(key); !name.empty()) return name;
  }
#if defined(__unix__) || defined(__APPLE__)
  utsname system;
  if (uname(&system) == 0) return system.machine;
#endif
  return "unknown";
}

#if defined(_SC_LEVEL1_DCACHE_SIZE) && defined(_SC_LEVEL2_CACHE_SIZE)
static std::size_t cache_size(int name) {
  const long bytes = sysconf(name);
  return bytes > 0 ? static_cast<std::size_t>(bytes) : 0;
}
std::size_t first_level_cache() {
  static const std::size_t bytes = cache_size(_SC_LEVEL1_DCACHE_SIZE);
  return bytes;
}
std::size_t second_level_cache() {
  static const std::size_t bytes = cache_size(_SC_LEVEL2_CACHE_SIZE);
  return bytes;
}
#else
std::size_t first_level_cache() { return 0; }
std::size_t second_level_cache() { return 0; }
#endif

std::string cpu_features() {
  std::string out;
  const auto add = [&](bool has, const char* name) {
    if (!has) return;
    if (!out.empty()) out += ' ';
    out += name;
  };
#if defined(__x86_64__) || defined(__i386__)
  add(__builtin_cpu_supports("sse4.2"), "SSE4.2");
  add(__builtin_cpu_supports("avx"), "AVX");
  add(__builtin_cpu_supports("avx2"), "AVX2");
  add(__builtin_cpu_supports("fma"), "FMA");
  add(__builtin_cpu_supports("avx512f"), "AVX-512");
#elif defined(__aarch64__)
  add(true, "NEON");
#endif
  add(out.empty(), "none known");
  return out;
}

bool is_older_core(std::string_view core, std::string_view features) {
  // The widest vectors of OpenBLAS's x86 cores; those not named have SSE at most.
  constexpr std::pair<std::string_view, int> cores[] = {
      {"SapphireRapids", 3}, {"Sapphirerapids", 3}, {"Cooperlake", 3},  {"SkylakeX", 3},   {"Zen", 2},
      {"Haswell", 2},        {"Excavator", 2},      {"Steamroller", 1}, {"Piledriver", 1}, {"Bulldozer", 1},
      {"Sandybridge", 1}};
  const auto has = [&](std::string_view feature) { return features.find(feature) != features.npos; };
  const int cpu = has("AVX-512") ? 3 : has("AVX2") && has("FMA") ? 2 : has("AVX") ? 1 : 0;
  for (const auto& [name, level] : cores) {
    if (core == name) return level < cpu;
  }
  return cpu > 0;
}

#if !EV3_HAVE_HIGHWAY
std::string simd_target() { return "none"; }
std::vector<std::string> simd_targets() { return {}; }
std::vector<std::string> compiled_simd_targets() { return {}; }
void force_simd_target(const std::string& name) {
  if (name != "best" && name != "none") fail("simd target: built without Highway, there is no '", name, "'");
}
#endif
#if !EV3_HAVE_BLAS
BlasInfo blas_info() { return {.core = "none", .config = "built without BLAS", .warning = ""}; }
#endif

}  // namespace autodiff::kernels
