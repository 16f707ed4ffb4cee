// `ev3 sweep`: which runs there are, that they are the same as single runs, and that a sweep goes on where it
// stood, however it ended.
#include <algorithm>
#include <chrono>
#include <map>
#include <set>

#include "ev3/cli/run_records.h"
#include "ev3/cli/sweep_plan.h"
#include "tests/catch.h"
#include "tests/command.h"

namespace {

namespace fs = std::filesystem;
using namespace ev3::cli;

const std::string base =
    "--set data.name=moons --set data.samples=600 --set model.hidden=[4] --set rounds=4 "
    "--set explore.trajectory_length=20 --set adapt.rounds_before_growth=1 ";

/// Every file of a run with its content, but for those that tell times.
int count_of(const std::string& text, const std::string& part) {
  int count = 0;
  for (std::size_t at = 0; (at = text.find(part, at)) != text.npos; at += part.size()) ++count;
  return count;
}

/// A sweep that is sent a signal after so many seconds; its exit code, 128 + signal where that ended it.
int sweep_for(double seconds, const std::string& signal, const std::string& arguments) {
  const std::string command = "timeout --foreground --preserve-status -s " + signal + " " +
                              std::to_string(seconds) + " " EV3_PROGRAM " sweep " + arguments +
                              " >/dev/null 2>&1 </dev/null";
  return WEXITSTATUS(std::system(command.c_str()));
}

}  // namespace

TEST_CASE("grids are split at commas outside of brackets and quotes") {
  using Values = std::vector<std::string>;
  for (const auto& [text, values] :
       std::map<std::string, Values>{{"a=1", {"1"}},
                                     {"a=1,2.5,x", {"1", "2.5", "x"}},
                                     {"m.h=[8],[16,16],[]", {"[8]", "[16,16]", "[]"}},
                                     {"g={kind = \"widen\", factor = 2},{kind = \"deepen\"}",
                                      {"{kind = \"widen\", factor = 2}", "{kind = \"deepen\"}"}},
                                     {"p='a,b',\"c,]\"", {"'a,b'", "\"c,]\""}},
                                     {"a=b=c", {"b=c"}}}) {
    const GridAxis axis = parse_axis(text);
    CHECK(axis.key == text.substr(0, text.find('=')));
    CHECK(axis.values == values);
  }
  using Seeds = std::vector<std::int64_t>;
  CHECK(parse_seeds("3") == Seeds{3});
  CHECK(parse_seeds("1..4") == Seeds{1, 2, 3, 4});
  CHECK(parse_seeds("7,0..1,5") == Seeds{7, 0, 1, 5});
}

TEST_CASE("a plan has every combination once, under a name that says which") {
  const SweepPlan plan =
      make_plan({.config = "",
                 .seeds = "1,3",
                 .overrides = {"rounds=2"},
                 .grid = {"assess.alpha=0.5,2", "adapt.alpha=1", "model.hidden=[8],[4, 4]"}});
  REQUIRE(plan.runs.size() == 8);
  CHECK(plan.runs[0].name == "assess.alpha=0.5,adapt.alpha=1,hidden=[8],seed=1");
  CHECK(plan.runs[1].name == "assess.alpha=0.5,adapt.alpha=1,hidden=[8],seed=3");
  CHECK(plan.runs[7].name == "assess.alpha=2,adapt.alpha=1,hidden=[4,4],seed=3");
  std::set<std::string> configs;
  for (const SweepRun& run : plan.runs) {
    configs.insert(to_toml(run.experiment));
    CHECK(run.experiment.rounds == 2);
  }
  CHECK(configs.size() == 8);
  CHECK(plan.runs[7].experiment.assess.alpha == 2);
  CHECK(plan.runs[7].experiment.model.hidden == std::vector<int>{4, 4});
  CHECK(plan.runs[7].experiment.seed == 3);

  const SweepPlan paths = make_plan({.config = "",
                                     .seeds = {},
                                     .overrides = {"data.name=file", "data.path=x.csv"},
                                     .grid = {"data.label=a/b,a_b," + std::string(300, 'x')}});
  CHECK(paths.runs[0].name == "label=a_b,seed=1");
  CHECK(paths.runs[1].name == "label=a_b,seed=1-2");
  CHECK(paths.runs[2].name.size() < 200);
  CHECK_THAT(definition_difference(plan.definition, paths.definition),
             ContainsSubstring("seeds = [1, 3] there, seeds = [1] here"));
  CHECK(definition_difference(plan.definition, plan.definition) == "");
}

TEST_CASE("the runs of a sweep are those of ev3 run, byte by byte, in any number at a time") {
  const TempFolder temp;
  const std::string out = temp / "a", arguments = base + "--grid assess.alpha=0.5,2 --seeds 1..2 ";
  const Outcome outcome = ev3_command("sweep " + arguments + "--jobs 3 --out " + out);
  REQUIRE(outcome.code == 0);
  CHECK(outcome.err.empty());
  CHECK_THAT(outcome.out, ContainsSubstring("4 runs, 3 at a time") && ContainsSubstring("4/4  alpha=") &&
                              ContainsSubstring("against alpha=0.5"));
  CHECK(count_of(outcome.out, "  test .") + count_of(outcome.out, "  test 1.00") == 4);
  CHECK_THAT(outcome.out, ContainsSubstring(ev3_command("report " + out).out));
  REQUIRE(ev3_command("sweep --quiet " + arguments + "--jobs 1 --out " + std::string(temp / "b")).code == 0);
  for (const std::string alpha : {"0.5", "2"}) {
    for (const std::string seed : {"1", "2"}) {
      const std::string name = "alpha=" + alpha + ",seed=" + seed, single = temp / name;
      REQUIRE(ev3_command("run --quiet " + base + "--set assess.alpha=" + alpha + " --seed " + seed +
                          " --out " + single)
                  .code == 0);
      CHECK(lasting_files(temp / "a" / name) == lasting_files(single));
      CHECK(lasting_files(temp / "b" / name) == lasting_files(single));
    }
  }
  const auto before = lasting_files(out);
  const Outcome again = ev3_command("sweep " + arguments + "--out " + out);
  CHECK(again.code == 0);
  CHECK_THAT(again.out, ContainsSubstring("4 runs (4 finished already)") && !ContainsSubstring("1/4"));
  CHECK(lasting_files(out) == before);
}

