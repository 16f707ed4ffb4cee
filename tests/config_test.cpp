// The config: what it means, how it is written back, and what is said about mistakes.
#include "ev3/cli/config.h"

#include <filesystem>

#include "ev3/cli/config_build.h"
#include "tests/catch.h"
#include "tests/command.h"

using namespace ev3::cli;

namespace {

Experiment parse(const std::string& text, const std::vector<std::string>& overrides = {}) {
  return parse_experiment(text, "c.toml", overrides);
}
std::string refusal(const std::string& text, const std::vector<std::string>& overrides = {}) {
  return error_of([&] { parse(text, overrides); });
}

std::filesystem::path configs() { return std::filesystem::path(EV3_SOURCE_DIR) / "configs"; }

}  // namespace

TEST_CASE("an empty config is the defaults") {
  const Experiment e = parse("");
  CHECK(e.seed == 1);
  CHECK(e.losses == std::vector<nn::Loss>{nn::CrossEntropy{}});
  CHECK(nn::describe(e.optimizers.at(0)) == "adamw 0.001");
  CHECK_FALSE(e.adapt.growth.has_value());
  CHECK(e.explore.weight_decay_from == ev3::WeightDecayFrom::moving);
}

TEST_CASE("the digits experiment is the file in configs/, and all configs there are read") {
  CHECK(content_of(configs() / "digits.toml") == digits_toml);
  const Experiment e = parse(digits_toml);
  CHECK(e.losses.size() * e.optimizers.size() == 6);
  CHECK(std::get<ev3::Widen>(*e.adapt.growth).factor == 2);
  CHECK(read_experiment(configs() / "demo.toml").profile == Profile::reference);
  CHECK(read_experiment(configs() / "mnist.toml", {"data.path=here"}).data.path ==
        (std::filesystem::current_path() / "here").string());
}

TEST_CASE("every kind of value is read") {
  const Experiment e = parse(R"(
seed = 7
history_limit = -1
model = {hidden = [3, 4]}
[data]
name = "moons"
samples = 500
noise = 0
[[loss]]
kind = "cross_entropy"
multipliers = [0.5, 2]
[[optimizer]]
kind = "sgd"
learning_rate = {kind = "warmup", steps = 10, then = {kind = "cosine", initial = 0.5, steps = 90, final = 0.1}}
momentum = 0.9
nesterov = true
[[optimizer]]
kind = "rmsprop"
learning_rate = {kind = "sequence", parts = [0.1, {kind = "step", initial = 0.1, factor = 0.5, every = 5}], steps = [20]}
[explore]
clip_norm = 1
[adapt]
rule = "always_accept"
rounds_before_growth = 0
growth = {kind = "deepen", layer = 2}
)");
  CHECK(e.seed == 7);
  CHECK(e.history_limit == -1);
  CHECK(e.model.hidden == std::vector<int>{3, 4});
  CHECK(e.data.samples == 500);
  CHECK(e.data.noise == 0);
  CHECK(std::get<nn::CrossEntropy>(e.losses[0]).multipliers == std::vector<float>{0.5f, 2.0f});
  const auto& sgd = std::get<nn::Sgd>(e.optimizers[0]);
  CHECK(sgd.nesterov);
  CHECK(sgd.learning_rate(5) == Approx(0.25));
  CHECK(sgd.learning_rate(100) == Approx(0.1));
  CHECK(nn::learning_rate(e.optimizers[1])(26) == Approx(0.05));
  CHECK(e.explore.clip_norm == 1.0);
  CHECK(e.adapt.rule == ev3::AdaptRule::always_accept);
  CHECK(std::get<ev3::Deepen>(*e.adapt.growth).layer == 2);
}

