// The charts of one run.
#include <fmt/core.h>

#include <algorithm>
#include <cmath>

#include "ev3/cli/html.h"
#include "ev3/cli/html_chart.h"
#include "ev3/cli/report_html.h"
#include "ev3/cli/report_table.h"
#include "ev3/cli/run_report.h"

namespace ev3::cli {
namespace {

using fmt::format;

double steps_of(const Round& round) { return static_cast<double>(round.record.gradient_steps); }

std::string interval_text(const Bounds& b) {
  return format("{} [{}, {}]", short_number(b.mean), short_number(b.lcb), short_number(b.ucb));
}

std::string round_title(const Round& round) {
  const StepRecord& r = round.record;
  return format("round {}, {} steps, {}\ntest {}, adapt {}\n{}", r.round + 1, grouped(r.gradient_steps),
                r.network, short_number(round.test.accuracy()), interval_text(r.adapt.best_bounds()),
                verdict(r));
}

// Where a pass after the first began, and where the network grew. `x_of`: of the end of a round.
template <class End>
void add_marks(Chart& chart, const RunRecords& run, End x_of) {
  double begin = 0;
  int pass = 0;
  bool grown = false;
  for (const Round& round : run.rounds) {
    const StepRecord& r = round.record;
    const double end = x_of(round);
    if (r.pass != pass) chart.marks.push_back({begin, format("pass {} begins", r.pass + 1), true});
    if (r.growth) chart.marks.push_back({end, format("round {}: {}", r.round + 1, verdict(r))});
    grown = grown || r.growth.has_value();
    pass = r.pass;
    begin = end;
  }
  if (grown) chart.keys.push_back({0, "dash", "the network grew"});
  if (pass > 0) chart.keys.push_back({0, "rule", "a pass began"});
}

// What became of the candidate that assess selected.
enum class Fate { stable, kept, rejected, grown };
Fate fate(const StepRecord& r) {
  if (r.adapt.expanded) return Fate::grown;
  if (r.adapt.best != Best::candidate) return Fate::rejected;
  return r.adapt.significant || r.rule == AdaptRule::always_accept ? Fate::stable : Fate::kept;
}

// Units that a round needs for more than a bar.
constexpr double narrow = 14;

// A sign for each fate that differs in form as well as in colour, within `width` times `height` around (x,
// y). Where a round is narrow it is a bar: tall, half as tall, flat.
std::string sign(Fate what, double x, double y, double width, double height, const std::string& title) {
  const std::string tooltip = "<title>" + html_escaped(title) + "</title>";
  const char* color = what == Fate::grown    ? "c1"
                      : what == Fate::stable ? "c2"
                      : what == Fate::kept   ? "c0"
                                             : "c7";
  const auto box = [&](const char* form, double w, double h) {
    return format(
        "<rect class=\"{} {}\" x=\"{:.2f}\" y=\"{:.1f}\" width=\"{:.2f}\" height=\"{:.1f}\">{}</rect>\n",
        form, color, x - w / 2, y - h / 2, w, h, tooltip);
  };
  if (width < narrow) {
    const double share = what == Fate::rejected ? 0.2 : what == Fate::kept ? 0.5 : 0.9;
    return box("bar", 0.92 * width, share * height);
  }
  const double radius = std::min({0.3 * width, 0.3 * height, 11.0});
  if (what == Fate::grown) return box("dot", 2 * radius, 2 * radius);
  return format("<circle class=\"{} {}\" cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"{:.1f}\">{}</circle>\n",
                what == Fate::rejected ? "ring" : "dot", color, x, y, radius, tooltip);
}

// How good the candidates of a round were, the best and the worst of them as 1 and 0.
std::vector<double> relative(const std::vector<Bounds>& candidates) {
  double least = INFINITY, most = -INFINITY;
  for (const Bounds& b : candidates) least = std::min(least, b.mean), most = std::max(most, b.mean);
  std::vector<double> out;
  for (const Bounds& b : candidates) out.push_back(most > least ? (b.mean - least) / (most - least) : 0.5);
  return out;
}

// Means of `losses` over pieces, at most `most` of them; x is the step in the middle of a piece.
std::vector<ChartPoint> thinned(const std::vector<float>& losses, double first_step, std::size_t most) {
  std::vector<ChartPoint> out;
  const std::size_t pieces = std::min(losses.size(), most);
  for (std::size_t i = 0; i < pieces; ++i) {
    const std::size_t begin = i * losses.size() / pieces, end = (i + 1) * losses.size() / pieces;
    double sum = 0;
    for (std::size_t k = begin; k < end; ++k) sum += static_cast<double>(losses[k]);
    const auto middle = static_cast<double>(begin + end - 1) / 2;
    out.push_back({first_step + middle, sum / static_cast<double>(end - begin)});
  }
  return out;
}

}  // namespace

std::string accuracy_chart(const RunRecords& run) {
  ChartLine test{.points = {}, .color = 0, .steps = true}, adapt{.points = {}, .color = 1, .faint = false};
  ChartBand band{.points = {}, .color = 1};
  for (const Round& round : run.rounds) {
    const Bounds& best = round.record.adapt.best_bounds();
    test.points.push_back({steps_of(round), round.test.accuracy(), round_title(round)});
    adapt.points.push_back({steps_of(round), best.mean});
    band.points.push_back({steps_of(round), best.lcb, best.ucb});
  }
  Chart chart{
      .title = "Accuracy", .subtitle = "share of samples", .x_label = "gradient steps, all candidates"};
  chart.lines = {adapt, test};
  chart.bands = {band};
  chart.x_least = 0;
  chart.keys = {{0, "", "test, stable model"},
                {1, "", "adapt, best of the round"},
                {1, "area", format("its bounds, alpha {:g}", run.experiment.adapt.alpha)}};
  add_marks(chart, run, steps_of);
  return html_chart(chart);
}

std::string decisions_chart(const RunRecords& run) {
  constexpr double width = 720, left = 52, right = 8, top = 6, axis = 62;
  const std::vector<std::string> names = candidate_names(run);
  const auto rows = static_cast<double>(names.size()), columns = static_cast<double>(run.rounds.size());
  const double row = std::clamp(360 / rows, 20.0, 60.0), column = (width - left - right) / columns;
  const double height = top + rows * row + axis;
  std::string svg = format(
      "<svg viewBox=\"0 0 {} {:.0f}\" role=\"img\" aria-label=\"Which candidate assess selected "
      "in each round, and what adapt made of it\">\n",
      width, height);
  for (std::size_t c = 0; c < names.size(); ++c) {
    svg += format("<text x=\"{}\" y=\"{:.1f}\" dy=\".35em\" text-anchor=\"end\">{}<title>{}</title></text>\n",
                  left - 12, top + (static_cast<double>(c) + 0.5) * row, candidate_letter(c),
                  html_escaped(names[c]));
  }
  for (std::size_t k = 0; k < run.rounds.size(); ++k) {
    const StepRecord& r = run.rounds[k].record;
    const double x = left + static_cast<double>(k) * column;
    const std::vector<double> shade = relative(r.assess.candidates);
    for (std::size_t i = 0; i < shade.size(); ++i) {
      const std::size_t c = run.candidate(r.candidates[i]);
      const std::string title = format("round {}, {}: {}\nassess {}", r.round + 1, candidate_letter(c),
                                       names[c], interval_text(r.assess.candidates[i]));
      svg += format(
          "<rect x=\"{:.2f}\" y=\"{:.1f}\" width=\"{:.2f}\" height=\"{:.1f}\" class=\"c0\" "
          "fill=\"currentColor\" "
          "opacity=\"{:.2f}\"><title>{}</title></rect>\n",
          x + column * 0.04, top + static_cast<double>(c) * row + 1, column * 0.92, row - 2,
          0.05 + 0.25 * shade[i], html_escaped(title));
    }
    const std::size_t selected = run.selected(r);
    svg += sign(
        fate(r), x + column / 2, top + (static_cast<double>(selected) + 0.5) * row, column, row,
        format("round {}, {}: {}\nassess {}\n{}", r.round + 1, candidate_letter(selected), names[selected],
               interval_text(r.assess.candidates[static_cast<std::size_t>(r.assess.selected)]), verdict(r)));
  }
  const auto ticks = round_ticks(1, std::max(columns, 2.0), 6);
  for (const double tick : ticks) {
    if (tick < 1 || tick > columns || tick != std::floor(tick)) continue;
    svg += format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"middle\">{:.0f}</text>\n",
                  left + (tick - 0.5) * column, top + rows * row + 24, tick);
  }
  svg += format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"middle\">round</text>\n</svg>\n",
                (left + width - right) / 2, height - 8);
  std::vector<ChartKey> keys{{2, "dot", "better, new stable"},
                             {0, "dot", "kept"},
                             {7, "ring", "rejected"},
                             {1, "square", "thrown away, the network grew"}};
  if (column < narrow) {
    keys = {{2, "square", "tall: better, new stable"},
            {0, "square", "half as tall: kept"},
            {7, "square", "flat: rejected"},
            {1, "square", "tall: thrown away, the network grew"}};
  }
  return html_figure("Decisions", "the candidate that assess selected; stronger colour: better in assess",
                     svg, keys);
}

