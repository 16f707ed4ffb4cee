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

std::vector<std::string> tick_labels(const std::vector<double>& ticks) {
  double most = 0, step = ticks.empty() ? 1 : std::abs(ticks.front());
  for (std::size_t i = 0; i < ticks.size(); ++i) {
    most = std::max(most, std::abs(ticks[i]));
    if (i > 0) step = std::min(step > 0 ? step : ticks[i] - ticks[i - 1], ticks[i] - ticks[i - 1]);
  }
  const double unit = most >= 1e10 ? 1e9 : most >= 1e7 ? 1e6 : most >= 2e5 ? 1e3 : 1;
  const char* suffix = unit == 1e9 ? " G" : unit == 1e6 ? " M" : unit == 1e3 ? " k" : "";
  std::vector<std::string> out;
  for (const double tick : ticks) {
    // On a logarithmic axis each tick is its own step.
    const double own = std::min(std::abs(tick) > 0 ? std::abs(tick) : step, step > 0 ? step : 1) / unit;
    const int decimals = own >= 1 ? 0 : static_cast<int>(std::ceil(-std::log10(own) - 1e-9));
    const double value = tick / unit;
    if (tick != 0 && std::abs(tick) < 1e-4) {
      out.push_back(fmt::format("{:.0e}", tick));
    } else if (decimals == 0) {
      out.push_back(grouped(std::llround(value)) + (tick != 0 ? suffix : ""));
    } else {
      out.push_back(fmt::format("{:.{}f}{}", value, decimals, tick != 0 ? suffix : ""));
    }
  }
  return out;
}

}  // namespace ev3::cli