TEST_CASE("an experiment written back is the same experiment") {
  const std::vector<std::string> texts{"", digits_toml, content_of(configs() / "demo.toml"),
                                       content_of(configs() / "mnist.toml"),
                                       R"(profile = "reference"
      [data]
      name = "file"
      path = "a \"b\"\\ \u0001 ü.csv"
      label = "x"
      separator = ";"
      [[optimizer]]
      kind = "adam"
      learning_rate = {kind = "sequence", parts = [{kind = "warmup", steps = 3, then = 1e-7}, {kind = "constant", value = 0.1}], steps = [9]}
      [[optimizer]]
      kind = "adamw"
      b1 = 0.123456789
      [explore]
      trajectory_factor = 1.1
      clip_norm = 1e20
      [adapt]
      rounds_before_growth = 2
      growth = {kind = "expand", factor = 1.3}
      )"};
  for (const std::string& text : texts) {
    const std::vector<std::string> path = text.find("mnist") == text.npos
                                              ? std::vector<std::string>{}
                                              : std::vector<std::string>{"data.path=p"};
    const Experiment first = parse(text, path);
    const std::string written = to_toml(first);
    INFO(written);
    const Experiment second = parse(written);
    CHECK(to_toml(second) == written);
    CHECK(identity(second) == identity(first));
    CHECK(difference(first, second).empty());
  }
}

TEST_CASE("--set changes one value") {
  const Experiment e =
      parse(digits_toml, {"optimizer.0.learning_rate=0.25", "data.name=xor", "model.hidden=[5, 6]",
                          "adapt.growth.factor=3", "loss.2={kind = \"cross_entropy\", multipliers = [9]}",
                          "explore.clip_norm=2", "rounds=3", "rounds=4"});
  CHECK(nn::learning_rate(e.optimizers[0])(0) == 0.25);
  CHECK(e.data.name == DataKind::exclusive_or);
  CHECK(e.model.hidden == std::vector<int>{5, 6});
  CHECK(std::get<ev3::Widen>(*e.adapt.growth).factor == 3);
  CHECK(std::get<nn::CrossEntropy>(e.losses[2]).multipliers == std::vector<float>{9});
  CHECK(e.explore.clip_norm == 2.0);
  CHECK(e.rounds == 4);
  CHECK(parse("", {"data.name=file", "data.path=my file=1.csv"}).data.path.ends_with("/my file=1.csv"));
}

TEST_CASE("the reference profile is three options that can be changed one by one") {
  const Experiment e = parse("profile = \"reference\"");
  CHECK(e.explore.weight_decay_from == ev3::WeightDecayFrom::start);
  CHECK(e.adapt.restart_without_growth);
  CHECK(e.consume_check_batches);
  CHECK(parse("profile = \"reference\"", {"explore.weight_decay_from=moving"}).explore.weight_decay_from ==
        ev3::WeightDecayFrom::moving);
}

TEST_CASE("identity leaves out what results do not depend on") {
  const Experiment e = parse(digits_toml);
  CHECK(identity(parse(digits_toml, {"rounds=99"})) == identity(e));
  CHECK(identity(parse(digits_toml, {"seed=2"})) != identity(e));
  CHECK(identity(parse(digits_toml, {"adapt.growth.factor=2.5"})) != identity(e));
  CHECK(difference(e, parse(digits_toml, {"explore.trajectory_length=5"})) ==
        "[explore] trajectory_length = 300 there, trajectory_length = 5 here");
  const std::vector<std::string> mnist{"data.path=a"}, elsewhere{"data.path=b"};
  CHECK(identity(read_experiment(configs() / "mnist.toml", mnist)) ==
        identity(read_experiment(configs() / "mnist.toml", elsewhere)));
}

TEST_CASE("pools are disjoint unless they are shared, and the test set belongs to none") {
  const Experiment e = parse(digits_toml);
  const ExperimentData data = load_data(e);
  int sum = 0;
  for (const int size : data.pool_sizes) sum += size;
  CHECK(sum == 1797);
  CHECK(data.samples == 1797);
  const Experiment shared = parse("[pools]\nshared = true\nexplore = 0.5\ntest = 0.5");
  const ExperimentData one = load_data(shared);
  CHECK(one.pool_sizes[1] == one.pool_sizes[0]);
  CHECK(one.pool_sizes[3] == 898);
  CHECK(load_data(parse(digits_toml, {"seed=2"})).hash == data.hash);
  CHECK_THAT(error_of([] { load_data(parse("[data]\nname=\"moons\"\nsamples=20\n[pools]\ntest=0.01")); }),
             ContainsSubstring("pools.test: 0.01 of 20 samples is none"));
}

