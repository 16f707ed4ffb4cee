// Counter-based random numbers: value i of a stream is a pure function of (seed, i).
//
// Nothing here has a state to save: whoever knows the seed and a number's index can compute the number again,
// in any order, on any thread. All arithmetic is integer or IEEE double with +, -, *, / and sqrt, so every
// platform gets the same values (the standard library's distributions and logarithm do not promise that).
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "autodiff/tensor/philox.h"

namespace autodiff {

/// Where random numbers come from. One master seed has a named sub-stream for each purpose
/// (seed.stream("init"), seed.stream("explore").stream(3)), so that adding a purpose changes no other
/// numbers.
struct Seed {
  std::uint64_t value = 0;

  Seed stream(std::string_view name) const;
  Seed stream(std::uint64_t index) const;
  bool operator==(const Seed&) const = default;
};

/// The random numbers of one seed, by index.
class Random {
 public:
  explicit Random(Seed seed) : seed_(seed) {}

  /// 64 random bits.
  std::uint64_t bits(std::uint64_t index) const;
  /// Uniform in [0, 1), a multiple of 2^-53.
  double uniform(std::uint64_t index) const;
  /// Uniform in [low, high).
  double uniform(std::uint64_t index, double low, double high) const;
  /// Standard normal, by the inverse of its distribution function.
  double normal(std::uint64_t index) const;
  /// Standard normal restricted to [-limit, limit]; limit > 0.
  double truncated_normal(std::uint64_t index, double limit = 2) const;
  /// Uniform in 0 .. n-1; n > 0. (The bias is below n / 2^64.)
  std::uint64_t below(std::uint64_t index, std::uint64_t n) const;

 private:
  Seed seed_;
};

/// A random order of 0 .. n-1, without a table: element i in constant time and memory. A balanced Feistel
/// network on the next power of two, walked until the result is below n (Mitchell, Stokes, Frank, Holmes:
/// "Bandwidth-optimal random shuffling for GPUs", 2021, with eight rounds of a 32-bit mixer).
class Permutation {
 public:
  /// n from 0 to 2^31 - 1.
  Permutation(Seed seed, std::uint32_t n);
  /// Where element i goes; i < n. A bijection of 0 .. n-1.
  std::uint32_t operator()(std::uint32_t i) const;
  std::uint32_t size() const { return n_; }

 private:
  static constexpr int rounds = 8;
  std::array<std::uint32_t, rounds> keys_{};
  std::uint32_t n_;
  int low_bits_;
  std::uint32_t low_mask_, high_mask_;
};

/// The whole permutation as a table.
std::vector<int> permutation(Seed seed, int n);

/// Natural logarithm of a positive, finite, normal x, to about 2 ulp, the same bits everywhere.
double portable_log(double x);
/// The value below which a standard normal falls with probability p in (0, 1), to about 1e-15 relative
/// (Wichura, algorithm AS 241, 1988).
double normal_quantile(double p);
/// Standard normal distribution function; uses std::erfc, so its last bit may differ between platforms.
double normal_cdf(double x);

}  // namespace autodiff
