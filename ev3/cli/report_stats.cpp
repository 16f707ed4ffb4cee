#include "ev3/cli/report_stats.h"

#include <cmath>
#include <limits>

namespace ev3::cli {

// Closed form (Abramowitz and Stegun 26.7.3, 26.7.4) with theta = atan(t / sqrt(freedom)); A = P(|T| <= |t|):
//   odd:  A = 2/pi (theta + sin cos (1 + 2/3 cos^2 + 2/3 4/5 cos^4 + ... up to cos^(freedom - 3)))
//   even: A = sin (1 + 1/2 cos^2 + 1/2 3/4 cos^4 + ... up to cos^(freedom - 2))
double student_t_cdf(double t, int freedom) {
  const double theta = std::atan(t / std::sqrt(freedom)), sine = std::sin(theta), cosine = std::cos(theta);
  const bool odd = freedom % 2 != 0;
  double term = 1, sum = 0;
  for (int k = odd ? 3 : 2; k <= freedom; k += 2) {
    sum += term;
    term *= cosine * cosine * (k - 1) / k;
  }
  const double inside = odd ? 2 / std::acos(-1.0) * (theta + sine * cosine * sum) : sine * sum;
  return 0.5 + inside / 2;
}

double student_t_95(int freedom) {
  double low = 0, high = 13;  // 12.71 for one degree of freedom, less for more
  for (int i = 0; i < 60; ++i) {
    const double middle = (low + high) / 2;
    (student_t_cdf(middle, freedom) < 0.975 ? low : high) = middle;
  }
  return (low + high) / 2;
}

MeanInterval mean_interval(const std::vector<double>& values) {
  const double none = std::numeric_limits<double>::quiet_NaN();
  MeanInterval out{static_cast<int>(values.size()), none, none, none};
  if (values.empty()) return out;
  double sum = 0, squares = 0;
  for (const double x : values) sum += x;
  out.mean = sum / out.n;
  if (out.n < 2) return out;
  for (const double x : values) squares += (x - out.mean) * (x - out.mean);
  const double half = student_t_95(out.n - 1) * std::sqrt(squares / (out.n - 1) / out.n);
  out.low = out.mean - half;
  out.high = out.mean + half;
  return out;
}

MeanInterval paired_difference(const std::map<std::int64_t, double>& values,
                               const std::map<std::int64_t, double>& baseline) {
  std::vector<double> differences;
  for (const auto& [seed, value] : values) {
    if (const auto other = baseline.find(seed); other != baseline.end()) {
      differences.push_back(value - other->second);
    }
  }
  return mean_interval(differences);
}

}  // namespace ev3::cli
