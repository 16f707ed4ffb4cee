#include "ev3/confidence.h"

#include <algorithm>
#include <cmath>

#include "autodiff/tensor/error.h"

namespace ev3 {

Bounds bounds(std::span<const double> values, double alpha) {
  if (values.size() < 2) {
    autodiff::fail("metric: want one value per sample, at least two, got ", values.size());
  }
  const auto n = static_cast<double>(values.size());
  double sum = 0;
  bool counts = true;
  for (const double v : values) {
    if (!std::isfinite(v)) autodiff::fail("metric: want finite values, got ", v);
    sum += v;
    counts = counts && (v == 0 || v == 1);
  }
  const double mean = sum / n;
  double squares = 0;  // sum of squared deviations
  if (counts) {
    squares = sum * (n - sum) / n;
  } else {
    for (const double v : values) squares += (v - mean) * (v - mean);
  }
  const double deviation = std::sqrt(squares / (n - 1));
  const double error = deviation / static_cast<double>(std::sqrt(static_cast<float>(values.size())));
  return {mean, mean - alpha * error, mean + alpha * error};
}

}  // namespace ev3
