// [data] and [augment] for images and logits: what the keys mean, and runs from end to end.
#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "datasets/sample_reader.h"
#include "datasets/shrink.h"
#include "ev3/cli/config_build.h"
#include "ev3/outputs.h"
#include "tests/catch.h"
#include "tests/cifar_files.h"
#include "tests/command.h"
#include "tests/logits_files.h"

using namespace ev3::cli;
using datasets::Scale;
namespace fs = std::filesystem;

namespace {

Experiment parse(const std::string& text) { return parse_experiment(text, "c.toml"); }

const datasets::Stream& stream(const std::shared_ptr<const ev3::Batches>& batches) {
  return *batches->stream();
}

/// A folder with small files of CIFAR and a teacher's logits for images of 16 x 16 pixels in 100 classes.
struct Files {
  TempFolder folder;
  Files() {
    make_cifar10(folder / "ten", 40);
    make_cifar100(folder / "hundred", 200);
    put(folder / "teacher.npz", LogitsMaker{.rows = 60, .classes = 100, .height = 16, .width = 16}.npz());
  }
  std::string data(const std::string& name, const std::string& where, const std::string& more = "") const {
    return "[data]\nname = \"" + name + "\"\npath = \"" + (folder / where).string() + "\"\n" + more;
  }
  /// Distillation on CIFAR-100: explore from the teacher's file, the rest from the labelled images.
  std::string distillation() const {
    return data("cifar100", "hundred",
                "shrink = 2\nscale = \"symmetric\"\nbatch = 8\nadapt_batch = 16\nlogits = \"" +
                    (folder / "teacher.npz").string() + "\"\n") +
           "[pools]\nexplore = 0\nassess = 0.3\nadapt = 0.5\ntest = 0\n[[loss]]\nkind = \"distillation\"\n"
           "[explore]\ntrajectory_length = 3\n[assess]\nbatches = 2\n[adapt]\nbatches = 2\n";
  }
};

const std::string own_test = "[pools]\ntest = 0\n";

}  // namespace

TEST_CASE("the keys of images are read and written") {
  const std::string text = R"([data]
name = "cifar100"
path = "/there"
samples = 500
labels = "coarse"
shrink = 2
scale = "standardize"
logits = "/teacher.npz"
logits_order = "shuffled"
batch = 64
assess_batch = 128
[augment]
explore = {pad = 4, flip = true}
assess = {pad = 1, flip = true}
[pools]
explore = 0
test = 0
[[loss]]
kind = "distillation"
temperature = 2.0
)";
  const Experiment e = parse(text);
  CHECK(e.data.first == 500);
  CHECK_FALSE(e.data.first_test.has_value());
  CHECK(e.data.granularity == datasets::CifarLabels::coarse);
  CHECK(e.data.scaling == datasets::cifar100_scaling());
  CHECK(e.data.logits_order == ev3::RowOrder::shuffled);
  CHECK(e.data.assess_batch == 128);
  CHECK_FALSE(e.data.adapt_batch.has_value());
  CHECK(e.augment.explore == datasets::Augmentation{.pad = 4, .flip = true});
  CHECK_FALSE(e.augment.adapt.has_value());
  const std::string written = to_toml(e);
  INFO(written);
  CHECK(to_toml(parse(written)) == written);
  CHECK(identity(parse(written)) == identity(e));
  CHECK_THAT(written, ContainsSubstring("explore = {pad = 4, flip = true}") &&
                          ContainsSubstring("mean = [0.5071, 0.4867, 0.4408]"));
  // Where files lie does not matter, what is done with them does.
  std::string moved = text;
  moved.replace(moved.find("/teacher"), 8, "/elsewhere");
  CHECK(identity(parse(moved)) == identity(e));
  std::string other = text;
  other.replace(other.find("pad = 4"), 7, "pad = 3");
  CHECK(identity(parse(other)) != identity(e));
  CHECK(difference(e, parse(other)).starts_with("[augment] explore = {pad = 4"));
  // A config without images does not mention them.
  CHECK(to_toml(parse("")).find("augment") == std::string::npos);
}

