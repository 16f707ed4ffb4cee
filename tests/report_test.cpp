// `ev3 report`: tables and pages of real runs, and of runs that are unfinished or of early versions.
// More than 300 lines, because all of it reads the same few runs.
#include <algorithm>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>

#include "ev3/cli/report_stats.h"
#include "ev3/cli/report_study.h"
#include "ev3/cli/report_table.h"
#include "nn/training.h"
#include "tests/catch.h"
#include "tests/command.h"

namespace {

namespace fs = std::filesystem;
using namespace ev3::cli;

const std::string small =
    "--quiet --set data.name=moons --set data.samples=600 --set \"model.hidden=[4]\" --set rounds=6 "
    "--set explore.trajectory_length=20 --set adapt.rounds_before_growth=1 --set pools.explore=0.4 "
    "--set pools.adapt=0.2 ";

/// Six runs: two settings, three seeds; made once.
const fs::path& runs() {
  static const TempFolder temp;
  static const fs::path path = [] {
    for (const std::string length : {"20", "5"}) {
      for (const std::string seed : {"1", "2", "10"}) {
        const std::string name = "length=" + length + ",seed=" + seed;
        REQUIRE(ev3_command("run " + small + "--set explore.trajectory_length=" + length + " --seed " + seed +
                            " --out " + std::string(temp / name))
                    .code == 0);
      }
    }
    return (temp / "x").parent_path();
  }();
  return path;
}

std::vector<std::vector<std::string>> parse_csv(const std::string& text) {
  std::vector<std::vector<std::string>> rows{{""}};
  bool quoted = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '"') {
      if (quoted && i + 1 < text.size() && text[i + 1] == '"') {
        rows.back().back() += text[++i];
      } else {
        quoted = !quoted;
      }
    } else if (!quoted && text[i] == ',') {
      rows.back().emplace_back();
    } else if (!quoted && text[i] == '\n') {
      rows.push_back({""});
    } else {
      rows.back().back() += text[i];
    }
  }
  rows.pop_back();
  return rows;
}

/// The rows of --csv as maps from column to cell.
std::vector<std::map<std::string, std::string>> table_of(const std::string& csv) {
  const auto rows = parse_csv(csv);
  std::vector<std::map<std::string, std::string>> out;
  for (std::size_t r = 1; r < rows.size(); ++r) {
    REQUIRE(rows[r].size() == rows[0].size());
    auto& row = out.emplace_back();
    for (std::size_t c = 0; c < rows[0].size(); ++c) row[rows[0][c]] = rows[r][c];
  }
  return out;
}

std::string last_line(const fs::path& path) {
  const std::string text = content_of(path);
  return text.substr(text.rfind('\n', text.size() - 2) + 1);
}

double accuracy_of(const fs::path& run) {
  const auto test = nlohmann::json::parse(last_line(run / "rounds.jsonl"))["test"];
  return test["hits"].get<double>() / test["samples"].get<double>();
}

/// Every element is closed by its own end tag, and nothing comes from elsewhere.
void check_html(const std::string& page) {
  CHECK(page.starts_with("<!doctype html>"));
  for (const char* part : {"http", "<script", "<link", "@import", "url(", "NaN", "nan\"", "inf\""}) {
    INFO(part);
    CHECK(page.find(part) == page.npos);
  }
  std::vector<std::string> open;
  for (std::size_t at = page.find("<style>"); (at = page.find('<', at)) != page.npos;) {
    const std::size_t end = page.find('>', at);
    REQUIRE(end != page.npos);
    const std::string tag = page.substr(at + 1, end - at - 1);
    const std::string name = tag.substr(tag[0] == '/', tag.find_first_of(" /", 1) - (tag[0] == '/'));
    if (tag[0] == '/') {
      if (name == "head" || name == "html") {
        open.clear();
      } else if (!open.empty() || name != "style") {
        REQUIRE(!open.empty());
        CHECK(open.back() == name);
        open.pop_back();
      }
    } else if (!tag.ends_with("/") && name != "style") {
      open.push_back(name);
    }
    at = end;
  }
  CHECK(open.empty());
}

}  // namespace

