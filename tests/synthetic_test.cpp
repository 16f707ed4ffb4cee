#include "datasets/synthetic.h"

#include <cmath>
#include <numbers>
#include <set>

#include "tests/catch.h"

using namespace datasets;

TEST_CASE("gaussian: standard normal features, two even halves by a line through the origin") {
  const Dataset data = gaussian({.samples = 50000, .seed = 3});
  check(data);
  CHECK(data.sample() == autodiff::Shape{2});
  CHECK(data.classes == 2);
  // Half the samples, within four standard errors.
  CHECK(class_counts(data)[1] == Approx(25000).margin(4 * std::sqrt(50000 / 4.0)));
  double sum = 0, squares = 0, product = 0;
  for (std::size_t i = 0; i < 50000; ++i) {
    const double x = data.features[2 * i], y = data.features[2 * i + 1];
    sum += x + y;
    squares += x * x + y * y;
    product += x * y;
  }
  CHECK(sum / 100000 == Approx(0).margin(4 / std::sqrt(100000)));
  CHECK(squares / 100000 == Approx(1).margin(4 * std::sqrt(2.0 / 100000)));
  CHECK(product / 50000 == Approx(0).margin(4 / std::sqrt(50000)));
  // Separable: the mean of class 1 is the normal of the line.
  double dx = 0, dy = 0;
  for (std::size_t i = 0; i < 50000; ++i) {
    if (data.labels[i] == 1) dx += data.features[2 * i], dy += data.features[2 * i + 1];
  }
  int wrong = 0;
  for (std::size_t i = 0; i < 50000; ++i) {
    wrong += (dx * data.features[2 * i] + dy * data.features[2 * i + 1] > 0) != (data.labels[i] == 1);
  }
  CHECK(wrong < 500);  // the mean's direction is within a percent or so
}

TEST_CASE("gaussian: more labels are the sectors of the angle") {
  for (const int labels : {3, 4, 5, 12}) {
    const Dataset data = gaussian({.samples = 20000, .labels = labels, .seed = 4});
    int wrong = 0;
    for (std::size_t i = 0; i < 20000; ++i) {
      const double angle = std::atan2(data.features[2 * i + 1], data.features[2 * i]);  // -pi .. pi
      const double turns = (angle / std::numbers::pi + 1) / 2;
      wrong += data.labels[i] != std::min(labels - 1, static_cast<int>(turns * labels));
    }
    CHECK(wrong == 0);
    check_classes(data);
  }
}

TEST_CASE("gaussian: many features, prefixes and seeds") {
  const Dataset wide = gaussian({.samples = 1000, .features = 20, .seed = 5});
  CHECK(wide.sample() == autodiff::Shape{20});
  check_classes(wide);
  const Dataset small = gaussian({.samples = 10, .seed = 6}), large = gaussian({.samples = 100, .seed = 6});
  for (std::size_t i = 0; i < 20; ++i) CHECK(small.features[i] == large.features[i]);
  CHECK(content_hash(small) != content_hash(gaussian({.samples = 10, .seed = 7})));
}

TEST_CASE("synthetic data are the same on every platform") {
  CHECK(content_hash(gaussian({.samples = 1000, .labels = 2, .seed = 1})) == 0x2484ea2b3a852107u);
  CHECK(content_hash(gaussian({.samples = 1000, .labels = 3, .seed = 1})) == 0x54a40ed09679c7a6u);
  CHECK(content_hash(gaussian({.samples = 1000, .labels = 5, .seed = 1})) == 0x75639305b3340e20u);
  CHECK(content_hash(exclusive_or({.samples = 1000, .seed = 1})) == 0x3ed8d648837c4e2cu);
}

TEST_CASE("tasks in the plane lie where they should") {
  const PlaneOptions exact{.samples = 2000, .noise = 0, .seed = 2};
  const Dataset m = moons(exact), s = spirals(exact), x = exclusive_or(exact);
  for (const Dataset* data : {&m, &s, &x}) {
    check(*data);
    check_classes(*data);
  }
  CHECK(class_counts(m)[0] == 1000);
  CHECK(class_counts(s)[0] == 1000);
  CHECK(class_counts(x)[0] == Approx(1000).margin(4 * std::sqrt(500)));
  for (std::size_t i = 0; i < 2000; ++i) {
    const auto point = [&](const Dataset& data) {
      return std::pair(data.features[2 * i], data.features[2 * i + 1]);
    };
    const auto [mx, my] = point(m);
    const float side = m.labels[i] ? -1.0f : 1.0f;  // the second moon is the first one upside down
    const float ux = m.labels[i] ? 1 - mx : mx, uy = m.labels[i] ? 0.5f - my : my;
    CHECK(std::hypot(ux, uy) == Approx(1).epsilon(1e-6));  // some float roundings
    CHECK((side == 1 ? my : 0.5f - my) >= 0);
    const auto [sx, sy] = point(s);
    const double radius = std::hypot(sx, sy), angle = std::numbers::pi * (3 * radius + s.labels[i]);
    CHECK(radius <= 1.000001);
    CHECK(sx == Approx(radius * std::cos(angle)).margin(1e-5));  // float radius times the slope 3 pi
    CHECK(sy == Approx(radius * std::sin(angle)).margin(1e-5));
    const auto [xx, xy] = point(x);
    CHECK((x.labels[i] == 1) == (xx * xy < 0));
  }
  const Dataset noisy = moons({.samples = 2000, .noise = 0.1, .seed = 2});
  double squares = 0;
  for (std::size_t i = 0; i < 4000; ++i) squares += std::pow(noisy.features[i] - m.features[i], 2);
  CHECK(std::sqrt(squares / 4000) == Approx(0.1).epsilon(4 / std::sqrt(8000)));  // four standard errors
}

TEST_CASE("synthetic data refuse impossible options") {
  CHECK_THROWS_WITH(gaussian({.samples = 0}), ContainsSubstring("at least one sample, got 0"));
  CHECK_THROWS_WITH(gaussian({.features = 0}), ContainsSubstring("at least one feature"));
  CHECK_THROWS_WITH(gaussian({.labels = 1}), ContainsSubstring("at least 2 labels"));
  CHECK_THROWS_WITH(gaussian({.features = 3, .labels = 3}), ContainsSubstring("need 2 features"));
  CHECK_THROWS_WITH(moons({.samples = -5}), ContainsSubstring("moons") && ContainsSubstring("-5"));
  CHECK_THROWS_WITH(spirals({.noise = -1}), ContainsSubstring("noise"));
  CHECK_THROWS_WITH(exclusive_or({.noise = std::nan("")}),
                    ContainsSubstring("xor") && ContainsSubstring("nan"));
}