TEST_CASE("pools share the bytes of one data set; the test set is scaled, and never augmented") {
  const Files files;
  const std::string text = files.data("cifar10", "ten", "shrink = 2\nscale = \"symmetric\"\nbatch = 8\n");
  const ExperimentData data = load_data(
      parse(text + own_test + "[augment]\nexplore = {pad = 4, flip = true}\nadapt = {flip = true}\n"));
  const auto& explore = stream(data.streams.explore);
  CHECK(&explore.data() == &stream(data.streams.assess).data());
  CHECK(&explore.data() == &stream(data.streams.adapt).data());
  CHECK(explore.data().is_bytes());
  CHECK(explore.data().shape() == autodiff::Shape{200, 16, 16, 3});
  CHECK(data.pool_sizes == std::array<int, 4>{96, 32, 32, 40});
  CHECK(data.samples == 240);
  CHECK(data.test.is_bytes());
  CHECK(data.test.scaling.kind == Scale::symmetric);

  const ExperimentData plain = load_data(parse(text + own_test));
  CHECK(plain.hash == data.hash);
  const auto batch = [](const std::shared_ptr<const ev3::Batches>& batches, int k) {
    const auto set = ev3::collect(*batches, k, 1);
    return set.features;
  };
  CHECK(batch(plain.streams.assess, 3) == batch(data.streams.assess, 3));
  CHECK(batch(plain.streams.explore, 3) != batch(data.streams.explore, 3));
  CHECK(batch(plain.streams.adapt, 0) != batch(data.streams.adapt, 0));
  const auto values = batch(data.streams.assess, 0);
  CHECK(*std::min_element(values.begin(), values.end()) < 0);

  // The same experiment with shared pools: three streams over the same samples.
  const ExperimentData shared = load_data(parse(text + "[pools]\nshared = true\nexplore = 1.0\ntest = 0\n"));
  CHECK(shared.pool_sizes == std::array<int, 4>{200, 200, 200, 40});
  CHECK(&stream(shared.streams.explore).data() == &stream(shared.streams.adapt).data());
}

TEST_CASE("the first samples, and batches by phase") {
  const Files files;
  const std::string keys =
      "samples = 100\ntest_samples = 10\nbatch = 4\nassess_batch = 16\nadapt_batch = 32\n";
  const ExperimentData data = load_data(parse(files.data("cifar10", "ten", keys) + own_test));
  CHECK(data.pool_sizes == std::array<int, 4>{48, 16, 16, 10});
  CHECK(data.streams.explore->batch() == 4);
  CHECK(data.streams.assess->batch() == 16);
  CHECK(data.streams.adapt->batch() == 32);
  CHECK(data.hash != load_data(parse(files.data("cifar10", "ten") + own_test)).hash);
}

TEST_CASE("MNIST and .npz files of bytes have the same options") {
  const TempFolder folder;
  std::string classes, pixels;
  for (int i = 0; i < 40; ++i) {
    classes += static_cast<char>(i % 10);
    pixels += std::string(4, static_cast<char>(5 * i));
  }
  for (const std::string part : {"train", "t10k"}) {
    put(folder / ("m/" + part + "-images-idx3-ubyte"), unhex("00000803000000280000000200000002") + pixels);
    put(folder / ("m/" + part + "-labels-idx1-ubyte"), unhex("0000080100000028") + classes);
  }
  const std::string mnist = "[data]\nname = \"mnist\"\npath = \"" + (folder / "m").string() + "\"\n";
  const ExperimentData data = load_data(
      parse(mnist + "samples = 30\ntest_samples = 4\nshrink = 2\nscale = \"symmetric\"\n" + own_test));
  CHECK(data.samples == 34);
  CHECK(data.sample == autodiff::Shape{1, 1, 1});
  CHECK(data.test.pixels[3] == 15);
  CHECK(data.test.scaling.kind == Scale::symmetric);
  CHECK_THAT(error_of([&] { load_data(parse(mnist + "samples = 41\n" + own_test)); }),
             ContainsSubstring("want 41 samples, but there are only 40"));

  autodiff::write_npz(folder / "d.npz",
                      {{"x", {autodiff::DType::U8, {40, 2, 2}, pixels}},
                       {"y", to_array(autodiff::Labels(data.test.labels.shape().with(0, 40)))}});
  const std::string file = "[data]\nname = \"file\"\npath = \"" + (folder / "d.npz").string() + "\"\n";
  const ExperimentData arrays =
      load_data(parse(file + "scale = \"standardize\"\nmean = [0.5]\ndeviation = [0.25]\n"));
  CHECK(arrays.test.is_bytes());
  datasets::Batch buffer;
  const auto batch = arrays.streams.explore->read(0, buffer);
  CHECK(*std::min_element(batch.features.begin(), batch.features.end()) < -1);
  CHECK_THAT(error_of([&] { load_data(parse(file + "shrink = 3\n")); }),
             ContainsSubstring("d.npz: shrink wants"));
}

TEST_CASE("explore draws from the teacher's file, the others from labelled images") {
  const Files files;
  const ExperimentData data = load_data(parse(files.distillation()));
  CHECK(data.pool_sizes == std::array<int, 4>{60, 60, 100, 200});
  datasets::Batch buffer;
  const ev3::BatchView explore = data.streams.explore->read(0, buffer);
  CHECK(explore.logits.size() == 8 * 100);
  CHECK(explore.features.size() == 8 * 16 * 16 * 3);
  CHECK(*std::min_element(explore.features.begin(), explore.features.end()) < 0);  // scaled as the others
  const ev3::BatchView adapt = data.streams.adapt->read(0, buffer);
  CHECK(adapt.labels.size() == 16);
  CHECK(adapt.logits.empty());
  const std::uint64_t hash = data.hash;
  put(files.folder / "teacher.npz", LogitsMaker{.rows = 61, .classes = 100, .height = 16, .width = 16}.npz());
  CHECK(load_data(parse(files.distillation())).hash != hash);
}

