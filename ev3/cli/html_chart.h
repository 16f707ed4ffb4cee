// Charts as SVG: axes with round numbers, lines, bands, points with tooltips.
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace ev3::cli {

struct ChartPoint {
  double x = 0, y = 0;
  std::string title = {};  ///< the tooltip; with it the point is drawn as a dot
};

/// Points joined by lines; one that is not finite makes a gap.
struct ChartLine {
  std::vector<ChartPoint> points;
  std::size_t color = 0;
  bool steps = false;  ///< a value holds until the next one comes
  bool faint = false;
};

/// The area between low and high.
struct ChartBand {
  struct Point {
    double x = 0, low = 0, high = 0;
  };
  std::vector<Point> points;
  std::size_t color = 0;
};

/// Something that happened: a line from top to bottom.
struct ChartMark {
  double x = 0;
  std::string title;
  bool solid = false;  ///< else dashed
};

/// An entry of the legend: which colour, how its key looks (a class of the page: "", "area", "dot", "ring",
/// "dash", "rule", "square"), and what it is.
struct ChartKey {
  std::size_t color = 0;
  std::string form = {}, text = {};
};

struct Chart {
  std::string title, subtitle;  ///< the subtitle says what y is
  std::string x_label;
  std::vector<ChartLine> lines = {};
  std::vector<ChartBand> bands = {};
  std::vector<ChartMark> marks = {};
  std::vector<ChartKey> keys = {};
  bool log_y = false;  ///< values that are not above 0 are left out
  /// The range of x and y is that of what is drawn, and these, where they are given.
  std::optional<double> x_least = {}, x_most = {}, y_least = {}, y_most = {};
};

/// <figure> with title, the chart and its legend.
std::string html_chart(const Chart& chart);

/// A figure with anything in it.
std::string html_figure(const std::string& title, const std::string& subtitle, const std::string& content,
                        const std::vector<ChartKey>& keys);

/// Round numbers (1, 2 or 5 times a power of ten apart) within [least, most], about `wanted` of them.
std::vector<double> round_ticks(double least, double most, int wanted);
/// Powers of ten within [least, most], with their multiples by 2 and 5 where that gives less than three.
std::vector<double> log_ticks(double least, double most);
/// Labels with as many digits as it takes to tell neighbours apart: "0.85", "20,000", "1.5 M". `log`: each
/// with its own digits: "10", "1", "0.1".
std::vector<std::string> tick_labels(const std::vector<double>& ticks, bool log = false);

}  // namespace ev3::cli
