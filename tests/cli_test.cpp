// The program: help, the commands that look at things, and what wrong input gets.
#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>

#include "datasets/digits.h"
#include "datasets/stream.h"
#include "nn/evaluate.h"
#include "nn/model_file.h"
#include "nn/training.h"
#include "tests/catch.h"
#include "tests/command.h"

namespace {

const std::vector<std::string> commands{"run",  "sweep", "report", "replay",    "eval",
                                        "show", "data",  "doctor", "completion"};

/// A small network that knows some of the digits, as a file.
struct DigitsModel {
  TempFolder folder;
  std::string path = folder / "model.safetensors";
  nn::Network net = nn::Mlp{.inputs = {8, 8, 1}, .hidden = {12}, .classes = 10};
  nn::Parameters parameters = nn::initialize(net, autodiff::Seed{1});

  DigitsModel() {
    nn::TrainingStep step(net, nn::CrossEntropy{}, nn::AdamW{.learning_rate = 3e-3}, {.batch = 32});
    const datasets::Stream batches(datasets::digits(), {.batch = 32, .seed = 2});
    for (int k = 0; k < 200; ++k) step.run(parameters, batches[k]);
    nn::write_model(path, net, parameters);
  }
};

const DigitsModel& digits_model() {
  static const DigitsModel model;
  return model;
}

void write(const std::filesystem::path& path, const std::string& text) {
  std::ofstream(path, std::ios::binary) << text;
}

/// A refusal: exit code 2, nothing on standard output, one line of error that contains `part`.
void check_refused(const std::string& arguments, const std::string& part) {
  INFO("ev3 " << arguments);
  const Outcome outcome = ev3_command(arguments);
  CHECK(outcome.code == 2);
  CHECK(outcome.out.empty());
  CHECK_THAT(outcome.err, ContainsSubstring(part));
  CHECK(std::count(outcome.err.begin(), outcome.err.end(), '\n') == 1);
}

}  // namespace

TEST_CASE("every command explains itself, with an example") {
  const Outcome help = ev3_command("--help");
  CHECK(help.code == 0);
  CHECK(ev3_command("").out == help.out);
  for (const std::string& command : commands) {
    CHECK_THAT(help.out, ContainsSubstring("\n  " + command + " "));
    const Outcome own = ev3_command(command + " --help");
    CHECK(own.code == 0);
    CHECK(own.err.empty());
    CHECK_THAT(own.out, ContainsSubstring("Usage: ev3 " + command));
    const std::size_t example = own.out.find("Example");
    REQUIRE(example != own.out.npos);
    CHECK_THAT(own.out.substr(example), ContainsSubstring("ev3 " + command));
  }
}

TEST_CASE("--version says version and commit") {
  const Outcome outcome = ev3_command("--version");
  CHECK(outcome.code == 0);
  CHECK_THAT(outcome.out, ContainsSubstring("ev3 0.") && ContainsSubstring("commit "));
}

TEST_CASE("wrong arguments get one line with the nearest right one, and exit code 2") {
  check_refused("evla model", "unknown command 'evla': did you mean 'eval'?");
  check_refused("rnu --quiet", "unknown command 'rnu': did you mean 'run'?");
  check_refused("--versoin", "unknown option '--versoin': did you mean '--version'?");
  check_refused("eval m.safetensors --dta digits",
                "ev3 eval: unknown option '--dta': did you mean '--data'?");
  check_refused("data digits --sampels=3", "unknown option '--sampels': did you mean '--samples'?");
  check_refused("eval m.safetensors", "--data is required");
  check_refused("eval --data digits", "MODEL is required");
  check_refused("eval m.safetensors --data digits --batch 0", "--batch: Value 0 not in range 1 to 1000000");
  check_refused("data digits --samples x", "--samples");
  check_refused("data digits more", "too many arguments, beginning with 'more'");
  check_refused("completion zsh", "zsh not in {bash}");
}

