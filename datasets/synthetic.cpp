#include "datasets/synthetic.h"

#include <cmath>
#include <numbers>

#include "autodiff/tensor/error.h"
#include "autodiff/tensor/random.h"

namespace datasets {
namespace {

using autodiff::fail;
using autodiff::Random;
using autodiff::Seed;

struct Point {
  double x = 0, y = 0;
};

Dataset empty(const char* name, int samples, int features, int classes) {
  if (samples < 1) fail(name, ": want at least one sample, got ", samples);
  if (features < 1) fail(name, ": want at least one feature, got ", features);
  return {.name = name,
          .features = autodiff::Tensor({samples, features}),
          .labels = autodiff::Labels(autodiff::Shape{samples}),
          .classes = classes};
}

// Twice the area of the triangle 0, a, b; positive when b lies counterclockwise of a.
double cross(Point a, Point b) { return a.x * b.y - a.y * b.x; }

// Border k of the sectors of the plane: the direction of angle -pi + 2 pi k / labels.
std::vector<Point> sector_borders(int labels) {
  std::vector<Point> borders;
  for (int k = 0; k <= labels; ++k) {
    const double angle = std::numbers::pi * (2.0 * k / labels - 1);
    borders.push_back({std::cos(angle), std::sin(angle)});
  }
  return borders;
}

// Sectors are narrower than a half plane, so a point is in the one whose borders enclose it. Comparing with
// borders instead of calling atan2 leaves no rounding in the points themselves.
int sector(const std::vector<Point>& borders, Point p) {
  for (std::size_t k = 0; k + 1 < borders.size(); ++k) {
    if (cross(borders[k], p) >= 0 && cross(borders[k + 1], p) < 0) return static_cast<int>(k);
  }
  return 0;  // the origin itself
}

// sample(i, random, label) returns point i and sets its label; the noise is added to the point afterwards.
template <class Sample>
Dataset plane(const char* name, const PlaneOptions& options, const Sample& sample) {
  if (!(options.noise >= 0)) fail(name, ": want noise of at least 0, got ", options.noise);
  Dataset out = empty(name, options.samples, 2, 2);
  const Seed seed{options.seed};
  const Random place(seed.stream("place")), noise(seed.stream("noise"));
  for (std::size_t i = 0; i < out.labels.size(); ++i) {
    const Point p = sample(i, place, out.labels[i]);
    out.features[2 * i] = static_cast<float>(p.x + options.noise * noise.normal(2 * i));
    out.features[2 * i + 1] = static_cast<float>(p.y + options.noise * noise.normal(2 * i + 1));
  }
  return out;
}

}  // namespace

Dataset gaussian(const GaussianOptions& options) {
  const auto [samples, features, labels, seed] = options;
  if (labels < 2) fail("gaussian: want at least 2 labels, got ", labels);
  if (labels > 2 && features != 2) {
    fail("gaussian: more than 2 labels need 2 features, got ", labels, " labels and ", features, " features");
  }
  Dataset out = empty("gaussian", samples, features, labels);
  const Random normal(Seed{seed}.stream("features")), random_direction(Seed{seed}.stream("direction"));
  const auto width = static_cast<std::size_t>(features);
  std::vector<double> direction(width);
  for (std::size_t j = 0; j < width; ++j) direction[j] = random_direction.normal(j);
  const std::vector<Point> borders = sector_borders(labels);
  for (std::size_t i = 0; i < out.labels.size(); ++i) {
    float* x = out.features.data() + i * width;
    double projection = 0;
    for (std::size_t j = 0; j < width; ++j) {
      x[j] = static_cast<float>(normal.normal(i * width + j));
      projection += x[j] * direction[j];
    }
    out.labels[i] = labels == 2 ? projection > 0 : sector(borders, {x[0], x[1]});
  }
  return out;
}

Dataset moons(const PlaneOptions& options) {
  return plane("moons", options, [](std::size_t i, const Random& place, std::int32_t& label) -> Point {
    const double t = std::numbers::pi * place.uniform(i);
    label = static_cast<std::int32_t>(i % 2);
    return label ? Point{1 - std::cos(t), 0.5 - std::sin(t)} : Point{std::cos(t), std::sin(t)};
  });
}

Dataset spirals(const PlaneOptions& options) {
  return plane("spirals", options, [](std::size_t i, const Random& place, std::int32_t& label) -> Point {
    const double radius = std::sqrt(place.uniform(i));  // even density along the arm
    label = static_cast<std::int32_t>(i % 2);
    const double angle = std::numbers::pi * (3 * radius + label);
    return {radius * std::cos(angle), radius * std::sin(angle)};
  });
}

Dataset exclusive_or(const PlaneOptions& options) {
  return plane("xor", options, [](std::size_t i, const Random& place, std::int32_t& label) -> Point {
    const Point p{place.uniform(2 * i, -1, 1), place.uniform(2 * i + 1, -1, 1)};
    label = (p.x > 0) != (p.y > 0);
    return p;
  });
}

}  // namespace datasets
