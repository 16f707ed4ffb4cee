// Means with lower and upper confidence bounds.
#pragma once

#include <span>

namespace ev3 {

/// A mean with its bounds: lcb = mean - alpha stderr, ucb = mean + alpha stderr.
struct Bounds {
  double mean = 0, lcb = 0, ucb = 0;
  bool operator==(const Bounds&) const = default;
};

/// stderr = sd / sqrt(n), sd with n - 1 in the denominator. Where all values are 0 or 1 mean and deviation
/// are formed from counts, so that the order of the samples cannot matter. The root of n is rounded to float,
/// as the reference does. Throws Error for fewer than two values, or one that is not finite: a metric must be
/// vectorized.
Bounds bounds(std::span<const double> values, double alpha);

}  // namespace ev3