TEST_CASE("outputs in batches are those of all samples at once") {
  const Files files;
  const ExperimentData data = load_data(parse(files.data("cifar10", "ten", "shrink = 8\n") + own_test));
  const nn::Network net = nn::Mlp{.inputs = {4, 4, 3}, .hidden = {7}, .classes = 10};
  const nn::Parameters params = nn::initialize(net, autodiff::Seed{3});
  const std::vector<float> whole = ev3::outputs(net, params, data.test, 40);
  const std::vector<float> parts = ev3::outputs(net, params, data.test, 9);
  REQUIRE(whole.size() == 400);
  REQUIRE(parts.size() == 400);
  double most = 0;
  for (std::size_t i = 0; i < 400; ++i)
    most = std::max(most, std::abs(static_cast<double>(whole[i] - parts[i])));
  CHECK(most < 1e-5);  // sums of 48 terms of size 1; another batch may take another kernel
  CHECK(ev3::evaluate_on(net, params, data.test).samples == 40);
  CHECK_THAT(error_of([&] { ev3::outputs(net, params, data.test, 0); }), ContainsSubstring("got 0"));
  CHECK_THAT(error_of([&] { ev3::outputs(nn::Mlp{.inputs = {5}, .classes = 10}, params, data.test); }),
             ContainsSubstring("wants samples of shape [5], but those of cifar10 are [4, 4, 3]"));
  const nn::Network two = nn::Mlp{.inputs = {4, 4, 3}, .hidden = {7}, .classes = 2};
  CHECK_THAT(error_of([&] { ev3::evaluate_on(two, nn::initialize(two, autodiff::Seed{3}), data.test); }),
             ContainsSubstring("has 2 classes, but cifar10 has 10"));
}

TEST_CASE("ev3 data shows a teacher's file") {
  const TempFolder folder;
  put(folder / "t.npz", LogitsMaker{}.npz());
  const Outcome shown = ev3_command("data " + (folder / "t.npz").string() + " --samples 2");
  CHECK(shown.code == 0);
  CHECK_THAT(shown.out, ContainsSubstring("10 samples [6, 5, 3], 4 classes, content ") &&
                            ContainsSubstring("of them are the true class") &&
                            ContainsSubstring("logits  min -2.") && ContainsSubstring("#0: row "));
  LogitsMaker without;
  without.with_class = false;
  put(folder / "t.npz", without.npz());
  CHECK_THAT(ev3_command("data " + (folder / "t.npz").string()).out,
             ContainsSubstring("the file has no true classes"));
}

TEST_CASE("runs on CIFAR and with a teacher, resumed and evaluated") {
  const Files files;
  for (const std::string& text :
       {files.distillation(),
        files.data("cifar10", "ten", "shrink = 4\nbatch = 8\n") +
            "[augment]\nexplore = {pad = 2, flip = true}\n" + own_test +
            "[explore]\ntrajectory_length = 3\n[assess]\nbatches = 2\n[adapt]\nbatches = 2\n"}) {
    const TempFolder out;
    put(out / "c.toml", text);
    const auto run = [&](const std::string& arguments) {
      const Outcome outcome = ev3_command("run --quiet " + arguments);
      INFO(outcome.err);
      REQUIRE(outcome.code == 0);
    };
    run((out / "c.toml").string() + " --rounds 4 --out " + (out / "whole").string());
    run((out / "c.toml").string() + " --rounds 2 --out " + (out / "half").string());
    run("--resume " + (out / "half").string() + " --rounds 4");
    const auto model = [&](const char* name) { return content_of(out / name / "model.safetensors"); };
    CHECK(model("whole") == model("half"));
    const Outcome eval = ev3_command("eval " + (out / "whole/model.safetensors").string() +
                                     " --json --data " + (out / "whole/config.toml").string());
    INFO(eval.err);
    REQUIRE(eval.code == 0);
    const std::string rounds = content_of(out / "whole/rounds.jsonl");
    const auto last = nlohmann::json::parse(rounds.substr(rounds.rfind('\n', rounds.size() - 2) + 1));
    CHECK(nlohmann::json::parse(eval.out)["hits"] == last["test"]["hits"]);
    if (text.find("logits") != text.npos) {  // the folder itself, scaled as the model says
      const Outcome folder = ev3_command("eval " + (out / "whole/model.safetensors").string() +
                                         " --json --shrink 2 --data " + (files.folder / "hundred").string());
      const auto result = nlohmann::json::parse(folder.out);
      CHECK(result["loss"] == nlohmann::json::parse(eval.out)["loss"]);
      const Outcome unit =
          ev3_command("eval " + (out / "whole/model.safetensors").string() +
                      " --json --shrink 2 --scale unit --data " + (files.folder / "hundred").string());
      CHECK(nlohmann::json::parse(unit.out)["loss"] != result["loss"]);
    }
  }
}