TEST_CASE("the table of a study has what the records say") {
  const TempFolder temp;
  const std::string csv = temp / "study.csv", md = temp / "study.md", html = temp / "study.html";
  const Outcome outcome = ev3_command("report " + runs().string() + " --csv " + csv + " --markdown " + md +
                                      " --html " + html + " --baseline trajectory_length=20");
  REQUIRE(outcome.code == 0);
  CHECK(outcome.err.empty());
  const auto rows = table_of(content_of(csv));
  REQUIRE(rows.size() == 2 + 6);
  CHECK(rows[0].at("group") == "trajectory_length=5");  // by name
  CHECK(rows[1].at("group") == "trajectory_length=20");
  CHECK(rows[1].at("difference") == "");
  for (const char* length : {"5", "20"}) {
    const auto& group = rows[length[0] == '5' ? 0 : 1];
    CHECK(group.at("row") == "group");
    CHECK(group.at("seeds") == "3");
    CHECK(group.at("unfinished") == "0");
    std::vector<double> accuracies;
    for (const char* seed : {"1", "2", "10"}) {
      accuracies.push_back(accuracy_of(runs() / ("length=" + std::string(length) + ",seed=" + seed)));
    }
    const MeanInterval expected = mean_interval(accuracies);
    CHECK(std::stod(group.at("test_accuracy")) == Approx(expected.mean).epsilon(1e-14));
    CHECK(std::stod(group.at("accuracy_low")) == Approx(expected.low).epsilon(1e-14));
    CHECK(group.at("steps") == std::to_string(6 * 6 * std::stoi(length)));
    CHECK(group.at("samples") == std::to_string(32 * 6 * 6 * std::stoi(length)));
  }
  std::vector<double> differences;
  for (const std::string seed : {"1", "2", "10"}) {
    differences.push_back(accuracy_of(runs() / ("length=5,seed=" + seed)) -
                          accuracy_of(runs() / ("length=20,seed=" + seed)));
  }
  CHECK(std::stod(rows[0].at("difference")) == Approx(mean_interval(differences).mean).epsilon(1e-12));
  CHECK(std::stod(rows[0].at("difference_low")) == Approx(mean_interval(differences).low).epsilon(1e-12));
  CHECK(rows[2].at("seed") == "1");
  CHECK(rows[4].at("seed") == "10");

  CHECK_THAT(outcome.out, ContainsSubstring("against trajectory_length=20") &&
                              ContainsSubstring("baseline") && ContainsSubstring("~ estimated"));
  const std::string markdown = content_of(md);
  CHECK(markdown.starts_with("| group | seeds | test accuracy | against trajectory_length=20 |"));
  CHECK_THAT(markdown, ContainsSubstring("| ---: |") && ContainsSubstring("| trajectory_length=5 | 3 |"));
  const std::string page = content_of(html);
  check_html(page);
  CHECK_THAT(page, ContainsSubstring("6 runs in 2 groups") && ContainsSubstring("Groups compared") &&
                       ContainsSubstring("prefers-color-scheme: dark") &&
                       ContainsSubstring("seed 10, round 6"));
}

TEST_CASE("FLOPs are those of the compiled step, times the steps of every network") {
  const RunRecords run = read_run(runs() / "length=20,seed=1");
  double expected = 0;
  for (const Round& round : run.rounds) {
    REQUIRE(round.network.has_value());
    CHECK(nn::describe(*round.network) == round.record.network);
    for (const nn::Loss& loss : run.experiment.losses) {
      const nn::LossGradient gradient(*round.network, loss, 32);
      expected += 20.0 * static_cast<double>(run.experiment.optimizers.size()) * gradient.program().flops();
    }
  }
  StepFlops step;
  CHECK(figures(run, step).flops == Approx(expected).epsilon(1e-12));
  CHECK(expected > 0);
}