TEST_CASE("a run that fails does not stop the others, and is tried again") {
  const TempFolder temp;
  const std::string good = temp / "good.csv", late = temp / "late.csv", out = temp / "s";
  std::string rows;
  for (int i = 0; i < 80; ++i) rows += std::to_string(i % 7) + "," + std::to_string(i % 2) + "\n";
  std::ofstream(good) << rows;
  const std::string arguments =
      "sweep --set data.name=file --set rounds=2 --set explore.trajectory_length=3 --set data.path=" + good +
      " --grid data.path=" + good + "," + late + " --seeds 1..2 --out " + out;
  const Outcome outcome = ev3_command(arguments);
  CHECK(outcome.code == 2);
  CHECK(count_of(outcome.out, "failed  path=") == 2);
  CHECK_THAT(outcome.out, ContainsSubstring("2/4  path="));
  CHECK_THAT(outcome.err, ContainsSubstring(late) && ContainsSubstring("2 of 4 runs failed"));
  CHECK(count_of(outcome.err, "\n") == 3);
  CHECK(count_of(outcome.err, "ev3 sweep: ") == 3);

  std::ofstream(late) << rows << "3,1\n";
  const Outcome again = ev3_command(arguments);
  CHECK(again.code == 0);
  CHECK(again.err.empty());
  CHECK_THAT(again.out, ContainsSubstring("(2 finished already)") && ContainsSubstring("4/4  path="));

  // A folder that was tampered with is neither used nor overwritten.
  const auto runs = find_runs({out});
  REQUIRE(runs.size() == 4);
  std::string config = content_of(runs[0] / "config.toml");
  config.replace(config.find("rounds = 2"), 10, "rounds = 3");
  std::ofstream(runs[0] / "config.toml") << config;
  const Outcome tampered = ev3_command(arguments);
  CHECK(tampered.code == 2);
  CHECK_THAT(tampered.err,
             ContainsSubstring("not the config of this run") && ContainsSubstring("1 of 4 runs failed"));
  CHECK(content_of(runs[0] / "config.toml") == config);
}

TEST_CASE("killed and interrupted again and again, a sweep ends with the same bytes", "[slow]") {
  using Clock = std::chrono::steady_clock;
  const TempFolder temp;
  const std::string arguments =
      "--set data.name=spirals --set data.samples=1000 --set model.hidden=[8] --set rounds=8 "
      "--set explore.trajectory_length=100 --grid adapt.batches=4,8 --seeds 1..2 --jobs 2 --out ";
  const auto seconds_of = [](const std::string& command) {
    const Clock::time_point start = Clock::now();
    REQUIRE(ev3_command(command).code == 0);
    return std::chrono::duration<double>(Clock::now() - start).count();
  };
  // Libraries of a device take a while to load.
  const double startup = std::min(seconds_of("--version"), seconds_of("--version"));
  const double duration = seconds_of("sweep --quiet " + arguments + std::string(temp / "whole")) - startup;
  const auto expected = lasting_files(temp / "whole");
  CHECK(count_of(content_of(temp / "whole" / "sweep.toml"), "[[grid]]") == 1);

  for (const std::string signal : {"KILL", "INT", "TERM"}) {
    const std::string out = temp / signal;
    const autodiff::Random random(autodiff::Seed{5}.stream(signal));
    int stops = 0;
    for (int code = -1; code != 0;) {
      // The first time early enough that it cannot be done.
      const double latest = stops == 0 ? 0.05 : std::max(0.03, duration / 4);
      const double delay = startup + random.uniform(static_cast<std::uint64_t>(stops), 0.02, latest);
      code = sweep_for(delay, signal, arguments + out);
      // 128 + signal: before it listened to signals.
      REQUIRE((code == 0 || code == 130 || code == 137 || code == 143));
      stops += code != 0;
      REQUIRE(stops < 200);
    }
    CHECK(stops > 0);
    INFO(signal << " " << stops);
    CHECK(lasting_files(out) == expected);
  }
}

TEST_CASE("an interrupted sweep says how far it came", "[slow]") {
  const TempFolder temp;
  const std::string err = temp / "err", out = temp / "s";
  const std::string command = "timeout --foreground --preserve-status -s INT 1 " EV3_PROGRAM
                              " sweep --set rounds=100000 --seeds 1..3 --jobs 2 --out " +
                              out + " >/dev/null 2>" + err;
  CHECK(WEXITSTATUS(std::system(command.c_str())) == 130);
  CHECK(content_of(err) ==
        "ev3 sweep: interrupted with 0 of 3 runs finished; the same command goes on with the rest\n");
  // No process is left behind: the folders can be locked.
  const auto runs = find_runs({out});
  REQUIRE(!runs.empty());
  for (const auto& run : runs) CHECK(read_run(run).rounds.size() < 100000);
  const std::string one_more = std::to_string(read_run(runs.front()).rounds.size() + 1);
  CHECK(ev3_command("run --quiet --resume " + runs.front().string() + " --rounds " + one_more).code == 0);
}