TEST_CASE("mistakes are refused with their place, what was wanted and what came") {
  const auto says = [](const std::string& text, const std::string& message) {
    INFO(text);
    CHECK(refusal(text) == message);
  };
  says("rounds = \"ten\"", "c.toml:1:10: rounds: want a whole number of at least 1, got 'ten'");
  says("\n  sede = 3", "c.toml:2:3: unknown key 'sede': did you mean 'seed'?");
  says("[explore]\ntrajectory_lenght = 3",
       "c.toml:2:1: unknown key 'explore.trajectory_lenght': did you mean 'trajectory_length'?");
  says("[model]\nhidden = [8, 0]", "c.toml:2:14: model.hidden.1: want a whole number of at least 1, got 0");
  says("[assess]\nalpha = -1", "c.toml:2:9: assess.alpha: want a number of at least 0, got -1");
  says("[adapt]\nrule = \"best\"",
       "c.toml:2:8: adapt.rule: want one of \"significance\", \"always_accept\", got 'best'");
  says("[[optimizer]]\nkind = \"sgd\"\nmomentum = 1.0",
       "c.toml:3:12: optimizer.0.momentum: want a number of at least 0 and below 1, got 1.0");
  says("[data]\nname = \"digits\"\nsamples = 9",
       "c.toml:3:1: unknown key 'data.samples' where name = \"digits\": did you mean 'name'?");
  says("rounds = 3\nrounds = 4", refusal("rounds = 3\nrounds = 4"));
  CHECK_THAT(refusal("rounds = 3\nrounds = 4"), ContainsSubstring("c.toml:2:"));
  CHECK(refusal("", {"explore.trajectory_length=x y"}) ==
        "--set explore.trajectory_length=x y: explore.trajectory_length: want a whole number of at least 1, "
        "got 'x y'");
  CHECK_THAT(refusal("", {"optimizer.0.b1=0.5"}), ContainsSubstring("--set optimizer.0.b1=0.5: "));
  CHECK_THAT(refusal(digits_toml, {"optimizer.7.b1=0.5"}), ContainsSubstring("want an index from 0 to 1"));
  CHECK_THAT(refusal("", {"rounds"}), ContainsSubstring("want KEY=VALUE"));
}

TEST_CASE("contradictions are refused") {
  const std::vector<std::pair<std::string, std::string>> cases{
      {"[adapt]\ngrowth = {kind = \"widen\"}", "without adapt.rounds_before_growth the network never grows"},
      {"[adapt]\nrounds_before_growth = 2", "without adapt.growth there is no way to grow"},
      {"history_limit = 2\n[adapt]\nrounds_before_growth = 3\ngrowth = {kind = \"widen\"}",
       "c.toml:1:17: history_limit: a history of 2 rounds is too short"},
      {"[model]\nhidden = []\n[adapt]\nrounds_before_growth = 3\ngrowth = {kind = \"widen\"}",
       "has no hidden layer that could grow"},
      {"[pools]\nexplore = 0.9", "want fractions that sum up to at most 1, got 1.42"},
      {"[pools]\nadapt = 0", "c.toml:2:9: pools.adapt: want a fraction above 0"},
      {"[pools]\ntest = 0", "as the data have no test set of their own"},
      {"[data]\nname = \"mnist\"\npath = \"x\"",
       "pools.test: want 0, as the data have a test set of their own"},
      {"[data]\nname = \"mnist\"\n[pools]\ntest = 0", "the key 'data.path' is missing"},
      {"[data]\nname = \"gaussian\"\nlabels = 3\nfeatures = 4", "want 2 labels, or 2 features"},
      {"[[loss]]\nkind = \"distillation\"", "wants the logits of a teacher"},
      {"[[loss]]\nkind = \"cross_entropy\"\nmultipliers = []",
       "loss.0: cross entropy: want at least one multiplier"},
      {"[[optimizer]]\nkind = \"sgd\"\nnesterov = true", "nesterov wants a momentum above 0"},
      {"[[optimizer]]\nlearning_rate = 0.1", "optimizer.0: want a kind"},
      {"[[optimizer]]\nkind = \"adam\"\nlearning_rate = {kind = \"cosine\", initial = 0.1}",
       "the key 'optimizer.0.learning_rate.steps' is missing"},
      {"optimizer = []", "want at least one optimizer, got none"},
      {"[pools]\nshared = true\nassess = 0.1", "unknown key 'pools.assess'"},
  };
  for (const auto& [text, part] : cases) {
    INFO(text);
    CHECK_THAT(refusal(text), ContainsSubstring("c.toml:") && ContainsSubstring(part));
  }
}
