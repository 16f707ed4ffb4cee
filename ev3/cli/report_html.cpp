#include "ev3/cli/report_html.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>

#include "ev3/cli/html.h"
#include "ev3/cli/html_chart.h"
#include "ev3/cli/report_table.h"
#include "ev3/cli/run_report.h"

namespace ev3::cli {
namespace {

using fmt::format;

std::string facts_html(const std::vector<Fact>& facts) {
  std::string out = "<dl class=\"facts\">\n";
  for (const Fact& fact : facts) {
    out += format("<div{}><dt>{}</dt><dd>{}</dd></div>\n", fact.value.size() > 28 ? " class=\"wide\"" : "",
                  html_escaped(fact.name), html_escaped(fact.value));
  }
  return out + "</dl>\n";
}

// Bars: how often a candidate was selected, and of these how often kept and made stable.
std::string wins_figure(const RunRecords& run) {
  const std::vector<std::string> names = candidate_names(run);
  const std::vector<Wins> won = wins(run);
  int most = 1;
  for (const Wins& w : won) most = std::max(most, w.selected);
  std::string out = "<div class=\"bars\">\n";
  for (std::size_t c = 0; c < names.size(); ++c) {
    const Wins& w = won[c];
    const std::string title =
        format("selected {} times, of these kept {}, of these new stable {}", w.selected, w.kept, w.stable);
    out += format(
        "<div title=\"{}\"><div class=\"label\"><span>{} &nbsp;{}</span><span>{}</span></div>"
        "<div class=\"bar {}\">",
        title, candidate_letter(c), html_escaped(names[c]), w.selected, color_class(c));
    const auto piece = [&](int count, const char* shade) {
      if (count > 0)
        out += format("<span class=\"{}\" style=\"width:{:.2f}%\"></span>", shade, 100.0 * count / most);
    };
    piece(w.stable, "full");
    piece(w.kept - w.stable, "half");
    piece(w.selected - w.kept, "quarter");
    out += "</div></div>\n";
  }
  return html_figure("Wins",
                     "rounds in which assess selected it; full: new stable, half: kept, pale: rejected",
                     out + "</div>\n", {});
}

std::string text_details(const std::string& title, const std::string& text) {
  return "<details><summary>" + title + "</summary><pre>" + html_escaped(text) + "</pre></details>\n";
}

std::string seed_name(const RunRecords& run) { return format("seed {}", run.experiment.seed); }

ChartLine test_line(const RunRecords& run, std::size_t color) {
  ChartLine line{.points = {}, .color = color, .steps = true};
  for (const Round& round : run.rounds) {
    line.points.push_back({static_cast<double>(round.record.gradient_steps), round.test.accuracy(),
                           format("{}, round {}: test {}\n{}", seed_name(run), round.record.round + 1,
                                  short_number(round.test.accuracy()), verdict(round.record))});
  }
  return line;
}

// What all charts of a study show, so that they can be compared.
struct Frame {
  double steps = 0, least = 1, most = 0;
};

Frame frame(const Study& study) {
  Frame out;
  for (const RunRecords& run : study.runs) {
    for (const Round& round : run.rounds) {
      out.steps = std::max(out.steps, static_cast<double>(round.record.gradient_steps));
      out.least = std::min(out.least, round.test.accuracy());
      out.most = std::max(out.most, round.test.accuracy());
    }
  }
  return out;
}

std::string group_chart(const Study& study, const Group& group, const Frame& frame) {
  Chart chart{.title = group.name == "all" ? "All runs" : group.name,
              .subtitle = "test accuracy of the stable model, a line a seed",
              .x_label = "gradient steps, all candidates"};
  for (std::size_t i = 0; i < group.runs.size(); ++i) {
    const RunRecords& run = study.runs[group.runs[i]];
    if (run.rounds.empty()) continue;
    chart.lines.push_back(test_line(run, i));
    const nn::Evaluation& test = run.rounds.back().test;
    chart.keys.push_back(
        {i, "",
         seed_name(run) + ": " + short_number(test.accuracy()) + (run.finished() ? "" : ", unfinished")});
  }
  chart.x_least = 0;
  chart.x_most = frame.steps;
  chart.y_least = frame.least;
  chart.y_most = frame.most;
  return html_chart(chart);
}

// Each group on a line of its own: its seeds, their mean and its interval.
std::string comparison(const Study& study) {
  std::vector<double> values;
  for (const Group& group : study.groups) {
    for (const std::size_t r : group.counted) values.push_back(study.runs[r].rounds.back().test.accuracy());
    if (group.accuracy.n > 1) values.insert(values.end(), {group.accuracy.low, group.accuracy.high});
  }
  if (values.empty()) return "";
  double least = *std::min_element(values.begin(), values.end());
  double most = *std::max_element(values.begin(), values.end());
  if (most - least < 1e-9) least -= 0.05, most += 0.05;
  constexpr double width = 720, margin = 24, row = 64;
  const double height = row * static_cast<double>(study.groups.size()) + 36;
  const auto at = [&](double x) { return margin + (x - least) / (most - least) * (width - 2 * margin); };
  std::string svg = format("<svg viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"Test accuracy by group\">\n",
                           width, height);
  const std::vector<double> ticks = round_ticks(least, most, 5);
  const std::vector<std::string> labels = tick_labels(ticks);
  for (std::size_t i = 0; i < ticks.size(); ++i) {
    svg += format(
        "<path class=\"grid\" d=\"M{0:.1f} 0V{1}\"/><text x=\"{0:.1f}\" y=\"{2}\" "
        "text-anchor=\"middle\">{3}</text>\n",
        at(ticks[i]), height - 32, height - 6, labels[i]);
  }
  for (std::size_t g = 0; g < study.groups.size(); ++g) {
    const Group& group = study.groups[g];
    const MeanInterval& a = group.accuracy;
    const double top = row * static_cast<double>(g), y = top + 44;
    const std::string color = color_class(g == study.baseline ? 7 : 0);
    svg += format("<text x=\"{}\" y=\"{:.1f}\" style=\"fill:var(--ink)\">{}</text>\n", margin, top + 24,
                  html_escaped(group.name + (group.unfinished ? " (unfinished)" : "")));
    if (a.n > 1) {
      svg +=
          format("<path class=\"line {}\" d=\"M{:.1f} {:.1f}H{:.1f}\"/>\n", color, at(a.low), y, at(a.high));
    }
    for (const std::size_t r : group.counted) {
      const RunRecords& run = study.runs[r];
      const double accuracy = run.rounds.back().test.accuracy();
      svg += format(
          "<circle class=\"ring {}\" cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"5\"><title>{}: {}</title></circle>\n",
          color, at(accuracy), y, seed_name(run), short_number(accuracy));
    }
    if (a.n > 0) {
      svg += format(
          "<circle class=\"dot {}\" cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"8\"><title>mean {} of "
          "{}</title></circle>\n",
          color, at(a.mean), y, short_number(a.mean), a.n);
    }
  }
  return html_figure("Groups compared", "test accuracy; the line is the 95 % interval of the mean",
                     svg + "</svg>\n", {{0, "dot", "mean"}, {0, "ring", "a seed"}, {7, "dot", "baseline"}});
}

}  // namespace

std::string run_page(const RunRecords& run, const RunFigures& figures) {
  const std::string name = run.path.lexically_normal().string();
  std::vector<Fact> facts = run_facts(run, figures);
  facts.erase(facts.begin());  // the path is the headline
  std::string body =
      "<h1>" + html_escaped(name) + "</h1>\n<p class=\"lead\">" +
      html_escaped(nn::describe(run.network) + ", seed " + std::to_string(run.experiment.seed)) +
      (run.finished() ? "" : ", unfinished") + "</p>\n" + facts_html(facts);
  if (run.rounds.empty()) {
    body += "<p>No round is over yet.</p>\n";
  } else {
    body += "<div class=\"charts\">\n" + accuracy_chart(run) + decisions_chart(run) + losses_chart(run) +
            wins_figure(run) + parameters_chart(run) + time_chart(run) + "</div>\n<h2>Rounds</h2>\n" +
            as_html(rounds_table(run));
  }
  body += text_details("Config", to_toml(run.experiment));
  if (!run.environment.empty()) body += text_details("Environment", run.environment);
  return html_page(name, body);
}

std::string study_page(const Study& study) {
  std::size_t runs = 0, unfinished = 0;
  for (const Group& group : study.groups) {
    for (const std::size_t r : group.runs) ++runs, unfinished += !study.runs[r].finished();
  }
  const std::string name = format("{} run{} in {} group{}", runs, runs == 1 ? "" : "s", study.groups.size(),
                                  study.groups.size() == 1 ? "" : "s");
  std::string body = "<h1>" + name + "</h1>\n<p class=\"lead\">A group's runs differ in the seed only" +
                     (unfinished ? format("; {} unfinished", unfinished) : "") + ".</p>\n" +
                     as_html(groups_table(study)) + "<h2>Test accuracy</h2>\n<div class=\"charts\">\n";
  if (study.groups.size() > 1) body += comparison(study);
  const Frame all = frame(study);
  for (const Group& group : study.groups) body += group_chart(study, group, all);
  body += "</div>\n<h2>Runs</h2>\n";
  Table table{.alignment = "llrrrrr",
              .head = {"group", "run", "seed", "rounds", "test accuracy", "parameters", "time"},
              .rows = {}};
  for (const Group& group : study.groups) {
    for (const std::size_t r : group.runs) {
      const RunRecords& run = study.runs[r];
      const bool any = !run.rounds.empty();
      table.rows.push_back({group.name, run.path.lexically_normal().string(),
                            std::to_string(run.experiment.seed),
                            std::to_string(run.rounds.size()) + (run.finished() ? "" : " (unfinished)"),
                            any ? short_number(run.rounds.back().test.accuracy()) : "-",
                            grouped(static_cast<std::int64_t>(run.parameters)),
                            seconds_text(any ? study.figures[r].seconds : NAN)});
    }
  }
  return html_page(name, body + as_html(table));
}

}  // namespace ev3::cli