TEST_CASE("eval prints what the library computes") {
  const DigitsModel& model = digits_model();
  const auto expected = nn::evaluate(model.net, model.parameters, datasets::digits());
  REQUIRE(expected.hits < 1797);

  const Outcome outcome = ev3_command("eval " + model.path + " --data digits");
  CHECK(outcome.code == 0);
  CHECK(outcome.err.empty());
  CHECK_THAT(outcome.out,
             ContainsSubstring("mlp 64-12-10, 910 parameters, on digits: 1,797 samples [8, 8, 1]") &&
                 ContainsSubstring(autodiff::text(expected)) && ContainsSubstring("most confident errors"));
  for (std::size_t begin = 0; begin < outcome.out.size();) {  // readable on a terminal of 80 columns
    const std::size_t end = outcome.out.find('\n', begin);
    CHECK(end - begin <= 80);
    begin = end + 1;
  }

  for (const char* batch : {"", " --batch 100", " --batch 100000"}) {
    const auto json = nlohmann::json::parse(
        ev3_command("eval " + model.path + " --data digits --json --errors 3" + batch).out);
    CHECK(json["samples"] == 1797);
    CHECK(json["hits"] == expected.hits);
    CHECK(json["loss"].get<double>() ==
          Approx(expected.loss).epsilon(1e-6));  // kernels may differ with the batch
    CHECK(json["interval"][0].get<double>() == expected.interval().low);
    CHECK(json["network"]["hidden"] == std::vector<int>{12});
    for (std::size_t i = 0; i < 100; ++i) CHECK(json["confusion"][i / 10][i % 10] == expected.confusion[i]);
    const auto& errors = json["most_confident_errors"];
    REQUIRE(errors.size() == 3);
    CHECK(errors[0]["probability"] >= errors[1]["probability"]);
    CHECK(errors[1]["probability"] >= errors[2]["probability"]);
    CHECK(errors[0]["label"] != errors[0]["predicted"]);
    CHECK(errors[0]["label"] == datasets::digits().labels[errors[0]["sample"].get<std::size_t>()]);
  }
}

TEST_CASE("eval lists confused pairs where a matrix would be too wide") {
  const TempFolder folder;
  const nn::Network net = nn::Mlp{.inputs = {2}, .hidden = {}, .classes = 30};
  nn::Parameters parameters(nn::layout(net));  // all outputs 0: class 0 every time
  nn::write_model(folder / "m.safetensors", net, parameters);
  const Outcome outcome = ev3_command("eval " + std::string(folder / "m.safetensors") + " --data moons");
  CHECK(outcome.code == 0);
  CHECK_THAT(outcome.out, ContainsSubstring("classes: 30") && ContainsSubstring("1 taken for 0: 500 times") &&
                              !ContainsSubstring("right"));
}

TEST_CASE("eval refuses what does not fit") {
  const TempFolder folder;
  const std::string model = digits_model().path;
  check_refused("eval " + model + " --data moons",
                "wants samples of shape [8, 8, 1], but those of moons are [2]");
  check_refused("eval " + model + " --data digts", "'digits' is nearest");
  check_refused("eval " + model + " --data digits --split test", "comes in one piece");
  check_refused("eval /nowhere/m.safetensors --data digits", "/nowhere/m.safetensors");
  write(folder / "text", "no model at all");
  check_refused("eval " + std::string(folder / "text") + " --data digits", folder / "text");

  const nn::Network two = nn::Mlp{.inputs = {64}, .hidden = {}, .classes = 2};
  nn::write_model(folder / "two", two, nn::initialize(two, autodiff::Seed{1}));
  check_refused("eval " + std::string(folder / "two") + " --data digits",
                "knows 2 classes, but digits has 10");

  nn::Parameters diverged = digits_model().parameters;
  diverged["dense2.bias"][3] = std::numeric_limits<float>::quiet_NaN();
  nn::write_model(folder / "nan", digits_model().net, diverged);
  check_refused("eval " + std::string(folder / "nan") + " --data digits", "not finite");
}

TEST_CASE("show prints layers, program and memory of a model") {
  const std::string model = digits_model().path;
  const Outcome outcome = ev3_command("show " + model + " --batch 7 --backends portable");
  CHECK(outcome.code == 0);
  CHECK_THAT(outcome.out, ContainsSubstring("dense1.kernel") && ContainsSubstring("[64, 12]") &&
                              ContainsSubstring("mlp 64-12-10: 910 parameters") &&
                              ContainsSubstring("batch 7") && ContainsSubstring("portable") &&
                              ContainsSubstring("stage 0") && ContainsSubstring("arena") &&
                              !ContainsSubstring("simd") && !ContainsSubstring(" us "));
  CHECK_THAT(ev3_command("show " + model + " --profile").out,
             ContainsSubstring(" us ") && ContainsSubstring("GFLOP/s"));
  check_refused("show " + model + " --backends cudda", "'cudda' is not one of those built in");
  check_refused("show /nowhere/config.toml", "/nowhere/config.toml");
}

