#include "ev3/confidence.h"

#include <cmath>
#include <limits>

#include "autodiff/tensor/random.h"
#include "tests/catch.h"
#include "tests/files.h"

using ev3::Bounds;
using ev3::bounds;

namespace {

// The definition, in long double: mean and sd with n - 1 in two passes; only the root of n is float's.
Bounds definition(const std::vector<double>& values, double alpha) {
  const auto n = static_cast<long double>(values.size());
  long double sum = 0, squares = 0;
  for (const double v : values) sum += v;
  for (const double v : values) squares += (v - sum / n) * (v - sum / n);
  const long double root = std::sqrt(static_cast<float>(values.size()));
  const long double error = std::sqrt(squares / (n - 1)) / root;
  return {static_cast<double>(sum / n), static_cast<double>(sum / n - alpha * error),
          static_cast<double>(sum / n + alpha * error)};
}

void check_close(const Bounds& got, const Bounds& want) {
  CHECK(got.mean == Approx(want.mean).epsilon(1e-14).margin(1e-15));
  CHECK(got.lcb == Approx(want.lcb).epsilon(1e-13).margin(1e-14));
  CHECK(got.ucb == Approx(want.ucb).epsilon(1e-13).margin(1e-14));
}

std::vector<double> hits(int ones, int n) {
  std::vector<double> values(static_cast<std::size_t>(n), 0.0);
  for (int i = 0; i < ones; ++i) values[static_cast<std::size_t>(i)] = 1;
  return values;
}

}  // namespace

TEST_CASE("bounds are mean and standard error") {
  const Bounds b = bounds(std::vector<double>{1, 2, 3, 6}, 2);  // sd = sqrt(14 / 3), root of n = 2
  CHECK(b.mean == 3);
  CHECK(b.lcb == Approx(3 - std::sqrt(14.0 / 3)));
  CHECK(b.ucb == Approx(3 + std::sqrt(14.0 / 3)));
  const Bounds none = bounds(std::vector<double>{1, 2, 3, 6}, 0);
  CHECK(none.lcb == 3);
  CHECK(none.ucb == 3);
}

TEST_CASE("bounds of hits and misses by counts equal the general formula") {
  for (const int n : {2, 3, 10, 31, 128, 2048}) {
    for (int ones = 0; ones <= n; ones += 1 + n / 9) {
      INFO(ones << " of " << n);
      check_close(bounds(hits(ones, n), 1.96), definition(hits(ones, n), 1.96));
    }
  }
}

TEST_CASE("bounds of other values equal the general formula") {
  const autodiff::Random random(autodiff::Seed{3});
  for (const std::size_t n : {2u, 5u, 100u, 1001u}) {
    std::vector<double> values(n);
    for (std::size_t i = 0; i < n; ++i) values[i] = 10 + random.normal(i);
    check_close(bounds(values, 0.5), definition(values, 0.5));
  }
}

TEST_CASE("the order of hits does not change a bit") {
  const int n = 1000;
  std::vector<double> values = hits(333, n);
  const Bounds sorted = bounds(values, 0.7);
  for (std::uint64_t shuffle = 0; shuffle < 20; ++shuffle) {
    const std::vector<int> order = autodiff::permutation(autodiff::Seed{shuffle}, n);
    std::vector<double> shuffled;
    for (const int i : order) shuffled.push_back(values[static_cast<std::size_t>(i)]);
    CHECK(bounds(shuffled, 0.7) == sorted);
  }
}

TEST_CASE("all hits or all misses leave no width") {
  CHECK(bounds(hits(0, 7), 4) == Bounds{0, 0, 0});
  CHECK(bounds(hits(7, 7), 4) == Bounds{1, 1, 1});
}

TEST_CASE("the root of n is float's") {
  const int n = 2047;  // its root is not representable
  const Bounds b = bounds(hits(1000, n), 1);
  const double sd = std::sqrt(1000.0 * 1047 / n / (n - 1));
  CHECK(b.ucb - b.mean ==
        Approx(sd / static_cast<double>(std::sqrt(static_cast<float>(n)))).epsilon(1e-12).margin(0));
  // It differs from the double's by more than this test's tolerance.
  CHECK(std::abs(static_cast<double>(std::sqrt(static_cast<float>(n))) / std::sqrt(2047.0) - 1) > 1e-9);
}

TEST_CASE("a metric that is no vector of finite numbers is refused") {
  CHECK_THAT(error_of([] { bounds({}, 1); }), ContainsSubstring("at least two, got 0"));
  CHECK_THAT(error_of([] { bounds(std::vector<double>{1}, 1); }), ContainsSubstring("at least two, got 1"));
  for (const double bad :
       {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()}) {
    CHECK_THAT(error_of([&] { bounds(std::vector<double>{1, bad, 0}, 1); }), ContainsSubstring("finite"));
  }
}
