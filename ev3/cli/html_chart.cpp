#include "ev3/cli/html_chart.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "ev3/cli/html.h"

namespace ev3::cli {
namespace {

using fmt::format;

// Units of the drawing; the page scales it. Margins hold the largest text that a narrow page asks for.
constexpr double width = 720, height = 430, left = 84, right = 20, top = 16, bottom = 70;

// One axis: from what is shown to units of the drawing.
struct Axis {
  double least = 0, most = 1, from = 0, to = 1;
  bool log = false;

  bool shows(double x) const { return std::isfinite(x) && (!log || x > 0); }
  double operator()(double x) const {
    const double share = log ? std::log(x / least) / std::log(most / least) : (x - least) / (most - least);
    return from + share * (to - from);
  }
};

class Extent {
 public:
  explicit Extent(bool log = false) : log_(log) {}
  void add(double x) {
    if (!std::isfinite(x) || (log_ && x <= 0)) return;
    least_ = std::min(least_, x);
    most_ = std::max(most_, x);
  }
  // Not empty, a little wider than what was added by `margin` of its length.
  Axis axis(double from, double to, double margin) const {
    Axis out{least_, most_, from, to, log_};
    if (least_ > most_) out.least = log_ ? 0.1 : 0, out.most = 1;
    if (out.least == out.most) {
      out.least = log_ ? out.least / 2 : out.least - 0.05;
      out.most = log_ ? out.most * 2 : out.most + 0.05;
    }
    if (log_) {
      const double factor = std::pow(out.most / out.least, margin);
      out.least /= factor;
      out.most *= factor;
    } else {
      const double more = (out.most - out.least) * margin;
      out.least -= more;
      out.most += more;
    }
    return out;
  }

 private:
  bool log_;
  double least_ = std::numeric_limits<double>::infinity(), most_ = -least_;
};

std::string tooltip(const std::string& title) { return "<title>" + html_escaped(title) + "</title>"; }

std::string grid(const Axis& x, const Axis& y, const std::string& x_label) {
  std::string out;
  const auto rows = y.log ? log_ticks(y.least, y.most) : round_ticks(y.least, y.most, 5);
  const auto row_labels = tick_labels(rows, y.log);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const double at = y(rows[i]);
    out += format("<path class=\"grid\" d=\"M{:.1f} {:.1f}H{:.1f}\"/>", left, at, width - right);
    out += format("<text x=\"{:.1f}\" y=\"{:.1f}\" dy=\".35em\" text-anchor=\"end\">{}</text>\n", left - 8,
                  at, row_labels[i]);
  }
  const auto columns = round_ticks(x.least, x.most, 4);
  const auto column_labels = tick_labels(columns);
  for (std::size_t i = 0; i < columns.size(); ++i) {
    const double at = x(columns[i]);
    // A label at the right end would stick out.
    const char* anchor = at > width - right - 30 ? "end" : "middle";
    out += format("<path class=\"axis\" d=\"M{:.1f} {:.1f}v6\"/>", at, height - bottom);
    out += format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\">{}</text>\n",
                  *anchor == 'e' ? width - right : at, height - bottom + 28, anchor, column_labels[i]);
  }
  out += format("<path class=\"axis\" d=\"M{:.1f} {:.1f}H{:.1f}\"/>\n", left, height - bottom, width - right);
  return out + format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"middle\">{}</text>\n",
                      (left + width - right) / 2, height - 8, html_escaped(x_label));
}

std::string path_of(const ChartLine& line, const Axis& x, const Axis& y) {
  std::string out;
  bool down = false;
  double before = 0;
  for (const ChartPoint& p : line.points) {
    if (!x.shows(p.x) || !y.shows(p.y)) {
      down = false;
      continue;
    }
    if (down && line.steps) out += format("H{:.1f}", x(p.x));
    if (!down) {
      out += format("M{:.1f} {:.1f}", x(p.x), y(p.y));
    } else if (!line.steps) {
      out += format("L{:.1f} {:.1f}", x(p.x), y(p.y));
    } else if (p.y != before) {
      out += format("V{:.1f}", y(p.y));
    }
    before = p.y;
    down = true;
  }
  return out;
}

