#include "autodiff/tensor/random.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "autodiff/tensor/error.h"

namespace autodiff {
namespace {

std::uint64_t join(std::uint32_t low, std::uint32_t high) {
  return low | static_cast<std::uint64_t>(high) << 32;
}

std::array<std::uint32_t, 2> split(std::uint64_t x) {
  return {static_cast<std::uint32_t>(x), static_cast<std::uint32_t>(x >> 32)};
}

// The high word of a 64 x 64 bit product, from 32-bit pieces.
std::uint64_t multiply_high(std::uint64_t a, std::uint64_t b) {
  const std::uint64_t a0 = a & 0xffffffffu, a1 = a >> 32, b0 = b & 0xffffffffu, b1 = b >> 32;
  const std::uint64_t low = a0 * b0, middle = a1 * b0 + (low >> 32);
  const std::uint64_t carry = a0 * b1 + (middle & 0xffffffffu);
  return a1 * b1 + (middle >> 32) + (carry >> 32);
}

// The finalizer of MurmurHash3: every input bit changes every output bit with probability one half.
std::uint32_t mix(std::uint32_t x) {
  x = (x ^ (x >> 16)) * 0x85ebca6bu;
  x = (x ^ (x >> 13)) * 0xc2b2ae35u;
  return x ^ (x >> 16);
}

template <std::size_t N>
double polynomial(const std::array<double, N>& highest_first, double x) {
  double sum = 0;
  for (const double c : highest_first) sum = sum * x + c;
  return sum;
}

}  // namespace

Seed Seed::stream(std::string_view name) const {
  std::uint64_t hash = 0xcbf29ce484222325;  // FNV-1a
  for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  return stream(hash);
}

Seed Seed::stream(std::uint64_t index) const {
  const auto [low, high] = split(index);
  // The last counter words keep derived seeds apart from the numbers drawn with the same key (which have 0
  // there).
  const auto words = philox({low, high, 0x73656564, 1}, split(value));
  return Seed{join(words[0], words[1])};
}

std::uint64_t Random::bits(std::uint64_t index) const {
  const auto [low, high] = split(index / 2);
  const auto words = philox({low, high, 0, 0}, split(seed_.value));
  return index % 2 ? join(words[2], words[3]) : join(words[0], words[1]);
}

double Random::uniform(std::uint64_t index) const { return static_cast<double>(bits(index) >> 11) * 0x1p-53; }

double Random::uniform(std::uint64_t index, double low, double high) const {
  return low + (high - low) * uniform(index);
}

double Random::normal(std::uint64_t index) const {
  return normal_quantile((static_cast<double>(bits(index) >> 12) + 0.5) * 0x1p-52);  // never 0, never 1
}

double Random::truncated_normal(std::uint64_t index, double limit) const {
  const double tail = limit == 2 ? 0.02275013194817921 : normal_cdf(-limit);  // the usual one without erfc
  const double u = (static_cast<double>(bits(index) >> 12) + 0.5) * 0x1p-52;
  return normal_quantile(tail + (1 - 2 * tail) * u);
}

std::uint64_t Random::below(std::uint64_t index, std::uint64_t n) const {
  return multiply_high(bits(index), n);
}

Permutation::Permutation(Seed seed, std::uint32_t n) : n_(n) {
  if (n > 0x7fffffffu) fail("permutation: want at most 2^31 - 1 elements, got ", n);
  const int bits = std::max(6, n < 2 ? 0 : static_cast<int>(std::bit_width(n - 1)));
  low_bits_ = bits / 2;
  low_mask_ = (1u << low_bits_) - 1;
  high_mask_ = (1u << (bits - low_bits_)) - 1;
  const Random random(seed);
  for (std::size_t r = 0; r < rounds; ++r) keys_[r] = static_cast<std::uint32_t>(random.bits(r));
}

std::uint32_t Permutation::operator()(std::uint32_t i) const {
  do {
    std::uint32_t low = i & low_mask_, high = i >> low_bits_;
    for (std::size_t r = 0; r < rounds; r += 2) {
      low ^= mix(high ^ keys_[r]) & low_mask_;
      high ^= mix(low ^ keys_[r + 1]) & high_mask_;
    }
    i = high << low_bits_ | low;
  } while (i >= n_);
  return i;
}

std::vector<int> permutation(Seed seed, int n) {
  if (n < 0) fail("permutation: want at least 0 elements, got ", n);
  const Permutation order(seed, static_cast<std::uint32_t>(n));
  std::vector<int> out(static_cast<std::size_t>(n));
  for (std::size_t i = 0; i < out.size(); ++i) {
    out[i] = static_cast<int>(order(static_cast<std::uint32_t>(i)));
  }
  return out;
}

double portable_log(double x) {
  // x = m 2^e with m in [sqrt(1/2), sqrt(2)); log m = 2 atanh(s), s = (m-1)/(m+1), |s| < 0.1716.
  int exponent = 0;
  double m = std::frexp(x, &exponent);
  if (m < 0.70710678118654752) {
    m *= 2;
    --exponent;
  }
  const double s = (m - 1) / (m + 1), square = s * s;
  double sum = 0;
  for (int k = 23; k >= 3; k -= 2) sum = sum * square + 1.0 / k;
  const double log_m = 2 * s + 2 * s * square * sum;
  return exponent * 0.69314718055994531 + log_m;
}

double normal_quantile(double p) {
  const double q = p - 0.5;
  if (std::fabs(q) <= 0.425) {
    const double r = 0.180625 - q * q;
    return q *
           polynomial<8>({2.5090809287301226727e+3, 3.3430575583588128105e+4, 6.7265770927008700853e+4,
                          4.5921953931549871457e+4, 1.3731693765509461125e+4, 1.9715909503065514427e+3,
                          1.3314166789178437745e+2, 3.3871328727963666080e+0},
                         r) /
           polynomial<8>({5.2264952788528545610e+3, 2.8729085735721942674e+4, 3.9307895800092710610e+4,
                          2.1213794301586595867e+4, 5.3941960214247511077e+3, 6.8718700749205790830e+2,
                          4.2313330701600911252e+1, 1.0},
                         r);
  }
  double r = std::sqrt(-portable_log(q < 0 ? p : 1 - p));
  double x = 0;
  if (r <= 5) {
    r -= 1.6;
    x = polynomial<8>({7.74545014278341407640e-4, 2.27238449892691845833e-2, 2.41780725177450611770e-1,
                       1.27045825245236838258e+0, 3.64784832476320460504e+0, 5.76949722146069140550e+0,
                       4.63033784615654529590e+0, 1.42343711074968357734e+0},
                      r) /
        polynomial<8>({1.05075007164441684324e-9, 5.47593808499534494600e-4, 1.51986665636164571966e-2,
                       1.48103976427480074590e-1, 6.89767334985100004550e-1, 1.67638483018380384940e+0,
                       2.05319162663775882187e+0, 1.0},
                      r);
  } else {
    r -= 5;
    x = polynomial<8>({2.01033439929228813265e-7, 2.71155556874348757815e-5, 1.24266094738807843860e-3,
                       2.65321895265761230930e-2, 2.96560571828504891230e-1, 1.78482653991729133580e+0,
                       5.46378491116411436990e+0, 6.65790464350110377720e+0},
                      r) /
        polynomial<8>({2.04426310338993978564e-15, 1.42151175831644588870e-7, 1.84631831751005468180e-5,
                       7.86869131145613259100e-4, 1.48753612908506148525e-2, 1.36929880922735805310e-1,
                       5.99832206555887937690e-1, 1.0},
                      r);
  }
  return q < 0 ? -x : x;
}

double normal_cdf(double x) { return 0.5 * std::erfc(-x / std::sqrt(2.0)); }

}  // namespace autodiff
