// ev3 report: what runs came to, from their records.
#include <fmt/core.h>

#include <memory>

#include "autodiff/tensor/error.h"
#include "autodiff/tensor/file.h"
#include "ev3/cli/commands.h"
#include "ev3/cli/report_html.h"
#include "ev3/cli/report_table.h"

namespace ev3::cli {
namespace {

struct ReportArguments {
  std::vector<std::string> runs;
  std::string html, markdown, csv, baseline;
};

std::string facts_text(const std::vector<Fact>& facts) {
  std::string out;
  for (const Fact& fact : facts) out += fmt::format("{:<15} {}\n", fact.name, fact.value);
  return out;
}

// Facts, candidates, rounds.
std::string account(const RunRecords& run, const RunFigures& figures) {
  std::string out = facts_text(run_facts(run, figures)) + '\n' + as_text(candidates_table(run));
  if (!run.rounds.empty()) out += '\n' + as_text(rounds_table(run));
  return out;
}

std::string markdown_page(const Study& study) {
  std::string out = as_markdown(groups_table(study));
  if (study.runs.size() == 1 && !study.runs.front().rounds.empty()) {
    const RunRecords& run = study.runs.front();
    out += "\n## Candidates\n\n" + as_markdown(candidates_table(run)) + "\n## Rounds\n\n" +
           as_markdown(rounds_table(run));
  }
  return out;
}

// The name of the argument's folder in which the run lies.
std::string source_of(const std::filesystem::path& run, const std::vector<std::string>& arguments) {
  const std::string inner = std::filesystem::canonical(run).string() + '/';
  for (const std::string& argument : arguments) {
    const std::filesystem::path outer = std::filesystem::canonical(argument);
    if (inner.starts_with(outer.string() + '/')) return outer.filename().string();
  }
  return "";
}

void report(const ReportArguments& arguments) {
  std::vector<RunRecords> runs;
  for (const auto& path : find_runs(arguments.runs)) {
    runs.push_back(read_run(path));
    runs.back().source = source_of(path, arguments.runs);
  }
  const Study study = make_study(std::move(runs), arguments.baseline);
  const bool one = study.runs.size() == 1;
  // Everything is made before anything is written.
  const std::string html = arguments.html.empty() ? ""
                           : one                  ? run_page(study.runs.front(), study.figures.front())
                                                  : study_page(study);
  const std::string text =
      (one ? account(study.runs.front(), study.figures.front()) + '\n' : "") + as_text(groups_table(study));
  if (!arguments.html.empty()) autodiff::write_file(arguments.html, html);
  if (!arguments.markdown.empty()) autodiff::write_file(arguments.markdown, markdown_page(study));
  if (!arguments.csv.empty()) autodiff::write_file(arguments.csv, as_csv(study));
  fmt::print("{}", text);
}

}  // namespace

void add_report(CLI::App& app) {
  CLI::App* command = app.add_subcommand(
      "report",
      "Report on runs from their records: a table over seeds, the rounds of one run, a page of charts.");
  const auto arguments = std::make_shared<ReportArguments>();
  command->add_option("RUN", arguments->runs, "folders of runs, or folders with runs in them")->required();
  command->add_option("--html", arguments->html, "write a page with charts, complete in itself")
      ->type_name("FILE");
  command->add_option("--markdown", arguments->markdown, "write the tables as Markdown")->type_name("FILE");
  command->add_option("--csv", arguments->csv, "write all figures, of groups and of runs")->type_name("FILE");
  command->add_option("--baseline", arguments->baseline, "the group to compare with (default: the first one)")
      ->type_name("GROUP");
  command->footer(
      "Runs that differ in the seed only are a group, named by what tells it from the others; by its "
      "folder,\n"
      "where each of several folders holds one group. Runs may be unfinished or still computing.\n"
      "Examples:\n"
      "  ev3 report runs/2026-11-23-1                        every round of one run\n"
      "  ev3 report runs/sweep --html report.html            a sweep as a page\n"
      "  ev3 report runs/sweep --baseline alpha=1 --csv study.csv");
  command->callback([arguments] { report(*arguments); });
}

}  // namespace ev3::cli
