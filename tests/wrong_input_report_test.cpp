// What can be wrong with what `ev3 report` and `ev3 sweep` are given: one clear line, exit code 2, nothing
// changed.
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include "tests/wrong_input.h"

namespace {

using namespace wrong_input;

Case report(
    const char* name, const std::string& arguments, const std::string& part,
    const std::function<void(const fs::path&)>& prepare = [](const fs::path&) {}) {
  return {name, "report " + arguments, part, prepare};
}
Case sweep(
    const char* name, const std::string& arguments, const std::string& part,
    const std::function<void(const fs::path&)>& prepare = [](const fs::path&) {}) {
  const bool has_out = arguments.find("--out") != arguments.npos;
  return {name, "sweep " + small + (has_out ? "" : "--out @/s ") + arguments, part, prepare};
}

const std::vector<Case>& cases_of_reports() {
  static const std::vector<Case> list{
      report("no run", "", "RUN is required"),
      report("no such folder", "@/no", "there is nothing of that name"),
      report("a file", "@/run/config.toml", "want the folder of a run or of runs, this is a file"),
      report("a folder without a run", "@/run/checkpoints", "no run in it"),
      report("an unknown baseline", "@/run --baseline alpha=2",
             "--baseline alpha=2: no group of that name: did you mean 'all'?"),
      report("a page that cannot be written", "@/run --html @/no/r.html", "no/r.html"),
      report("a page that is a folder", "@/run --html @/run", "it is a directory"),
      report("a table that cannot be written", "@/run --markdown @/no/r.md", "no/r.md"),
      report("figures that cannot be written", "@/run --csv @/no/r.csv", "no/r.csv"),
      report("records that are damaged", "@/run", "rounds.jsonl:2: not the record of a round",
             [](const fs::path& f) { replace(f / "run/rounds.jsonl", "{\"round\":2", "{\"rounds\":2"); }),
      report("a round that is missing", "@/run",
             "rounds.jsonl:2: want the record of round 2, got that of round 3",
             [](const fs::path& f) { replace(f / "run/rounds.jsonl", "{\"round\":2", "{\"round\":3"); }),
      report("a config that is damaged", "@/run", "config.toml:",
             [](const fs::path& f) { replace(f / "run/config.toml", "rounds = 3", "rounds = "); }),
      report("a config of another run", "@/run", "which config.toml does not have",
             [](const fs::path& f) {
               const std::string text = content_of(f / "run/config.toml");
               const std::size_t first = text.find("[[loss]]"), second = text.find("[[loss]]", first + 1);
               write(f / "run/config.toml", text.substr(0, second) + text.substr(text.find("[[optimizer]]")));
             }),
      report("no model", "@/run", "model.safetensors",
             [](const fs::path& f) { fs::remove(f / "run/model.safetensors"); }),
      report("one damaged run among others", "@", "bad/config.toml",
             [](const fs::path& f) {
               fs::copy(f / "run", f / "bad", fs::copy_options::recursive);
               write(f / "bad/config.toml", "rounds = 0\n");
             }),
      {"an unknown option of report", "report @/run --markdwn x",
       "unknown option '--markdwn': did you mean '--markdown'?"},

      sweep("no config", "@/no.toml", "cannot read"),
      sweep("an unknown key in the grid", "--grid asess.alpha=1,2",
            "--grid asess.alpha=1: unknown key 'asess'"),
      sweep("a value out of range", "--grid assess.alpha=1,-2",
            "--grid assess.alpha=-2: assess.alpha: want a number"),
      sweep("a value of another type", "--grid assess.batches=1,x", "want a whole number"),
      sweep("a contradiction", "--grid pools.test=0.2,0.9", "sum up to at most 1"),
      sweep("an unknown key in --set", "--set asess.alpha=1", "unknown key 'asess'"),
      sweep("a grid without values", "--grid assess.alpha", "want KEY=VALUE,VALUE,..."),
      sweep("an empty grid", "--grid assess.alpha=", "a value is empty"),
      sweep("an empty value", "--grid assess.alpha=1,,2", "a value is empty"),
      sweep("a value twice", "--grid assess.alpha=1,2,1", "want each value once, 1 is there twice"),
      sweep("a key twice", "--grid assess.alpha=1 --grid assess.alpha=2", "assess.alpha is there twice"),
      sweep("the same value in two ways", "--grid assess.alpha=1,1.0", "are the same"),
      sweep("a bracket without a partner", "--grid 'model.hidden=[8,[16]'", "has no partner"),
      sweep("seeds as a grid", "--grid seed=1,2", "seeds are given as --seeds 1..5"),
      sweep("no seeds", "--seeds ''", "--seeds"),
      sweep("seeds that are no numbers", "--seeds a", "want seeds such as 1..5 or 1,4,9"),
      sweep("seeds below 0", "--seeds -1..3", "want seeds such as"),
      sweep("half a range", "--seeds 1..", "want seeds such as"),
      sweep("three dots", "--seeds 1...3", "want seeds such as"),
      sweep("seeds backwards", "--seeds 5..1", "want the first seed at most the last"),
      sweep("a seed twice", "--seeds 1..3,2", "2 is there twice"),
      sweep("too many seeds", "--seeds 0..99999999", "at most 10000"),
      sweep("too many runs", "--seeds 1..5000 --grid assess.alpha=1,2,3", "want at most 10000 runs"),
      sweep("no jobs", "--jobs 0", "--jobs"),
      sweep("an unknown option", "--job 3", "unknown option '--job': did you mean '--jobs'?"),
      sweep("a folder that is a file", "--seeds 1", "there is a file of that name",
            [](const fs::path& f) { write(f / "s", ""); }),
      sweep("a folder below a file", "--out @/run/config.toml/x", "config.toml/x"),
      sweep("a folder that holds something else", "--seeds 1", "there is something in it, but no sweep",
            [](const fs::path& f) { write(f / "s/notes.txt", "mine"); }),
      sweep("a folder that is a run", "--out @/run", "there is something in it, but no sweep"),
      sweep("another sweep", "--seeds 1..3", "another sweep is in it: nothing there, seeds = [1, 2, 3] here",
            [](const fs::path& f) {
              write(f / "s/sweep.toml",
                    "# A sweep: a run for every combination of the values below and every seed, in the "
                    "folders beside this\n"
                    "# file. The same `ev3 sweep` goes on with it.\n");
            }),
  };
  return list;
}

}  // namespace

TEST_CASE("report and sweep: every kind of wrong input gets one clear line and changes nothing") {
  REQUIRE(cases_of_reports().size() >= 40);
  check_all_refused(cases_of_reports());
}

TEST_CASE("two sweeps in one folder at once: the second one is refused") {
  const TempFolder temp;
  const fs::path folder = temp / "x";
  fs::create_directories(folder);
  const std::string arguments = "sweep " + small + "--set rounds=1 --quiet --out @/s";
  REQUIRE(ev3_command(with_folder(arguments, folder)).code == 0);
  const int lock = ::open((folder / "s/lock").c_str(), O_RDWR);
  REQUIRE(::flock(lock, LOCK_EX | LOCK_NB) == 0);
  check_refused({"in use", arguments, "in use by another process"}, folder);
  ::close(lock);
  CHECK(ev3_command(with_folder(arguments, folder)).code == 0);
}