std::string losses_chart(const RunRecords& run) {
  const std::size_t candidates = run.candidates();
  const std::size_t trajectories = std::max<std::size_t>(1, run.rounds.size() * candidates);
  const std::size_t points = std::clamp<std::size_t>(3000 / trajectories, 4, 25);
  Chart chart{.title = "Loss of the trajectories",
              .subtitle = "cross entropy or distillation as trained, means over pieces; strong: selected",
              .x_label = "steps of each candidate",
              .log_y = true};
  std::vector<ChartLine> strong;
  double first = 0;
  for (const Round& round : run.rounds) {
    const StepRecord& r = round.record;
    for (std::size_t c = 0; c < r.candidates.size(); ++c) {
      const bool selected = static_cast<int>(c) == r.assess.selected;
      ChartLine line{.points = thinned(r.candidates[c].losses, first, points),
                     .color = run.candidate(r.candidates[c]),
                     .faint = !selected};
      (selected ? strong : chart.lines).push_back(std::move(line));
    }
    first += r.trajectory_length;
  }
  chart.lines.insert(chart.lines.end(), strong.begin(), strong.end());
  const std::vector<std::string> names = candidate_names(run);
  for (std::size_t c = 0; c < names.size(); ++c) {
    chart.keys.push_back({c, "", candidate_letter(c) + "  " + names[c]});
  }
  add_marks(chart, run,
            [end = 0.0](const Round& round) mutable { return end += round.record.trajectory_length; });
  return html_chart(chart);
}

