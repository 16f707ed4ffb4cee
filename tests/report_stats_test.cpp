// What reports are made of: statistics over seeds, names of groups, numbers on axes and in cells.
#include "ev3/cli/report_stats.h"

#include <cmath>
#include <map>

#include "ev3/cli/html.h"
#include "ev3/cli/html_chart.h"
#include "ev3/cli/report_study.h"
#include "ev3/cli/report_table.h"
#include "tests/catch.h"

using namespace ev3::cli;

TEST_CASE("Student's t has the values of the tables") {
  // Fisher and Yates, two-sided 5 %.
  for (const auto& [freedom, t] : std::map<int, double>{{1, 12.706},
                                                        {2, 4.303},
                                                        {3, 3.182},
                                                        {4, 2.776},
                                                        {5, 2.571},
                                                        {9, 2.262},
                                                        {30, 2.042},
                                                        {120, 1.980}}) {
    INFO(freedom);
    CHECK(std::abs(student_t_95(freedom) - t) < 0.0006);
  }
  CHECK(student_t_cdf(0, 3) == 0.5);
  CHECK(student_t_cdf(1, 1) == Approx(0.75));                                     // arctan
  CHECK(student_t_cdf(std::sqrt(2.0), 2) == Approx(0.5 + 0.5 * std::sqrt(0.5)));  // t / sqrt(2 + t^2)
  CHECK(student_t_cdf(-2, 7) == Approx(1 - student_t_cdf(2, 7)));
}

TEST_CASE("means have intervals from two values on, differences are paired by seed") {
  CHECK(mean_interval({}).n == 0);
  CHECK(mean_interval({0.5}).mean == 0.5);
  CHECK(std::isnan(mean_interval({0.5}).low));
  const MeanInterval i = mean_interval({1, 2, 3});
  CHECK(i.mean == 2);
  CHECK(i.high - i.mean == Approx(4.3027 / std::sqrt(3)).epsilon(1e-4));
  const MeanInterval d = paired_difference({{1, 0.9}, {2, 0.8}, {3, 1}}, {{2, 0.7}, {1, 0.8}, {4, 0}});
  CHECK(d.n == 2);
  CHECK(d.mean == Approx(0.1));
  CHECK(d.high - d.low < 1e-12);  // both differ by 0.1
}

TEST_CASE("groups are named by what differs") {
  using Names = std::vector<std::string>;
  struct Row {
    std::vector<FlatSettings> settings;
    Names names;
  };
  for (const Row& row : {
           Row{{{{"a.x", "1"}}}, {"all"}},
           Row{{{{"a.x", "1"}, {"b", "2"}}, {{"a.x", "3"}, {"b", "2"}}}, {"x=1", "x=3"}},
           Row{{{{"a.x", "1"}, {"b.x", "2"}}, {{"a.x", "3"}, {"b.x", "4"}}}, {"a.x=1,b.x=2", "a.x=3,b.x=4"}},
           Row{{{{"o.kind", "sgd"}, {"o.momentum", "0"}}, {{"o.kind", "adam"}, {"o.b1", "0.9"}}},
               {"kind=sgd", "kind=adam"}},
           Row{{{{"a", "1"}}, {{"a", "1"}, {"g.kind", "widen"}}}, {"kind=none", "kind=widen"}},
       }) {
    CHECK(distinguish(row.settings) == row.names);
  }
}

TEST_CASE("axes have round numbers") {
  using Ticks = std::vector<double>;
  CHECK(tick_labels(round_ticks(0, 36000, 4)) == std::vector<std::string>{"0", "10,000", "20,000", "30,000"});
  CHECK(tick_labels(round_ticks(0.81, 0.96, 5)) == std::vector<std::string>{"0.85", "0.90", "0.95"});
  CHECK(tick_labels(round_ticks(0, 3e6, 3)) == std::vector<std::string>{"0", "1 M", "2 M", "3 M"});
  CHECK(tick_labels(log_ticks(0.0005, 20), true) ==
        std::vector<std::string>{"0.001", "0.01", "0.1", "1", "10"});
  CHECK(tick_labels(log_ticks(600, 2e6), true) == std::vector<std::string>{"1 k", "10 k", "100 k", "1 M"});
  CHECK(tick_labels(log_ticks(600, 3000), true) == std::vector<std::string>{"1,000", "2,000"});
  CHECK(round_ticks(3, 3, 5) == Ticks{3});
  for (const double most : {0.003, 0.7, 1.0, 9.0, 12345.0, 1e12}) {
    const Ticks ticks = round_ticks(0, most, 5);
    CHECK(ticks.size() >= 3);
    CHECK(ticks.size() <= 7);
    CHECK(ticks.back() <= most * (1 + 1e-9));
  }
}

TEST_CASE("numbers with prefixes and times are short") {
  for (const auto& [x, text] : std::map<double, std::string>{
           {0, "0"}, {12, "12"}, {999, "999"}, {999.7, "1.00 k"}, {12345, "12.3 k"}, {1.75e10, "17.5 G"}}) {
    CHECK(with_prefix(x) == text);
  }
  for (const auto& [x, text] : std::map<double, std::string>{
           {0.756, "0.76 s"}, {1.44, "1.4 s"}, {59.94, "59.9 s"}, {125, "2:05"}, {3723, "1:02:03"}}) {
    CHECK(seconds_text(x) == text);
  }
  CHECK(seconds_text(NAN) == "-");
  CHECK(candidate_letter(0) + candidate_letter(25) + candidate_letter(26) == "azc27");
  CHECK(html_escaped("<a href=\"&\x01\">") == "&lt;a href=&quot;&amp; &quot;&gt;");
}
