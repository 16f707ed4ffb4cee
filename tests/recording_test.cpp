// ev3 run --record-bundle and ev3 replay, as a user types them.
#include <filesystem>

#include "tests/catch.h"
#include "tests/command.h"
#include "tests/files.h"

using Catch::Matchers::ContainsSubstring;

TEST_CASE("a run records rounds that replay to the same bits, a growth and a start in the middle included") {
  const TempFolder temp;
  const std::string run = "run --quiet --rounds 7 --out " + (temp / "run").string();
  const auto recorded =
      ev3_command(run + " --record-bundle " + (temp / "bundle").string() + " --iterations 3..6");
  INFO(recorded.err);
  REQUIRE(recorded.code == 0);
  CHECK_THAT(recorded.out, ContainsSubstring("iterations 3..6 recorded"));
  const auto replayed = ev3_command("replay " + (temp / "bundle").string());
  CHECK(replayed.code == 0);
  CHECK_THAT(replayed.out, ContainsSubstring("grown to") && ContainsSubstring("worst 0.0e+00"));
}

TEST_CASE("recording refuses what it cannot do before anything is run") {
  const TempFolder temp;
  const std::string run = "run --quiet --rounds 1 --out " + (temp / "run").string() + " --record-bundle ";
  const auto odd = ev3_command(run + (temp / "b").string() + " --iterations 3");
  CHECK(odd.code == 2);
  CHECK_THAT(odd.err, ContainsSubstring("want FIRST..LAST"));
  std::filesystem::create_directories(temp / "full/inside");
  const auto full = ev3_command(run + (temp / "full").string());
  CHECK(full.code == 2);
  CHECK_THAT(full.err, ContainsSubstring("want a new or empty folder"));
  CHECK_FALSE(std::filesystem::exists(temp / "run"));
}
