#include "ev3/cli/report_table.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "ev3/cli/html.h"
#include "ev3/cli/progress.h"
#include "ev3/cli/run_report.h"
#include "ev3/cli/text_table.h"

namespace ev3::cli {
namespace {

using fmt::format;

std::string bounds_text(double mean, double low, double high) {
  return format("{} [{}, {}]", short_number(mean), short_number(low), short_number(high));
}

std::string bounds_text(const MeanInterval& i) {
  if (i.n == 0) return "-";
  return i.n == 1 ? short_number(i.mean) : bounds_text(i.mean, i.low, i.high);
}

// "+.012", "-.004"
std::string with_sign(double x) {
  const std::string text = short_number(x);
  return text.starts_with('-') ? text : '+' + text;
}

std::string difference_text(const MeanInterval& i) {
  if (i.n == 0) return "-";
  if (i.n == 1) return with_sign(i.mean);
  return format("{} [{}, {}]", with_sign(i.mean), with_sign(i.low), with_sign(i.high));
}

std::string whole(double x) { return grouped(std::llround(x)); }

std::string flops_text(double flops) { return std::isnan(flops) ? "-" : "~" + with_prefix(flops); }

std::string time_text(double seconds, bool estimated) {
  return (estimated && !std::isnan(seconds) ? "~" : "") + seconds_text(seconds);
}

// A column of six for each candidate of the run; empty where the round does not have it.
std::string assess_text(const RunRecords& run, const StepRecord& r) {
  std::vector<std::string> columns(run.candidates());
  for (std::size_t c = 0; c < r.assess.candidates.size(); ++c) {
    const bool selected = static_cast<int>(c) == r.assess.selected;
    columns.at(run.candidate(r.candidates[c])) =
        short_number(r.assess.candidates[c].mean) + (selected ? "*" : "");
  }
  std::string out;
  for (const std::string& column : columns) out += format("{:<6}", column);
  return out;
}

std::string escaped_pipes(const std::string& text) {
  std::string out;
  for (const char c : text) out += c == '|' ? std::string("\\|") : std::string(1, c);
  return out;
}

}  // namespace

std::string as_text(const Table& table) {
  TextTable out(table.alignment);
  out.row(table.head);
  for (const auto& row : table.rows) out.row(row);
  std::string text = out.str();
  for (const std::string& note : table.notes) text += note + '\n';
  return text;
}

std::string as_markdown(const Table& table) {
  const auto line = [](const std::vector<std::string>& cells) {
    std::string out = "|";
    for (const std::string& cell : cells) out += ' ' + escaped_pipes(cell) + " |";
    return out + '\n';
  };
  std::string out = line(table.head) + '|';
  for (const char c : table.alignment) out += c == 'r' ? " ---: |" : " --- |";
  out += '\n';
  for (const auto& row : table.rows) out += line(row);
  for (const std::string& note : table.notes) out += '\n' + note + '\n';
  return out;
}

std::string as_html(const Table& table) {
  const auto cells = [&](const std::vector<std::string>& row, const char* tag) {
    std::string out = "<tr>";
    for (std::size_t c = 0; c < row.size(); ++c) {
      const char* side = table.alignment[c] == 'r' ? " class=\"r\"" : "";
      out += format("<{0}{1}>{2}</{0}>", tag, side, html_escaped(row[c]));
    }
    return out + "</tr>\n";
  };
  std::string out = "<div class=\"scroll\"><table><thead>" + cells(table.head, "th") + "</thead><tbody>\n";
  for (const auto& row : table.rows) out += cells(row, "td");
  out += "</tbody></table></div>\n";
  for (const std::string& note : table.notes) out += "<p class=\"note\">" + html_escaped(note) + "</p>\n";
  return out;
}

Table groups_table(const Study& study) {
  const bool several = study.groups.size() > 1;
  Table table{.alignment = several ? "lrllrrrrr" : "lrlrrrrr",
              .head = {"group", "seeds", "test accuracy"},
              .rows = {}};
  if (several) table.head.push_back("against " + study.groups[study.baseline].name);
  for (const char* name : {"parameters", "steps", "samples", "FLOPs", "time"}) table.head.emplace_back(name);
  bool estimated = false, unfinished = false, intervals = false;
  for (std::size_t g = 0; g < study.groups.size(); ++g) {
    const Group& group = study.groups[g];
    const bool any = !group.counted.empty();
    const std::size_t missing =
        group.unfinished ? group.runs.size() : group.runs.size() - group.counted.size();
    std::vector<std::string> row{
        group.name + (group.unfinished ? "*" : ""),
        std::to_string(group.runs.size()) + (missing ? format(" ({} unfinished)", missing) : ""),
        bounds_text(group.accuracy)};
    if (several) row.push_back(g == study.baseline ? "baseline" : difference_text(group.difference));
    for (const double x : {group.parameters, group.steps, group.samples}) row.push_back(any ? whole(x) : "-");
    row.push_back(any ? flops_text(group.flops) : "-");
    row.push_back(any ? time_text(group.seconds, group.seconds_estimated) : "-");
    table.rows.push_back(row);
    estimated = estimated || group.seconds_estimated;
    unfinished = unfinished || group.unfinished;
    intervals = intervals || group.accuracy.n > 1;
  }
  if (intervals) {
    table.notes.emplace_back(
        "Means over the finished runs of a group [95 % interval by Student's t]; steps are gradient steps of "
        "all candidates.");
  }
  if (intervals && several) {
    table.notes.emplace_back("Differences are paired by seed.");
  }
  table.notes.emplace_back(
      std::string("~ estimated: FLOPs are those of the compiled training step times the steps, without "
                  "optimizers, teachers, assess and adapt") +
      (estimated ? "; times of runs that were interrupted, or did not note them." : "."));
  if (unfinished) table.notes.emplace_back("* no run of this group is finished: figures so far.");
  for (const std::string& note : study.notes) table.notes.push_back(note);
  return table;
}

std::string candidate_letter(std::size_t candidate) {
  return candidate < 26 ? std::string(1, static_cast<char>('a' + candidate)) : format("c{}", candidate + 1);
}

std::vector<std::string> candidate_names(const RunRecords& run) {
  std::vector<std::string> out;
  for (const nn::Loss& loss : run.losses) {
    for (const nn::Optimizer& optimizer : run.experiment.optimizers) {
      out.push_back(nn::describe(loss) + " / " + nn::describe(optimizer));
    }
  }
  return out;
}

std::vector<Wins> wins(const RunRecords& run) {
  std::vector<Wins> out(run.candidates());
  for (const Round& round : run.rounds) {
    const StepRecord& r = round.record;
    const std::size_t selected = run.selected(r);
    ++out[selected].selected;
    out[selected].kept += !r.adapt.expanded && r.adapt.best == Best::candidate;
    out[selected].stable += is_new_stable(r) && r.adapt.best == Best::candidate;
  }
  return out;
}

Table candidates_table(const RunRecords& run) {
  Table table{.alignment = "llrrr", .head = {"", "candidate", "selected", "kept", "new stable"}, .rows = {}};
  const std::vector<std::string> names = candidate_names(run);
  const std::vector<Wins> won = wins(run);
  for (std::size_t c = 0; c < names.size(); ++c) {
    table.rows.push_back({candidate_letter(c), names[c], std::to_string(won[c].selected),
                          std::to_string(won[c].kept), std::to_string(won[c].stable)});
  }
  return table;
}

Table rounds_table(const RunRecords& run) {
  const std::size_t candidates = run.candidates();
  const bool narrow = candidates <= 8;
  std::string letters = narrow ? "" : "assess";
  for (std::size_t c = 0; c < candidates && narrow; ++c) letters += format("{:<6}", candidate_letter(c));
  Table table{
      .alignment = "rlllrllllrr",
      .head = {"round", "network", "by", "verdict", "test", "candidate", "current", "stable", letters,
               "steps", "time"},
      .rows = {},
      .notes = {std::string(narrow ? "a, b, ...: mean of each candidate in assess, * the selected one. "
                                   : "assess: mean of the selected candidate. ") +
                "candidate, current, stable: mean [lcb, ucb] in adapt. test: the stable model, which no "
                "decision sees."}};
  for (std::size_t i = 0; i < run.rounds.size(); ++i) {
    const Round& round = run.rounds[i];
    const StepRecord& r = round.record;
    const auto bounds = [&](std::size_t who) {
      if (who >= r.adapt.bounds.size()) return std::string("-");
      const Bounds& b = r.adapt.bounds[who];
      return bounds_text(b.mean, b.lcb, b.ucb);
    };
    const auto selected = static_cast<std::size_t>(r.assess.selected);
    table.rows.push_back({std::to_string(r.round + 1), r.network, candidate_letter(run.selected(r)),
                          verdict(r), short_number(round.test.accuracy()), bounds(0), bounds(1), bounds(2),
                          narrow ? assess_text(run, r) : short_number(r.assess.candidates[selected].mean),
                          grouped(r.gradient_steps), seconds_text(run.seconds[i])});
  }
  return table;
}

std::vector<Fact> run_facts(const RunRecords& run, const RunFigures& figures) {
  const auto rounds = static_cast<int>(run.rounds.size());
  std::vector<Fact> out{
      {"run", run.path.string()},
      {"rounds", run.finished() ? std::to_string(rounds)
                                : format("{} of {}, unfinished", rounds, run.experiment.rounds)}};
  if (rounds == 0) return out;
  const nn::Evaluation& test = run.rounds.back().test;
  const nn::Interval i = test.interval();
  const auto grown = std::count_if(run.rounds.begin(), run.rounds.end(),
                                   [](const Round& r) { return r.record.growth.has_value(); });
  out.push_back({"test accuracy",
                 format("{} (n = {})", bounds_text(test.accuracy(), i.low, i.high), grouped(test.samples))});
  out.push_back(
      {"model", format("{}, grown {} time{}, {} {}", nn::describe(run.network), grown, grown == 1 ? "" : "s",
                       run.experiment.passes ? "archived in" : "stable since",
                       run.kept_since ? format("round {}", run.kept_since) : "the start")});
  out.push_back({"parameters", grouped(static_cast<std::int64_t>(run.parameters))});
  out.push_back({"gradient steps", grouped(figures.steps)});
  out.push_back({"samples read", grouped(figures.samples)});
  out.push_back({"training FLOPs", flops_text(figures.flops)});
  out.push_back({"time", time_text(figures.seconds, figures.seconds_estimated)});
  return out;
}

std::string with_prefix(double x) {
  constexpr std::array prefixes{"", " k", " M", " G", " T", " P", " E"};
  std::size_t p = 0;
  // From 999.5 on three digits would be 1000.
  while (std::abs(x) >= 999.5 && p + 1 < prefixes.size()) x /= 1000, ++p;
  const int decimals = std::abs(x) >= 99.95 || (p == 0 && x == std::floor(x)) ? 0
                       : std::abs(x) >= 9.995                                 ? 1
                                                                              : 2;
  return format("{:.{}f}{}", x, decimals, prefixes.at(p));
}

std::string seconds_text(double seconds) {
  if (std::isnan(seconds)) return "-";
  if (seconds < 99.95) return format("{:.{}f} s", seconds, seconds < 0.995 ? 2 : 1);
  return duration(seconds);
}

}  // namespace ev3::cli
