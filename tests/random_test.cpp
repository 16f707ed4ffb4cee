#include "autodiff/tensor/random.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <set>
#include <vector>

#include "autodiff/tensor/error.h"
#include "tests/catch.h"

using namespace autodiff;

namespace {

struct Moments {
  double mean = 0, variance = 0, skewness = 0, kurtosis = 0, low = 0, high = 0;
};

// Moments of draw(0) .. draw(n-1).
template <class Draw>
Moments moments(int n, const Draw& draw) {
  std::vector<double> x(static_cast<std::size_t>(n));
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = draw(i);
  Moments m;
  for (const double v : x) m.mean += v / n;
  double third = 0, fourth = 0;
  for (const double v : x) {
    const double d = v - m.mean;
    m.variance += d * d / n;
    third += d * d * d / n;
    fourth += d * d * d * d / n;
  }
  m.skewness = third / std::pow(m.variance, 1.5);
  m.kurtosis = fourth / (m.variance * m.variance);
  m.low = *std::min_element(x.begin(), x.end());
  m.high = *std::max_element(x.begin(), x.end());
  return m;
}

// The sum of (observed - expected)^2 / expected: about cells - 1, with standard deviation sqrt(2 (cells -
// 1)).
double chi_square(const std::vector<int>& observed, double expected) {
  double sum = 0;
  for (const int count : observed) sum += (count - expected) * (count - expected) / expected;
  return sum;
}

}  // namespace