TEST_CASE("the account of one run has a row a round and a page with its charts") {
  const TempFolder temp;
  const std::string run = runs() / "length=20,seed=2", html = temp / "run.html", md = temp / "run.md";
  const Outcome outcome = ev3_command("report " + run + " --html " + html + " --markdown " + md);
  REQUIRE(outcome.code == 0);
  const RunRecords records = read_run(run);
  CHECK(records.finished());
  const std::vector<Wins> won = wins(records);
  int selected = 0;
  for (const Wins& w : won) {
    selected += w.selected;
    CHECK(w.kept <= w.selected);
    CHECK(w.stable <= w.kept);
  }
  CHECK(selected == 6);
  const Table rounds = rounds_table(records);
  REQUIRE(rounds.rows.size() == 6);
  for (std::size_t i = 0; i < 6; ++i) {
    CHECK(rounds.rows[i][3] == verdict(records.rounds[i].record));
    CHECK(rounds.rows[i].size() == rounds.head.size());
    CHECK_THAT(outcome.out, ContainsSubstring(rounds.rows[i][3]));
  }
  const std::string page = content_of(html);
  check_html(page);
  for (const char* part : {"Accuracy", "Decisions", "Loss of the trajectories", "Wins", "Parameters", "Time",
                           "the network grew", "class=\"band c1\"", "width=device-width"}) {
    CHECK_THAT(page, ContainsSubstring(part));
  }
  CHECK_THAT(content_of(md), ContainsSubstring("## Rounds") && ContainsSubstring("| 6 | mlp 2-"));
}

TEST_CASE("charts say where a pass began") {
  const TempFolder temp;
  const std::string teacher = temp / "teacher", run = temp / "run", html = temp / "run.html";
  REQUIRE(ev3_command("run " + small + "--rounds 1 --out " + teacher).code == 0);
  REQUIRE(ev3_command("run " + small + "--set 'teachers=[\"" + teacher + "/model.safetensors\"]' " +
                      "--set 'loss=[{kind=\"distillation\",teacher=0}]' --set 'passes={count=2,rounds=2}' " +
                      "--rounds 4 --out " + run)
              .code == 0);
  REQUIRE(ev3_command("report " + run + " --html " + html).code == 0);
  const std::string page = content_of(html);
  check_html(page);
  for (const char* part : {"pass 2 begins", "a pass began", "class=\"mark solid\""}) {
    CHECK_THAT(page, ContainsSubstring(part));
  }
  CHECK_THAT(page, !ContainsSubstring("pass 1 begins") && !ContainsSubstring("pass 3 begins"));
}

