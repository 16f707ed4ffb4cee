// Checkpoints: exact, checked, and two of them.
#include "ev3/cli/checkpoint.h"

#include <fstream>

#include "datasets/split.h"
#include "datasets/synthetic.h"
#include "tests/catch.h"
#include "tests/command.h"

using namespace ev3::cli;

namespace {

ev3::Evolution evolution(std::uint64_t seed = 1) {
  const auto [explore, assess, adapt] =
      datasets::split<3>(datasets::moons({.samples = 300}), {.fractions = {0.5, 0.25, 0.25}, .seed = 1});
  const ev3::Settings settings{.model = nn::Mlp{.inputs = {2}, .hidden = {3}, .classes = 2},
                               .losses = {nn::CrossEntropy{}},
                               .optimizers = {nn::Sgd{.learning_rate = 0.1, .momentum = 0.9f}, nn::AdamW{}},
                               .explore = {.trajectory_length = 7},
                               .adapt = {.rounds_before_growth = 1, .growth = ev3::Widen{}},
                               .seed = {seed}};
  return {settings, ev3::Pools{explore, assess, adapt, 16}};
}

Checkpoint of(const ev3::Evolution& e) { return {{.evolution = e.state()}, 0x1234, 0xffffffffffffffff}; }

}  // namespace

TEST_CASE("an evolution goes on from a checkpoint to the same bits") {
  ev3::Evolution whole = evolution(), second = evolution(2);
  for (int i = 0; i < 4; ++i) whole.step();
  const std::string bytes = to_bytes(of(whole));
  const Checkpoint read = parse_checkpoint(bytes, "x");
  CHECK(read.experiment == 0x1234);
  CHECK(read.data == 0xffffffffffffffff);
  CHECK(to_bytes(read) == bytes);

  ev3::Evolution resumed = evolution();
  resumed.restore(read.passes.evolution);
  for (int i = 0; i < 3; ++i) {
    whole.step();
    resumed.step();
    CHECK(to_bytes(of(resumed)) == to_bytes(of(whole)));
  }
  CHECK(whole.model().growths > 0);
}

TEST_CASE("a checkpoint from before the first round has no optimizer states") {
  const ev3::Evolution e = evolution();
  const Checkpoint read = parse_checkpoint(to_bytes(of(e)), "x");
  CHECK(read.passes.evolution.optimizers.empty());
  CHECK(read.passes.evolution.model.stable == e.model().stable);
}

TEST_CASE("every changed or missing byte of a checkpoint is found") {
  ev3::Evolution e = evolution();
  e.step();
  const std::string bytes = to_bytes(of(e));
  for (std::size_t i = 0; i < bytes.size(); i += 13) {
    CHECK_THROWS_AS(parse_checkpoint(patched(bytes, i, std::string(1, static_cast<char>(bytes[i] ^ 1))), "x"),
                    autodiff::Error);
  }
  for (const std::size_t size : {std::size_t{0}, std::size_t{5}, bytes.size() / 2, bytes.size() - 1}) {
    CHECK_THROWS_AS(parse_checkpoint(bytes.substr(0, size), "x"), autodiff::Error);
  }
  CHECK_THAT(error_of([&] { parse_checkpoint(patched(bytes, bytes.size() - 1, "!"), "a.safetensors"); }),
             ContainsSubstring("a.safetensors: damaged: its checksum is "));
}

TEST_CASE("two slots take turns, and the older one stands in for a damaged one") {
  const TempFolder folder;
  const std::filesystem::path path = (folder / "x").parent_path();
  CHECK_THAT(error_of([&] { read_newest(path); }), ContainsSubstring("no checkpoint to go on from"));
  ev3::Evolution e = evolution();
  write_checkpoint(path, of(e));
  e.step();
  write_checkpoint(path, of(e));
  CHECK(folder.count() == 2);
  Newest newest = read_newest(path);
  CHECK(newest.checkpoint.passes.evolution.round == 1);
  CHECK(newest.warning.empty());

  std::ofstream(slot(path, 1), std::ios::app) << "x";
  newest = read_newest(path);
  CHECK(newest.checkpoint.passes.evolution.round == 0);
  CHECK_THAT(newest.warning, ContainsSubstring("b.safetensors: damaged"));
  std::ofstream(slot(path, 0)) << "";
  CHECK_THAT(error_of([&] { read_newest(path); }), ContainsSubstring("b.safetensors: damaged"));
}