std::string drawn(const ChartLine& line, const Axis& x, const Axis& y) {
  const std::string color = color_class(line.color);
  std::string out = format("<path class=\"line {}{}\" d=\"{}\"/>\n", color, line.faint ? " faint" : "",
                           path_of(line, x, y));
  // Many dots would hide the line: they are there for the pointer only.
  const char* form = line.points.size() <= 60 ? "dot point" : "hit";
  for (const ChartPoint& p : line.points) {
    if (p.title.empty() || !x.shows(p.x) || !y.shows(p.y)) continue;
    out += format("<circle class=\"{} {}\" cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"5\">{}</circle>\n", form, color,
                  x(p.x), y(p.y), tooltip(p.title));
  }
  return out;
}

std::string drawn(const ChartBand& band, const Axis& x, const Axis& y) {
  std::string there, back;
  for (const ChartBand::Point& p : band.points) {
    if (!x.shows(p.x) || !y.shows(p.low) || !y.shows(p.high)) continue;
    there += format("{}{:.1f} {:.1f}", there.empty() ? "M" : "L", x(p.x), y(p.high));
    back.insert(0, format("L{:.1f} {:.1f}", x(p.x), y(p.low)));
  }
  if (there.empty()) return "";
  return format("<path class=\"band {}\" d=\"{}{}Z\"/>\n", color_class(band.color), there, back);
}

// A mark is thin: a broad line that cannot be seen takes the pointer.
std::string drawn(const ChartMark& mark, const Axis& x) {
  const std::string line = format("M{:.1f} {:.1f}V{:.1f}", x(mark.x), top, height - bottom);
  return format(
      "<g><path class=\"mark{2}\" d=\"{0}\"/><path class=\"hit\" stroke-width=\"14\" d=\"{0}\"/>{1}</g>\n",
      line, tooltip(mark.title), mark.solid ? " solid" : "");
}

}  // namespace

std::string html_figure(const std::string& title, const std::string& subtitle, const std::string& content,
                        const std::vector<ChartKey>& keys) {
  std::string out = "<figure>\n<figcaption>" + html_escaped(title) + "<span>" + html_escaped(subtitle) +
                    "</span></figcaption>\n" + content;
  if (!keys.empty()) out += "<ul class=\"legend\">\n";
  for (const ChartKey& key : keys) {
    out += format("<li><span class=\"key {} {}\"></span>{}</li>\n", key.form, color_class(key.color),
                  html_escaped(key.text));
  }
  if (!keys.empty()) out += "</ul>\n";
  return out + "</figure>\n";
}

std::string html_chart(const Chart& chart) {
  Extent xs, ys(chart.log_y);
  for (const ChartLine& line : chart.lines) {
    for (const ChartPoint& p : line.points) xs.add(p.x), ys.add(p.y);
  }
  for (const ChartBand& band : chart.bands) {
    for (const ChartBand::Point& p : band.points) xs.add(p.x), ys.add(p.low), ys.add(p.high);
  }
  for (const ChartMark& mark : chart.marks) xs.add(mark.x);
  for (const auto& given : {chart.x_least, chart.x_most}) xs.add(given.value_or(NAN));
  for (const auto& given : {chart.y_least, chart.y_most}) ys.add(given.value_or(NAN));
  const Axis x = xs.axis(left, width - right, 0), y = ys.axis(height - bottom, top, 0.04);

  std::string svg = format("<svg viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"{}\">\n", width, height,
                           html_escaped(chart.title + ": " + chart.subtitle + ", over " + chart.x_label));
  svg += grid(x, y, chart.x_label);
  for (const ChartBand& band : chart.bands) svg += drawn(band, x, y);
  for (const ChartMark& mark : chart.marks) svg += drawn(mark, x);
  for (const ChartLine& line : chart.lines) svg += drawn(line, x, y);
  return html_figure(chart.title, chart.subtitle, svg + "</svg>\n", chart.keys);
}

}  // namespace ev3::cli
