// `ev3 run` as its user sees it: what it prints, what it leaves, and that it goes on where it stood.
#include <algorithm>
#include <nlohmann/json.hpp>
#include <sstream>

#include "ev3/cli/record_json.h"
#include "ev3/cli/run_report.h"
#include "nn/model_file.h"
#include "tests/catch.h"
#include "tests/command.h"

namespace {

namespace fs = std::filesystem;

// A run of a fraction of a second that grows.
const std::string growing =
    "--set data.name=moons --set data.samples=600 --set \"model.hidden=[4]\" --set rounds=6 "
    "--set explore.trajectory_length=20 --set adapt.rounds_before_growth=1 "
    "--set pools.explore=0.4 --set pools.adapt=0.2 ";

std::vector<std::string> lines(const std::string& text) {
  std::vector<std::string> out;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) out.push_back(line);
  return out;
}

}  // namespace

TEST_CASE("a run prints a line a round and leaves a complete folder") {
  const TempFolder temp;
  const std::string out = temp / "r";
  const Outcome outcome = ev3_command("run " + growing + "--out " + out);
  REQUIRE(outcome.code == 0);
  CHECK(outcome.err.empty());
  const auto printed = lines(outcome.out);
  REQUIRE(printed.size() == 4 + 6 + 3);
  CHECK_THAT(printed[0], ContainsSubstring("moons 600 x 2, 2 classes   seed 1"));
  CHECK_THAT(printed[1], ContainsSubstring("pools explore 240 / assess "));
  CHECK_THAT(printed[2],
             ContainsSubstring("mlp 2-4-2, 22 parameters   6 candidates (3 losses x 2 optimizers) x 20"));
  for (std::size_t i = 0; i < 4 + 6; ++i) CHECK(printed[i].size() <= 120);
  CHECK_THAT(outcome.out,
             ContainsSubstring("grown to mlp 2-9-2") && ContainsSubstring(out + "/model.safetensors"));

  const auto rounds = lines(content_of(out + "/rounds.jsonl"));
  REQUIRE(rounds.size() == 6);
  const auto last = nlohmann::json::parse(rounds.back());
  CHECK(last["round"] == 6);
  CHECK(last["explore"]["candidates"].size() == 6);
  CHECK(last["explore"]["candidates"][5]["losses"].size() == 20);
  CHECK(last["explore"]["gradient_steps"] == 6 * 6 * 20);

  const auto metrics = lines(content_of(out + "/metrics.jsonl"));
  REQUIRE(metrics.size() == 12);
  const auto test = nlohmann::json::parse(metrics.back()), train = nlohmann::json::parse(metrics[10]);
  CHECK(test["split"] == "test");
  CHECK(test["eval_acc"].get<double>() ==
        last["test"]["hits"].get<double>() / last["test"]["samples"].get<double>());
  CHECK(train["train_lcb"] <= train["train_acc"]);
  CHECK(train["seconds"] > 0);
  CHECK(last["architecture"]["family"] == "mlp");
  const auto csv = lines(content_of(out + "/metrics.csv"));
  REQUIRE(csv.size() == 13);
  for (const std::string& line : csv) CHECK(std::count(line.begin(), line.end(), ',') == 11);
  CHECK_THAT(content_of(out + "/env.txt"),
             ContainsSubstring("compiler  ") && ContainsSubstring("--out " + out));

  // The model computes what the last record says of it.
  const nn::ModelFile model = nn::read_model(out + "/model.safetensors");
  const auto eval = nlohmann::json::parse(
      ev3_command("eval " + out + "/model.safetensors --data " + out + "/config.toml --json").out);
  CHECK(eval["network"]["hidden"] == std::get<nn::Mlp>(model.network).hidden);
  CHECK(eval["samples"] == last["test"]["samples"]);
  CHECK(eval["hits"] == last["test"]["hits"]);
}

TEST_CASE("a model and a checkpoint do not depend on threads, place or time") {
  const TempFolder temp;
  for (const std::string threads : {"1", "2", "3"}) {
    REQUIRE(ev3_command("run --quiet " + growing + "--threads " + threads + " --out " +
                        std::string(temp / threads))
                .code == 0);
    CHECK(lasting_files(temp / threads) == lasting_files(temp / "1"));
  }
}

TEST_CASE("--quiet says the result only, --dry-run writes nothing") {
  const TempFolder temp;
  const Outcome quiet = ev3_command("run --quiet " + growing + "--out " + std::string(temp / "q"));
  CHECK(lines(quiet.out).size() == 3);
  CHECK_THAT(quiet.out, ContainsSubstring("best  stable model of round "));
  const Outcome dry = ev3_command("run --dry-run " + growing + "--out " + std::string(temp / "d"));
  CHECK(dry.code == 0);
  CHECK_THAT(dry.out, ContainsSubstring("trajectory_length = 20") &&
                          ContainsSubstring("parameters      22") &&
                          ContainsSubstring("gradient steps  720 = 6 rounds x 6 candidates x 20 steps") &&
                          ContainsSubstring("FLOPs") && ContainsSubstring("of workspace"));
  CHECK(temp.count() == 1);
}

TEST_CASE("a run goes on for more rounds as if they had been asked for at first") {
  const TempFolder temp;
  const std::string once = temp / "once", twice = temp / "twice";
  REQUIRE(ev3_command("run --quiet " + growing + "--out " + once).code == 0);
  REQUIRE(ev3_command("run --quiet " + growing + "--rounds 3 --out " + twice).code == 0);
  const auto before = lasting_files(twice);
  const Outcome finished = ev3_command("run --resume " + twice);
  CHECK(finished.code == 0);
  CHECK_THAT(finished.out,
             ContainsSubstring("finished already, after 3 rounds") && ContainsSubstring("--rounds 6"));
  CHECK(lasting_files(twice) == before);
  const Outcome more = ev3_command("run --rounds 6 --resume " + twice);
  CHECK_THAT(more.out, ContainsSubstring("going on after round 3 of 6"));
  CHECK(lasting_files(twice) == lasting_files(once));
}

TEST_CASE("a record written as JSON is read back as it was") {
  const TempFolder temp;
  REQUIRE(ev3_command("run --quiet " + growing + "--out " + std::string(temp / "r")).code == 0);
  bool grown = false;
  for (const std::string& line : lines(content_of(temp / "r" / "rounds.jsonl"))) {
    const ev3::cli::Round round = ev3::cli::round_from_json(line, "here");
    CHECK(to_json(round) == line);
    grown = grown || round.record.growth.has_value();
  }
  CHECK(grown);
  CHECK_THAT(error_of([] { ev3::cli::round_from_json("{\"round\": 1}", "here:1"); }),
             ContainsSubstring("here:1: not the record of a round"));
}

TEST_CASE("numbers are shown short") {
  using namespace ev3::cli;
  CHECK(short_number(0.9444) == ".944");
  CHECK(short_number(0.99951) == "1.00");
  CHECK(short_number(0) == ".000");
  CHECK(short_number(-0.25) == "-.250");
  CHECK(grouped(1797) == "1,797");
  CHECK(grouped(-12345678) == "-12,345,678");
  CHECK(grouped(100) == "100");
  CHECK(bytes_text(41234) == "41 kB");
  CHECK(bytes_text(999) == "999 B");
}
