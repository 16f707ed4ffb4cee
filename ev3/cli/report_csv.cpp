// The figures of a study as CSV.
#include <fmt/core.h>

#include "ev3/cli/report_table.h"
#include "ev3/cli/run_report.h"

namespace ev3::cli {
namespace {

std::string quoted(const std::string& text) {
  if (text.find_first_of(",\"\r\n") == text.npos) return text;
  std::string out = "\"";
  for (const char c : text) out += c == '"' ? std::string("\"\"") : std::string(1, c);
  return out + '"';
}

std::string number(double x) { return exact_number(x); }
template <class Whole>
requires std::is_integral_v<Whole> std::string number(Whole x) { return std::to_string(x); }

using Row = std::vector<std::string>;

std::string line(const Row& cells) {
  std::string out;
  for (const std::string& cell : cells) out += (out.empty() ? "" : ",") + quoted(cell);
  return out + "\n";
}

const Row head{"row",
               "group",
               "run",
               "seed",
               "seeds",
               "unfinished",
               "rounds",
               "test_accuracy",
               "accuracy_low",
               "accuracy_high",
               "test_samples",
               "test_hits",
               "test_loss",
               "difference",
               "difference_low",
               "difference_high",
               "pairs",
               "parameters",
               "steps",
               "samples",
               "flops",
               "seconds",
               "seconds_estimated"};

Row group_row(const Study& study, const Group& g) {
  const bool any = !g.counted.empty(), is_baseline = &g == &study.groups[study.baseline];
  std::size_t unfinished = 0;
  for (const std::size_t r : g.runs) unfinished += !study.runs[r].finished();
  const auto mean = [&](double x) { return any ? number(x) : ""; };
  const auto difference = [&](double x) { return is_baseline ? "" : number(x); };
  return {"group",
          g.name,
          "",
          "",
          number(g.runs.size()),
          number(unfinished),
          "",
          number(g.accuracy.mean),
          number(g.accuracy.low),
          number(g.accuracy.high),
          "",
          "",
          "",
          difference(g.difference.mean),
          difference(g.difference.low),
          difference(g.difference.high),
          is_baseline ? "" : number(g.difference.n),
          mean(g.parameters),
          mean(g.steps),
          mean(g.samples),
          mean(g.flops),
          mean(g.seconds),
          any ? number(int{g.seconds_estimated}) : ""};
}

Row run_row(const Group& g, const RunRecords& run, const RunFigures& f) {
  const bool any = !run.rounds.empty();
  const nn::Evaluation test = any ? run.rounds.back().test : nn::Evaluation{};
  const auto known = [&](auto x) { return any ? number(x) : ""; };
  return {"run",
          g.name,
          run.path.string(),
          number(run.experiment.seed),
          "1",
          number(int{!run.finished()}),
          number(run.rounds.size()),
          known(test.accuracy()),
          known(test.interval().low),
          known(test.interval().high),
          known(test.samples),
          known(test.hits),
          known(test.loss),
          "",
          "",
          "",
          "",
          number(run.parameters),
          number(f.steps),
          number(f.samples),
          known(f.flops),
          known(f.seconds),
          known(int{f.seconds_estimated})};
}

}  // namespace

std::string as_csv(const Study& study) {
  std::string out = line(head);
  for (const Group& group : study.groups) out += line(group_row(study, group));
  for (const Group& group : study.groups) {
    for (const std::size_t r : group.runs) out += line(run_row(group, study.runs[r], study.figures[r]));
  }
  return out;
}

}  // namespace ev3::cli
