// Where the numbers of an axis stand, and how they are written.
#include <fmt/core.h>

#include <algorithm>
#include <cmath>

#include "ev3/cli/html_chart.h"
#include "ev3/cli/run_report.h"

namespace ev3::cli {

std::vector<double> round_ticks(double least, double most, int wanted) {
  const double range = most - least;
  if (!(range > 0)) return {least};
  const double power = std::pow(10, std::floor(std::log10(range / wanted)));
  double step = power;
  for (const double factor : {1.0, 2.0, 5.0, 10.0}) {
    step = factor * power;
    if (range / step <= wanted + 0.5) break;
  }
  std::vector<double> out;
  const auto first = static_cast<std::int64_t>(std::ceil(least / step - 1e-9));
  const auto last = static_cast<std::int64_t>(std::floor(most / step + 1e-9));
  for (std::int64_t i = first; i <= last; ++i) out.push_back(static_cast<double>(i) * step);
  return out;
}

std::vector<double> log_ticks(double least, double most) {
  const auto first = static_cast<int>(std::floor(std::log10(least)));
  const auto last = static_cast<int>(std::ceil(std::log10(most)));
  const auto within = [&](const std::vector<double>& factors, int every) {
    std::vector<double> out;
    for (int power = first; power <= last; power += every) {
      for (const double factor : factors) {
        const double tick = factor * std::pow(10, power);
        if (tick >= least * (1 - 1e-9) && tick <= most * (1 + 1e-9)) out.push_back(tick);
      }
    }
    return out;
  };
  const std::vector<double> powers = within({1}, std::max(1, (last - first) / 6));
  return powers.size() >= 3 ? powers : within({1, 2, 5}, 1);
}

std::vector<std::string> tick_labels(const std::vector<double>& ticks, bool log) {
  double most = 0;
  for (const double tick : ticks) most = std::max(most, std::abs(tick));
  const double step = ticks.size() > 1 ? ticks[1] - ticks[0] : most;
  std::vector<std::string> out;
  for (const double tick : ticks) {
    if (tick == 0) {
      out.emplace_back("0");
      continue;
    }
    // The unit is that of the largest label, on a logarithmic axis the label's own.
    const double size = log ? std::abs(tick) : most;
    const double unit = size >= 1e9 ? 1e9 : size >= 1e6 ? 1e6 : most >= 2e5 && size >= 1e3 ? 1e3 : 1;
    const char* suffix = unit == 1e9 ? " G" : unit == 1e6 ? " M" : unit == 1e3 ? " k" : "";
    const double value = tick / unit, digit = (log ? std::abs(tick) : step) / unit;
    const int decimals =
        digit >= 1 || digit <= 0 ? 0 : static_cast<int>(std::ceil(-std::log10(digit) - 1e-9));
    const std::string number = decimals > 4    ? fmt::format("{:.0e}", value)
                               : decimals == 0 ? grouped(std::llround(value))
                                               : fmt::format("{:.{}f}", value, decimals);
    out.push_back(number + suffix);
  }
  return out;
}

}  // namespace ev3::cli