TEST_CASE("Philox gives the published vectors") {
  // kat_vectors of Random123, philox4x32 10.
  using Words = std::array<std::uint32_t, 4>;
  CHECK(philox({0, 0, 0, 0}, {0, 0}) == Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
  CHECK(philox({~0u, ~0u, ~0u, ~0u}, {~0u, ~0u}) == Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
  CHECK(philox({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}) ==
        Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
}

TEST_CASE("bits are Philox's words in order") {
  const Random random(Seed{0});
  CHECK(random.bits(0) == 0xe169c58d6627e8d5u);
  CHECK(random.bits(1) == 0x9b00dbd8bc57ac4cu);
}

TEST_CASE("random numbers are the same on every platform") {
  // Written down from x86-64; a platform on which these differ would train another network.
  const Random random(Seed{42}.stream("test"));
  CHECK(Seed{42}.stream("test").value == 0xe055e860141c6be9u);
  CHECK(Seed{42}.stream(7).value == 0xbe78568c99eeae82u);
  CHECK(random.bits(5) == 0xf692bf0abeb7f15eu);
  CHECK(random.uniform(0) == 0x1.8e54339a51a9dp-1);
  CHECK(random.normal(0) == 0x1.87e3c3f09ec2dp-1);
  CHECK(random.normal(3) == -0x1.27fb8ad0b1b34p+0);
  CHECK(random.normal(2037) == -0x1.03a0903d10132p+2);  // in the tail, through the logarithm
  CHECK(random.truncated_normal(0) == 0x1.7278e008af5dp-1);
  CHECK(random.below(0, 1000) == 777);
  CHECK(permutation(Seed{42}, 12) == std::vector<int>{5, 4, 6, 7, 3, 11, 0, 10, 2, 9, 1, 8});
}

TEST_CASE("sub-streams differ by name, index and seed, and do not depend on each other") {
  std::set<std::uint64_t> seeds;
  for (const std::uint64_t master : {0u, 1u, 2u}) {
    for (const char* name : {"", "init", "explore", "assess", "adapt"})
      seeds.insert(Seed{master}.stream(name).value);
    for (std::uint64_t i = 0; i < 1000; ++i) seeds.insert(Seed{master}.stream(i).value);
  }
  CHECK(seeds.size() == 3 * 1005);
  CHECK(Seed{1}.stream("init") == Seed{1}.stream("init"));
  CHECK(Seed{1}.stream("a").stream("b") != Seed{1}.stream("b").stream("a"));
}

TEST_CASE("uniform numbers fill [0, 1) evenly") {
  const Random random(Seed{7});
  constexpr int n = 100000, cells = 100;
  const Moments m = moments(n, [&](std::uint64_t i) { return random.uniform(i); });
  CHECK(m.low >= 0);
  CHECK(m.high < 1);
  CHECK(m.mean == Approx(0.5).margin(4 * std::sqrt(1 / 12.0 / n)));  // four standard errors
  std::vector<int> counts(cells);
  for (std::uint64_t i = 0; i < n; ++i) ++counts[static_cast<std::size_t>(random.uniform(i) * cells)];
  CHECK(chi_square(counts, double(n) / cells) == Approx(cells - 1).margin(4 * std::sqrt(2.0 * (cells - 1))));

  const Moments scaled = moments(1000, [&](std::uint64_t i) { return random.uniform(i, -3, 5); });
  CHECK(scaled.low >= -3);
  CHECK(scaled.high < 5);
  CHECK(scaled.high - scaled.low > 7.9);
}

TEST_CASE("below reaches every number and nothing else") {
  const Random random(Seed{8});
  std::vector<int> counts(7);
  for (std::uint64_t i = 0; i < 70000; ++i) ++counts.at(random.below(i, 7));
  CHECK(chi_square(counts, 10000) < 6 + 4 * std::sqrt(12.0));
  CHECK(random.below(3, 1) == 0);
}

TEST_CASE("normal numbers have the moments of the normal distribution") {
  const Random random(Seed{9});
  constexpr int n = 200000;
  const Moments m = moments(n, [&](std::uint64_t i) { return random.normal(i); });
  // Four standard errors of each: 1/n, 2/n, 6/n, 24/n.
  CHECK(m.mean == Approx(0).margin(4 * std::sqrt(1.0 / n)));
  CHECK(m.variance == Approx(1).margin(4 * std::sqrt(2.0 / n)));
  CHECK(m.skewness == Approx(0).margin(4 * std::sqrt(6.0 / n)));
  CHECK(m.kurtosis == Approx(3).margin(4 * std::sqrt(24.0 / n)));
  CHECK(m.high > 3.8);  // the tails are there
  CHECK(m.low < -3.8);
}

TEST_CASE("truncated normal numbers stay inside the limit") {
  const Random random(Seed{10});
  constexpr int n = 100000;
  const Moments two = moments(n, [&](std::uint64_t i) { return random.truncated_normal(i); });
  CHECK(two.low >= -2);
  CHECK(two.high <= 2);
  CHECK(two.mean == Approx(0).margin(4 * std::sqrt(0.774 / n)));
  CHECK(std::sqrt(two.variance) == Approx(0.8796256610342398).margin(4 * 0.88 / std::sqrt(2.0 * n)));
  const Moments one = moments(n, [&](std::uint64_t i) { return random.truncated_normal(i, 1); });
  CHECK(one.low >= -1);
  CHECK(one.high <= 1);
  CHECK(one.high > 0.999);
  CHECK(std::sqrt(one.variance) == Approx(0.5396).margin(0.005));
}

TEST_CASE("a permutation is one, for every size") {
  for (const int n : {0, 1, 2, 3, 63, 64, 65, 100, 1000, 1797}) {
    std::vector<int> sorted = permutation(Seed{3}, n);
    std::sort(sorted.begin(), sorted.end());
    std::vector<int> want(static_cast<std::size_t>(n));
    std::iota(want.begin(), want.end(), 0);
    CHECK(sorted == want);
  }
  const Permutation largest(Seed{1}, 0x7fffffffu);  // without a table: the ends of the largest
  CHECK(largest(0) < 0x7fffffffu);
  CHECK(largest(0x7ffffffeu) < 0x7fffffffu);
  CHECK_THROWS_WITH(Permutation(Seed{1}, 0x80000000u), ContainsSubstring("2^31"));
  CHECK_THROWS_WITH(permutation(Seed{1}, -1), ContainsSubstring("-1"));
}

TEST_CASE("permutations look random: positions, neighbours, fixed points") {
  constexpr int n = 10, trials = 20000;
  std::vector<int> places(n * n), steps(n);
  double fixed_points = 0;
  for (std::uint64_t t = 0; t < trials; ++t) {
    const std::vector<int> p = permutation(Seed{5}.stream(t), n);
    for (int i = 0; i < n; ++i) {
      const int at = p[static_cast<std::size_t>(i)];
      ++places[static_cast<std::size_t>(i * n + at)];
      fixed_points += at == i;
      if (i > 0) ++steps[static_cast<std::size_t>((at - p[static_cast<std::size_t>(i) - 1] + n) % n)];
    }
  }
  // Element i is at each place equally often: (n-1)^2 degrees of freedom.
  CHECK(chi_square(places, trials / n) ==
        Approx((n - 1) * (n - 1)).margin(4 * std::sqrt(2.0 * (n - 1) * (n - 1))));
  CHECK(fixed_points / trials == Approx(1).margin(4 / std::sqrt(trials)));  // Poisson with mean 1
  // The step to the next element, modulo n, is each of 1 .. n-1 equally often, and never 0.
  CHECK(steps[0] == 0);
  steps.erase(steps.begin());
  CHECK(chi_square(steps, trials) < (n - 2) + 4 * std::sqrt(2.0 * (n - 2)));
}

TEST_CASE("long permutations have no trend") {
  constexpr int n = 100000;
  for (const std::uint64_t seed : {1u, 2u, 3u}) {
    const std::vector<int> p = permutation(Seed{seed}, n);
    double with_index = 0, with_next = 0;  // correlations; standard error 1/sqrt(n)
    const double middle = (n - 1) / 2.0, variance = (double(n) * n - 1) / 12;
    for (std::size_t i = 0; i < n; ++i) {
      with_index += (p[i] - middle) * (static_cast<double>(i) - middle) / variance / n;
      if (i + 1 < n) with_next += (p[i] - middle) * (p[i + 1] - middle) / variance / n;
    }
    CHECK(std::fabs(with_index) < 4 / std::sqrt(n));
    CHECK(std::fabs(with_next) < 4 / std::sqrt(n));
  }
}

TEST_CASE("portable_log agrees with std::log") {
  for (double x = 1e-300; x < 1e300; x *= 1.7) {
    // 4 ulp of the result, or of 1 where the result is near 0.
    CHECK(portable_log(x) == Approx(std::log(x)).epsilon(1e-15).margin(1e-15));
  }
  CHECK(portable_log(1) == 0);
}

TEST_CASE("normal_quantile inverts the distribution function") {
  CHECK(normal_quantile(0.5) == 0);
  CHECK(normal_quantile(0.975) == Approx(1.959963984540054).epsilon(1e-14));
  CHECK(normal_quantile(1e-10) == Approx(-6.361340902404056).epsilon(1e-14));
  for (const double p : {1e-300, 1e-20, 1e-5, 0.01, 0.075, 0.3, 0.7, 0.99}) {
    // The relative error of p is about |x| times that of x times |x|: 1e-15 x^2, below 2e-12 here.
    CHECK(normal_cdf(normal_quantile(p)) == Approx(p).epsilon(3e-12));
    if (p > 0.001) CHECK(normal_quantile(1 - p) == Approx(-normal_quantile(p)).epsilon(1e-12));
  }
}