std::string parameters_chart(const RunRecords& run) {
  ChartLine line{.points = {}, .color = 3, .steps = true};
  double least = INFINITY, most = 0, before = 0;
  for (const Round& round : run.rounds) {
    const StepRecord& r = round.record;
    const auto parameters = static_cast<double>(r.parameters);
    const std::string title = parameters == before
                                  ? ""
                                  : format("from round {} on: {}, {} parameters", r.round + 1, r.network,
                                           grouped(std::llround(parameters)));
    // A round begins where the one before it ended.
    line.points.push_back({line.points.empty() ? 0 : line.points.back().x, parameters, title});
    line.points.push_back({steps_of(round), parameters});
    least = std::min(least, parameters);
    most = std::max(most, parameters);
    before = parameters;
  }
  const auto last = static_cast<double>(run.parameters);
  if (run.rounds.back().record.growth) {
    line.points.push_back({line.points.back().x, last, run.rounds.back().record.grown_to});
  }
  const bool log = most > 10 * least;
  Chart chart{.title = "Parameters",
              .subtitle = log ? "of the network, logarithmic" : "of the network",
              .x_label = "gradient steps, all candidates",
              .lines = {line},
              .log_y = log};
  chart.x_least = 0;
  if (!log) chart.y_least = 0;
  return html_chart(chart);
}

std::string time_chart(const RunRecords& run) {
  ChartLine line{.points = {}, .color = 2};
  for (std::size_t i = 0; i < run.rounds.size(); ++i) {
    const StepRecord& r = run.rounds[i].record;
    line.points.push_back({r.round + 1.0, run.seconds[i],
                           format("round {}: {}\n{}, {} steps of each candidate", r.round + 1,
                                  seconds_text(run.seconds[i]), r.network, grouped(r.trajectory_length))});
  }
  Chart chart{
      .title = "Time", .subtitle = "seconds of a round, with its test", .x_label = "round", .lines = {line}};
  chart.x_least = chart.y_least = 0;
  return html_chart(chart);
}

}  // namespace ev3::cli
