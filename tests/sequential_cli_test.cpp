// Networks of one's own as a user has them: runs with dropout that do not depend on threads and go on after
// they were stopped, all commands that take a model, and what is refused.
#include <nlohmann/json.hpp>

#include "nn/model_file.h"
#include "tests/cifar_files.h"
#include "tests/wrong_input.h"

namespace {

using namespace wrong_input;

const std::string quick =
    "--set rounds=4 --set explore.trajectory_length=15 --set assess.batches=2 --set "
    "'adapt={batches=4,alpha=1.0}' ";
const std::string with_dropout =
    "--set 'model={family=\"sequential\",layer=[{kind=\"conv2d\",filters=4,bias=false},{kind=\"batch_norm\"},"
    "{kind=\"relu\"},{kind=\"max_pool\"},{kind=\"dropout\",rate=0.3},{kind=\"flatten\"},{kind=\"dense\"}]}'"
    " " +
    quick;
const std::string vit = "--set 'model={family=\"vit\",patch=4,width=8,heads=2,depth=1,mlp=8}' " + quick;

std::string succeeds(const std::string& arguments) {
  const Outcome outcome = ev3_command(arguments);
  INFO(arguments << "\n" << outcome.err);
  CHECK(outcome.code == 0);
  return outcome.out;
}

Case model(const char* name, const std::string& text, const std::string& part, const std::string& head = "") {
  return {name, "run @/c.toml --out @/out", part,
          [=](const fs::path& f) { write(f / "c.toml", head + "[model]\n" + text); }};
}
Case layer(const char* name, const std::string& list, const std::string& part) {
  return model(name, "family = \"sequential\"\nlayer = [" + list + "]\n", part);
}

}  // namespace

TEST_CASE("a run with dropout does not depend on threads, and goes on exactly where it stopped") {
  const TempFolder temp;
  const std::string base = (temp / "x").string();
  for (const std::string threads : {"1", "2", "3"}) {
    succeeds("run " + with_dropout + "--quiet --threads " + threads + " --out " + base + threads);
    CHECK(lasting_files(base + threads) == lasting_files(base + "1"));
  }
  succeeds("run " + with_dropout + "--rounds 2 --quiet --out " + base + "resumed");
  succeeds("run --quiet --rounds 4 --threads 2 --resume " + base + "resumed");
  CHECK(lasting_files(base + "resumed") == lasting_files(base + "1"));
  // Without dropout it is another run.
  succeeds("run " + with_dropout + "--set model.layer.4.rate=0 --quiet --out " + base + "plain");
  CHECK(content_of(base + "plain/rounds.jsonl") != content_of(base + "1/rounds.jsonl"));
}

TEST_CASE("eval, show, report and teachers take networks of one's own") {
  const TempFolder temp;
  for (const bool transformer : {false, true}) {
    const std::string folder = (temp / (transformer ? "vit" : "sequential")).string();
    succeeds("run " + (transformer ? vit : with_dropout) + "--quiet --out " + folder);
    const std::string model = folder + "/model.safetensors", config = folder + "/config.toml";
    const auto eval = nlohmann::json::parse(succeeds("eval " + model + " --data " + config + " --json"));
    CHECK(eval["network"]["family"] == (transformer ? "vit" : "sequential"));
    const std::string last = content_of(folder + "/rounds.jsonl");
    const auto record = nlohmann::json::parse(last.substr(last.rfind('\n', last.size() - 2) + 1));
    CHECK(eval["hits"] == record["test"]["hits"]);
    CHECK(record["architecture"]["family"] == eval["network"]["family"]);
    const std::string shown = succeeds("show " + model + " --profile");
    CHECK_THAT(shown, ContainsSubstring(transformer ? "block1.attention.query.kernel" : "norm1.var"));
    CHECK((shown.find("dropout") != shown.npos) == !transformer);
    CHECK_THAT(succeeds("show " + config), ContainsSubstring("training step"));
    CHECK_THAT(succeeds("report " + folder), ContainsSubstring(transformer ? "vit" : "sequential"));
    // A teacher runs as it was trained, without dropout.
    const std::string student =
        "run --quiet --set rounds=1 --set explore.trajectory_length=3 --set 'teachers=[\"" + model +
        "\"]' --set 'loss=[{kind=\"distillation\",teacher=0}]' --out " + folder;
    succeeds(student + "-student");
  }
}

TEST_CASE("what a network with dropout says of images is recorded without dropout") {
  const TempFolder temp;
  const fs::path folder = temp / "x";
  make_cifar10(folder / "ten", 20);
  const auto in = [&folder](const std::string& arguments) { return with_folder(arguments, folder); };
  succeeds(in("run " + with_dropout +
              "--set data.name=cifar10 --set data.path=@/ten --set data.batch=8 --set data.shrink=4 "
              "--set pools.test=0 --set rounds=1 --quiet --out @/run"));
  const std::string record =
      "logits @/run/model.safetensors --data @/ten --shrink 4 --batches 3 --batch 8 -o @/";
  CHECK_THAT(succeeds(in(record + "a.safetensors")), ContainsSubstring("24 rows of sequential conv4-10"));
  succeeds(in(record + "b.safetensors"));
  CHECK(content_of(folder / "a.safetensors") == content_of(folder / "b.safetensors"));
}

