// Every config that comes with the project: what it costs is said beforehand, and two rounds of it run, with
// networks of full size and little data.
#include "ev3/cli/config.h"
#include "tests/cifar_files.h"
#include "tests/logits_files.h"
#include "tests/wrong_input.h"

using namespace wrong_input;
using ev3::cli::DataKind;

namespace {

struct Config {
  std::string path;
  ev3::cli::Experiment experiment;
};

std::vector<Config> configs() {
  std::vector<Config> out;
  for (const auto& entry : fs::recursive_directory_iterator(EV3_SOURCE_DIR "/configs")) {
    if (entry.path().extension() != ".toml" || entry.path().filename() == "mnist.toml")
      continue;  // MNIST's own files
    out.push_back({entry.path().string(), ev3::cli::read_experiment(entry.path())});
  }
  return out;
}

// The arguments that give a config files to read and make its rounds short.
std::string on_little_data(const Config& config, const fs::path& folder) {
  const ev3::cli::DataConfig& data = config.experiment.data;
  std::string out = config.path +
                    " --set rounds=2 --set explore.trajectory_length=2 --set assess.batches=1 "
                    "--set adapt.batches=1 --set data.batch=4";
  if (data.name == DataKind::cifar10) out += " --set data.path=" + (folder / "ten").string();
  if (data.name == DataKind::cifar100) out += " --set data.path=" + (folder / "hundred").string();
  const bool hundred = data.name == DataKind::cifar100;
  if (!data.logits.empty()) {
    out += " --set data.logits=" + (folder / (hundred ? "hundred.npz" : "ten.npz")).string();
  }
  return out;
}

}  // namespace

TEST_CASE("every config runs two rounds, and says beforehand what it costs", "[slow]") {
  const TempFolder temp;
  const fs::path folder = temp / "x";
  make_cifar10(folder / "ten", 60);
  make_cifar100(folder / "hundred", 200);
  write(folder / "ten.npz", LogitsMaker{.rows = 40, .classes = 10, .height = 16, .width = 16}.npz());
  write(folder / "hundred.npz", LogitsMaker{.rows = 40, .classes = 100, .height = 32, .width = 32}.npz());
  int run = 0;
  for (const Config& config : configs()) {
    INFO(config.path);
    const std::string arguments = on_little_data(config, folder);
    const Outcome dry = ev3_command("run --dry-run " + arguments);
    CHECK(dry.code == 0);
    CHECK_THAT(dry.out, ContainsSubstring("gradient steps  ") &&
                            ContainsSubstring("\ntime            about ") && ContainsSubstring(" a round, "));
    const std::string out = (folder / ("run-" + std::to_string(run++))).string();
    const Outcome outcome = ev3_command("run --quiet " + arguments + " --out " + out);
    CHECK(outcome.err == "");
    CHECK(outcome.code == 0);
    CHECK(ev3_command("report " + out).code == 0);
  }
  CHECK(run >= 15);
}

TEST_CASE("passes and budgets that cannot be are refused") {
  const std::string run = "run " + small + "--out @/out ";
  const std::string distill =
      "--set 'teachers=[\"@/run/model.safetensors\"]' --set 'loss=[{kind=\"distillation\",teacher=0}]' ";
  check_all_refused({
      {"a pass that never ends", run + distill + "--set passes.count=2", "the first of 2 would never end"},
      {"passes without distillation", run + "--set 'passes={count=2,rounds=3}'", "want a distillation loss"},
      {"no pass at all", run + "--set passes.count=0", "passes.count: want a whole number of at least 1"},
      {"an unknown start", run + "--set passes.start=old", "one of \"fresh\", \"smallest\""},
      {"an unknown rule of the archive", run + "--set passes.archive=best",
       "one of \"measured\", \"reference\""},
      {"an unknown key of passes", run + "--set passes.round=3", "did you mean 'rounds'?"},
      {"blocks of a perceptron", run + "--set passes.largest_blocks=2",
       "for the family mlp want most_parameters"},
      {"no parameters", run + "--set passes.most_parameters=0", "of at least 1, got 0"},
      {"passes that are no table", run + "--set passes=3", "passes: want a table"},
      {"a budget below one step", run + "--set max_gradient_steps=0", "of at least 1, got 0"},
      {"a budget too small for all candidates",
       run + "--set 'loss=[{kind=\"cross_entropy\"},{kind=\"cross_"
             "entropy\",multipliers=[2.0]}]' --set max_gradient_steps=1",
       "want at least one step for each of the 4 candidates, got 1"},
      {"no parameters at all", run + "--set adapt.max_parameters=0", "of at least 1, got 0"},
      {"a limit for what does not grow",
       "run " EV3_SOURCE_DIR "/configs/demo.toml --out @/out --set adapt.max_parameters=99",
       "limits adapt.growth, which is not given"},
      {"other passes on resume", "run --resume @/run --set passes.count=1",
       "this is another experiment: nothing there, [passes] here"},
  });
}