TEST_CASE("unfinished runs, runs in progress and early records are read, and marked") {
  const TempFolder temp;
  const fs::path folder = temp / "runs", run = folder / "seed=1";
  fs::create_directories(folder);
  const std::string arguments = "run " + small + "--out ";
  REQUIRE(ev3_command(arguments + run.string() + " --rounds 4").code == 0);
  const std::string config = content_of(run / "config.toml");
  const auto set_rounds = [&](const fs::path& of, const std::string& rounds) {
    std::string text = config;
    text.replace(text.find("rounds = 4"), 10, "rounds = " + rounds);
    std::ofstream(of / "config.toml") << text;
  };
  set_rounds(run, "6");
  std::ofstream(run / "rounds.jsonl", std::ios::app) << "{\"round\":5,\"netw";  // being written
  Outcome outcome = ev3_command("report " + folder.string());
  CHECK(outcome.code == 0);
  CHECK_THAT(outcome.out, ContainsSubstring("4 of 6, unfinished") && ContainsSubstring("all*") &&
                              ContainsSubstring("1 (1 unfinished)") &&
                              ContainsSubstring("no run of this group is finished"));

  // A finished seed beside it: the means are over it alone.
  REQUIRE(ev3_command(arguments + (folder / "seed=2").string() + " --seed 2").code == 0);
  outcome = ev3_command("report --csv " + std::string(temp / "c.csv") + " " + folder.string());
  CHECK_THAT(outcome.out, ContainsSubstring("2 (1 unfinished)"));
  const auto rows = table_of(content_of(temp / "c.csv"));
  CHECK(std::stod(rows[0].at("test_accuracy")) == accuracy_of(folder / "seed=2"));
  CHECK(rows[1].at("unfinished") == "1");

  // What early versions did not write: networks in records, seconds, event files.
  std::string early;
  std::istringstream in(content_of(folder / "seed=2" / "rounds.jsonl"));
  for (std::string line; std::getline(in, line);) {
    auto json = nlohmann::ordered_json::parse(line);
    json.erase("architecture");
    early += json.dump() + '\n';
  }
  const RunFigures before = [&] {
    StepFlops step;
    return figures(read_run(folder / "seed=2"), step);
  }();
  std::ofstream(folder / "seed=2" / "rounds.jsonl") << early;
  std::ofstream(folder / "seed=2" / "metrics.jsonl") << "{\"round\":1}\nnonsense\n";
  StepFlops step;
  const RunFigures after = figures(read_run(folder / "seed=2"), step);
  CHECK(after.flops == before.flops);
  CHECK(std::isnan(after.seconds));
  CHECK(before.seconds > 0);
  CHECK_FALSE(before.seconds_estimated);

  // A run without a round, and one that is there twice.
  fs::copy(run, folder / "seed=1-again", fs::copy_options::recursive);
  fs::copy(run, folder / "none", fs::copy_options::recursive);
  std::ofstream(folder / "none" / "rounds.jsonl") << "";
  set_rounds(folder / "none", "9");
  outcome = ev3_command("report --html " + std::string(temp / "p.html") + " " + folder.string());
  CHECK(outcome.code == 0);
  CHECK_THAT(outcome.out,
             ContainsSubstring("is left out: it is the same run as") && ContainsSubstring("rounds=9"));
  check_html(content_of(temp / "p.html"));
  outcome = ev3_command("report --html " + std::string(temp / "n.html") + " " + std::string(folder / "none"));
  CHECK(outcome.code == 0);
  CHECK_THAT(outcome.out, ContainsSubstring("0 of 9, unfinished"));
  check_html(content_of(temp / "n.html"));
}

TEST_CASE("a report changes nothing, and says the same twice") {
  std::map<std::string, std::string> before, after;
  const auto snapshot = [](std::map<std::string, std::string>& out) {
    for (const auto& entry : fs::recursive_directory_iterator(runs())) {
      if (entry.is_regular_file()) out[entry.path().string()] = content_of(entry.path());
    }
  };
  snapshot(before);
  const std::string once = ev3_command("report " + runs().string()).out;
  CHECK(ev3_command("report " + runs().string()).out == once);
  snapshot(after);
  CHECK(before == after);
}

TEST_CASE("groups that have a folder each are named after it") {
  const TempFolder temp;
  for (const auto& entry : fs::directory_iterator(runs())) {
    const std::string name = entry.path().filename().string();
    const bool is_long = name.starts_with("length=20");
    fs::create_directories(temp / (is_long ? "long" : "short"));
    fs::copy(entry.path(), temp / (is_long ? "long" : "short") / fs::path(name), fs::copy_options::recursive);
  }
  const std::string both = (temp / "long").string() + " " + (temp / "short").string();
  const Outcome outcome = ev3_command("report " + both + " --baseline short");
  CHECK(outcome.code == 0);
  CHECK_THAT(outcome.out, ContainsSubstring("against short") && ContainsSubstring("\nlong "));
  // One folder with both groups: what differs.
  CHECK_THAT(ev3_command("report " + (temp / "long" / "..").string()).out, ContainsSubstring("length=20"));
}