TEST_CASE("show and eval take an experiment") {
  const TempFolder folder;
  const std::string config = folder / "config.toml";
  write(config, "[model]\nhidden = [12]\n");
  CHECK_THAT(ev3_command("show " + config).out,
             ContainsSubstring("mlp 64-12-10") && ContainsSubstring("optimizer adamw"));
  const auto samples = [&](const std::string& split) {
    const std::string arguments = "eval " + digits_model().path + " --data " + config + " --json" + split;
    return nlohmann::json::parse(ev3_command(arguments).out)["samples"].get<int>();
  };
  const int test = samples("");
  CHECK(test == samples(" --split test"));
  CHECK(test < samples(" --split explore"));
  CHECK(test + samples(" --split explore") + samples(" --split assess") + samples(" --split adapt") == 1797);
  check_refused("data " + config + " --split tset",
                "want a split explore, assess, adapt or test, got 'tset'");
}

TEST_CASE("data shows what is there") {
  const TempFolder folder;
  const Outcome outcome = ev3_command("data digits --samples 2");
  CHECK(outcome.code == 0);
  CHECK_THAT(outcome.out, ContainsSubstring("1797 samples [8, 8, 1]") && ContainsSubstring("178") &&
                              ContainsSubstring("@@") && ContainsSubstring("#"));
  CHECK(ev3_command("data digits --samples 2").out == outcome.out);
  CHECK(ev3_command("data digits --samples 2 --seed 5").out != outcome.out);

  const std::string csv = folder / "plants.csv";
  write(csv, "kind;size;weight\noak;1;2\nfir;3;4\noak;5;6\n");
  const Outcome plants = ev3_command("data " + csv + " --label kind --separator ';'");
  CHECK(plants.code == 0);
  CHECK_THAT(plants.out, ContainsSubstring("3 samples [2], 2 classes") && ContainsSubstring("fir"));
  check_refused("data " + csv + " --label knd --separator ';'", "knd");
  check_refused("data " + csv + " --separator ab", "want one character or tab, got 'ab'");
  check_refused("data nothing", "no such file");
  check_refused("data " + csv + " --header maybe", "maybe");
}

TEST_CASE("doctor checks every kernel") {
  const Outcome outcome = ev3_command("doctor");
  CHECK(outcome.code == 0);
  CHECK_THAT(outcome.out, ContainsSubstring("CPU") && ContainsSubstring("vector target") &&
                              ContainsSubstring("threads") && ContainsSubstring("GFLOP/s") &&
                              ContainsSubstring("cross_entropy_grad") && ContainsSubstring("self-check") &&
                              ContainsSubstring("reference") && !ContainsSubstring("NOT ok"));
}

TEST_CASE("the completion script knows every command and option, and bash accepts it") {
  const Outcome outcome = ev3_command("completion bash");
  CHECK(outcome.code == 0);
  for (const std::string& command : commands) CHECK_THAT(outcome.out, ContainsSubstring(command));
  const TempFolder folder;
  const std::string script = folder / "ev3.bash";
  write(script,
        outcome.out +
            "complete_words() { COMP_WORDS=(ev3 \"$@\"); COMP_CWORD=$#; _ev3; echo \"${COMPREPLY[*]}\"; }\n");
  const std::string shell = "bash -c '. " + script + " && complete_words ";
  const auto complete = [&](const std::string& words) {
    const std::string out = folder / "words";
    REQUIRE(std::system((shell + words + "' >" + out).c_str()) == 0);
    return content_of(out);
  };
  CHECK(complete("ev") == "eval\n");
  CHECK(complete("eval --sp") == "--split\n");
  CHECK(complete("eval " + script.substr(0, script.size() - 2)) == script + "\n");
}

TEST_CASE("a full disk is noticed") {
  if (!std::filesystem::exists("/dev/full")) return;
  CHECK(std::system(EV3_PROGRAM " data digits >/dev/full 2>/dev/null") == 2 << 8);
}
