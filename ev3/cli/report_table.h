// The tables of a report, as text, Markdown, CSV or HTML.
#pragma once

#include <string>
#include <vector>

#include "ev3/cli/report_study.h"

namespace ev3::cli {

/// Cells of plain text. `alignment` has one letter a column, 'l' or 'r'; notes explain marks below it.
struct Table {
  std::string alignment;
  std::vector<std::string> head;
  std::vector<std::vector<std::string>> rows;
  std::vector<std::string> notes = {};
};
std::string as_text(const Table& table);
/// A table of GitHub's Markdown; notes are paragraphs.
std::string as_markdown(const Table& table);
/// <table>, and notes as <p class="note">.
std::string as_html(const Table& table);

/// The table of the study: a row a group.
Table groups_table(const Study& study);
/// Everything in figures: a row a group, then a row a run, told apart by the first column. RFC 4180, numbers
/// with all digits, empty where there is none.
std::string as_csv(const Study& study);

/// a, b, ..., z, then c27 ...: how tables and charts call a candidate.
std::string candidate_letter(std::size_t candidate);
/// "xent x0.5 / sgd 0.1" for each candidate, in their order.
std::vector<std::string> candidate_names(const RunRecords& run);
/// What became of a candidate: how often assess selected it, and adapt then kept it, or made it stable.
struct Wins {
  int selected = 0, kept = 0, stable = 0;
};
std::vector<Wins> wins(const RunRecords& run);
Table candidates_table(const RunRecords& run);
/// A row a round: candidates, bounds, verdict.
Table rounds_table(const RunRecords& run);

/// What a run came to in a few lines; `figures` are its figures.
struct Fact {
  std::string name, value;
};
std::vector<Fact> run_facts(const RunRecords& run, const RunFigures& figures);

/// "12.0 G": three digits with a unit prefix.
std::string with_prefix(double x);
/// "0.8 s", "12.3 s", "2:05", "1:02:03"; "-" for NaN.
std::string seconds_text(double seconds);

}  // namespace ev3::cli
