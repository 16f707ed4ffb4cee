// The statistics of reports: means over seeds with 95 % intervals.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace ev3::cli {

/// P(T <= t) for Student's t with `freedom` >= 1 degrees of freedom.
double student_t_cdf(double t, int freedom);
/// The t that is exceeded in absolute value with probability 0.05: 12.71 for 1 degree of freedom, 1.96 for
/// many.
double student_t_95(int freedom);

/// A mean of n values and, for n >= 2, its interval mean -+ t s / sqrt(n), s with n - 1 in the denominator.
/// NaN where there is none.
struct MeanInterval {
  int n = 0;
  double mean = 0, low = 0, high = 0;
};
MeanInterval mean_interval(const std::vector<double>& values);

/// mean_interval of the differences value - baseline over the seeds that both have.
MeanInterval paired_difference(const std::map<std::int64_t, double>& values,
                               const std::map<std::int64_t, double>& baseline);

}  // namespace ev3::cli