TEST_CASE("a recorded piece of a run has no masks of dropout") {
  const TempFolder temp;
  const Outcome outcome = ev3_command("run " + with_dropout + "--quiet --record-bundle " +
                                      (temp / "b").string() + " --out " + (temp / "r").string());
  CHECK(outcome.code == 2);
  CHECK_THAT(outcome.err, ContainsSubstring("bundle: the format has no masks of dropout"));
}

TEST_CASE("networks of one's own that cannot be are refused in one line") {
  const std::string dense = "{kind = \"dense\"}", conv = "{kind = \"conv2d\", filters = 32}";
  const std::string grow = "[adapt]\nrounds_before_growth = 1\ngrowth = {kind = \"widen\"}\n";
  check_all_refused({
      layer("no layer", "", "c.toml:3:9: model.layer: want at least one layer, got none"),
      model("no key layer", "family = \"sequential\"\n",
            "the key 'model.layer' is missing where family = \"sequential\""),
      model(
          "a key of another family", "family = \"sequential\"\nhidden = [3]\n",
          "c.toml:3:1: unknown key 'model.hidden' where family = \"sequential\": want one of family, layer"),
      model("layers of another family", "family = \"mlp\"\nlayer = []\n", "unknown key 'model.layer'"),
      layer("an unknown kind", "{kind = \"conv3d\"}",
            "c.toml:3:18: model.layer.0.kind: want one of \"conv2d\", "),
      layer("an unknown key", "{kind = \"dense\", unit = 3}",
            "unknown key 'model.layer.0.unit' where kind = \"dense\": did you mean 'units'?"),
      layer("a layer that is no table", "\"relu\"", "c.toml:3:10: model.layer.0: want a table, got 'relu'"),
      layer("a size of the wrong type", "{kind = \"conv2d\", filters = \"8\"}",
            "model.layer.0.filters: want a whole number"),
      layer("a size out of range", "{kind = \"max_pool\", size = 0}",
            "model.layer.0.size: want a whole number of at least 1"),
      layer("an image where a vector should be", conv + ", {kind = \"relu\"}, " + dense,
            "sequential: layer 3 (dense): wants a vector, got 8x8x32: put a flatten or global_avg_pool "
            "before it"),
      layer("a vector where an image should be", "{kind = \"flatten\"}, " + conv,
            "layer 2 (conv2d): wants an image, got 64"),
      layer("a window larger than the image", "{kind = \"avg_pool\", size = 9}",
            "layer 1 (avg_pool): wants windows of 9 x 9 inside the image, got 8x8x1"),
      layer("groups that do not divide", "{kind = \"conv2d\", filters = 4, groups = 2}",
            "wants groups that divide"),
      layer("outputs that are not the classes", "{kind = \"flatten\"}, {kind = \"dense\", units = 9}",
            "the last layer, 2 dense, gives 9, want 10, the classes"),
      layer("a residual layer of another shape", "{kind = \"residual\", layers = [" + conv + "]}",
            "layer 1 (residual): its layers give 8x8x32, want 8x8x1"),
      layer(
          "too many weights",
          "{kind = \"flatten\"}, {kind = \"dense\", units = 16777216}, {kind = \"dense\", units = 16777216}",
          "weights, more than 2^31"),
      {"an override of a layer that is not there",
       "run configs/digits-cnn.toml --set model.layer.9.rate=0.5 --out @/out", "want an index from 0 to 7"},
      model("a patch that does not divide", "family = \"vit\"\npatch = 3\n",
            "vit: want a patch that divides"),
      model("heads that do not divide", "family = \"vit\"\nheads = 5\n",
            "a width that is a multiple of the heads"),
      model("no depth", "family = \"vit\"\ndepth = 0\n",
            "c.toml:3:9: model.depth: want a whole number of at least 1"),
      model(
          "a sequential network that should grow",
          "family = \"sequential\"\nlayer = [{kind = \"flatten\"}, " + dense + "]\n",
          "c.toml:3:10: adapt.growth: networks of the family sequential do not grow: leave adapt.growth and "
          "adapt.rounds_before_growth out",
          grow),
      model("a vision transformer that should grow", "family = \"vit\"\n",
            "c.toml:2:24: adapt.rounds_before_growth: networks of the family vit do not grow",
            "[adapt]\nrounds_before_growth = 1\n"),
      {"a description in a model that is none", "eval @/m.safetensors --data digits",
       "m.safetensors: metadata 'network': layers.0: a layer of the kind dense has no 'unit'; did you mean "
       "'units'?",
       [](const fs::path& f) {
         const nn::Sequential net{.inputs = {8, 8, 1}, .layers = {nn::Flatten{}, nn::Dense{}}, .classes = 10};
         nn::SafetensorsWriter writer;
         writer.metadata(
             "network",
             R"({"family":"sequential","inputs":[8,8,1],"layers":[{"kind":"dense","unit":1}],"classes":10})");
         nn::add_parameters(writer, "", nn::initialize(net, {1}));
         writer.write(f / "m.safetensors");
       }},
  });
}
