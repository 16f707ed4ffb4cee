// What the numbers of a description may be, for whoever reads one: configs, model files, and the
// descriptions' own checks. Every key is declared once, in a function fields(visit, x) that calls visit(key,
// member, range) for each member of x.
#pragma once

#include <limits>
#include <string>

namespace nn {

/// What a number (or every number of a list) may be, and whether the key may be absent.
struct Range {
  double least = -std::numeric_limits<double>::infinity(), most = std::numeric_limits<double>::infinity();
  bool above_least = false, below_most = false;  ///< the ends are excluded
  bool required = false;
};
inline constexpr Range any{};
inline constexpr Range above_zero{.least = 0, .above_least = true};
inline constexpr Range share{.least = 0, .most = 1};                           // 0 <= x <= 1
inline constexpr Range decay_rate{.least = 0, .most = 1, .below_most = true};  // 0 <= x < 1
constexpr Range at_least(double least) { return {.least = least}; }
constexpr Range required(Range range = {}) {
  range.required = true;
  return range;
}

/// " of at least 1 and below 2", or nothing.
std::string words(const Range& range);
/// Whether x is finite and in the range.
bool inside(const Range& range, double x);

}  // namespace nn
