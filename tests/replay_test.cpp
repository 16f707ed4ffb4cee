#include "ev3/replay.h"

#include <cmath>
#include <cstdlib>

#include "autodiff/tensor/file.h"
#include "ev3/bundle_recorder.h"
#include "tests/catch.h"
#include "tests/files.h"
#include "tests/synthetic_batches.h"

using namespace ev3;
namespace fs = std::filesystem;
namespace kernels = autodiff::kernels;

namespace {

const fs::path golden = fs::path(EV3_SOURCE_DIR) / "tests" / "golden";
const char* const bundles[] = {
    "always-accept-expand", "kd", "mlp-adamw-start", "mlp-deepen", "mlp-demo", "mlp-reject", "mlp-widen"};

// What `ev3 replay` makes of a bundle: "ok" (exit code 0), "mismatch: ..." or "not within tolerance: ..."
// (1), or "error: ..." (2).
std::string outcome_of(const fs::path& bundle) {
  try {
    const ReplayOutcome outcome = replay(bundle);
    if (!outcome.mismatch.empty()) return "mismatch: " + outcome.mismatch;
    const auto results = nn::Safetensors::parse(outcome.results.bytes(), "results");
    const auto expected = nn::Safetensors::read(bundle / "expected.safetensors");
    const auto comparisons = compare(results, expected, outcome.spec);
    for (const Comparison& c : comparisons) {
      if (!c.ok()) return "not within tolerance: " + report(comparisons);
    }
    return "ok";
  } catch (const autodiff::Error& error) {
    return std::string("error: ") + error.what();
  }
}

// A bundle of tests/golden, to be damaged.
class Tampered {
 public:
  explicit Tampered(const std::string& name) {
    for (const char* file : {"spec.json", "inputs.safetensors", "expected.safetensors"}) {
      fs::copy_file(golden / name / file, folder_ / file);
    }
  }
  // Replaces everything from `from` up to and including `to` in spec.json.
  Tampered& spec(const std::string& from, const std::string& to, const std::string& with) {
    std::string text = autodiff::read_file(folder_ / "spec.json");
    const std::size_t begin = text.find(from), end = text.find(to, begin);
    if (begin == text.npos || end == text.npos) autodiff::fail("spec.json has no ", from, " ... ", to);
    text.replace(begin, end + to.size() - begin, with);
    autodiff::write_file(folder_ / "spec.json", text);
    return *this;
  }
  Tampered& spec(const std::string& what, const std::string& with) { return spec(what, what, with); }
  // Replaces an array of `file` by what `change` makes of it; an empty one is left out.
  template <class Change>
  Tampered& array(const std::string& file, const std::string& name, const Change& change) {
    const auto old = nn::Safetensors::read(folder_ / file);
    nn::SafetensorsWriter writer;
    for (const nn::SafetensorsEntry& entry : old.entries()) {
      if (entry.dtype == autodiff::DType::I32) {
        writer.add(entry.name, old.labels(entry.name));
      } else if (entry.name != name) {
        writer.add(entry.name, old.tensor(entry.name));
      } else if (const autodiff::Tensor changed = change(old.tensor(name)); changed.size() > 0) {
        writer.add(name, changed);
      }
    }
    writer.write(folder_ / file);
    return *this;
  }
  Tampered& without(const std::string& file, const std::string& name) {
    return array(file, name, [](const autodiff::Tensor&) { return autodiff::Tensor(autodiff::Shape{0}); });
  }
  std::string outcome() const { return outcome_of(folder_ / ""); }
  fs::path operator/(const std::string& name) const { return folder_ / name; }

 private:
  TempFolder folder_;
};

// The settings of a run that keeps some candidates, none of them significant, and grows in rounds 2 and 5.
Settings growing_settings() {
  return {
      .model = nn::Mlp{.inputs = {3}, .hidden = {4}, .classes = 3},
      .losses = {nn::CrossEntropy{{0.5f}}, nn::CrossEntropy{{1.0f, 1.5f}}},
      .optimizers = {nn::Sgd{.learning_rate = 0.05, .momentum = 0.9f},
                     nn::AdamW{.learning_rate = nn::Warmup{3, {nn::Cosine{.initial = 0.02, .steps = 30}}}}},
      .explore = {.trajectory_length = 5, .trajectory_factor = 1.3},
      .assess = {.batches = 2, .alpha = 0.5},
      .adapt = {.batches = 3, .alpha = 2.2, .rounds_before_growth = 2, .growth = Expand{}}};
}

Streams growing_streams() { return synthetic_streams({.features = 3, .classes = 3, .batch = 16}); }

}  // namespace

TEST_CASE("golden bundles are replayed within tolerance by every backend, on one and two threads") {
  const KeepSettings keep;
  for (const kernels::Backend* backend : kernels::enabled_backends()) {
    for (const int threads : {1, 2}) {
      kernels::set_default_backends(kernels::parse_backends(backend->name));
      kernels::set_threads(threads);
      for (const char* name : bundles) {
        INFO(name << " by " << backend->name << " on " << threads << " threads");
        CHECK(outcome_of(golden / name) == "ok");
      }
    }
  }
}

TEST_CASE("all shared bundles are replayed within tolerance") {
  const char* variable = std::getenv("EV3_SHARED");
  const fs::path shared =
      (variable ? fs::path(variable) : fs::path(EV3_SOURCE_DIR) / ".." / "shared") / "golden";
  int replayed = 0;
  if (fs::is_directory(shared)) {
    for (const auto& entry : fs::directory_iterator(shared)) {
      if (!fs::exists(entry.path() / "spec.json")) continue;
      INFO(entry.path());
      CHECK(outcome_of(entry.path()) == "ok");
      ++replayed;
    }
    CHECK(replayed >= 15);
  } else {
    WARN("skipped: no " << shared << "; set EV3_SHARED");
  }
}

TEST_CASE("a bundle that cannot be used is an error that says why") {
  const auto error = [](const Tampered& t, const std::string& part) {
    CHECK_THAT(t.outcome(), Catch::Matchers::StartsWith("error: ") && ContainsSubstring(part));
  };
  error(Tampered("mlp-demo").spec("\"history_limit\"", "\"histroy_limit\""), "'history_limit' is missing");
  error(Tampered("mlp-demo").spec("\"iterations\"", "\"histroy_limit\": 1, \"iterations\""),
        "unknown key 'histroy_limit'; did you mean 'history_limit'");
  error(Tampered("mlp-demo").spec("\"momentum\"", "\"momntum\""), "did you mean 'momentum'");
  error(Tampered("mlp-demo").spec("ev3-replay-1", "ev3-replay-2"), "ev3-replay-1");
  error(Tampered("mlp-demo").spec("{", ""), "no JSON");
  error(Tampered("mlp-demo").spec("\"mlp\"", "\"resnet_tiny\""), "got 'resnet_tiny'");
  error(Tampered("mlp-demo").spec("\"sgd\"", "\"lion\""), "sgd or adamw, got 'lion'");
  error(Tampered("mlp-demo").spec("\"cross_entropy\"", "\"hinge\""), "got 'hinge'");
  error(Tampered("mlp-demo").spec("\"trajectory_length\": 10", "\"trajectory_length\": 0"),
        "'trajectory_length' to be a whole number of at least 1, got 0");
  error(Tampered("mlp-demo").spec("\"rule\": \"significance\"", "\"rule\": \"luck\""), "always_accept");
  error(Tampered("mlp-demo").spec("\"alpha\": 4.0", "\"alpha\": \"four\""), "'alpha' to be a number");
  error(Tampered("mlp-demo").spec("\"weight_decay_from\": \"start\"", "\"weight_decay_from\": \"end\""),
        "'end'");
  error(Tampered("mlp-demo").without("inputs.safetensors", "params/dense1.kernel"), "params/dense1.kernel");
  error(Tampered("mlp-demo").without("inputs.safetensors", "assess/feature"), "assess/feature");
  error(Tampered("mlp-widen").without("inputs.safetensors", "fresh/2/dense2.kernel"),
        "fresh/2/dense2.kernel");
  error(Tampered("mlp-demo").spec("\"iterations\": 3", "\"iterations\": 4"),
        "explore batch 180, but there are 180");
  const auto wide = [](const autodiff::Tensor& old) {
    return autodiff::Tensor(old.shape().with(0, old.shape()[0] + 1));
  };
  error(Tampered("mlp-demo").array("inputs.safetensors", "params/dense1.kernel", wide),
        "params/dense1.kernel");
  error(Tampered("mlp-demo").array("inputs.safetensors", "explore/feature", wide), "explore/label");
  error(Tampered("mlp-demo").spec("\"inputs\": [\n   2", "\"inputs\": [\n   3"), "samples of shape [3]");
  error(Tampered("mlp-demo").spec("\"classes\": 2", "\"classes\": 1"), "classes from 0 to 0");
  CHECK_THAT(outcome_of(golden / "no-such-bundle"), ContainsSubstring("no-such-bundle"));
}

TEST_CASE("an expansion that the bundle lacks, or the program, is a mismatch") {
  CHECK_THAT(Tampered("mlp-widen").spec("\"expansions\": [", "\n ],", "\"expansions\": [],").outcome(),
             ContainsSubstring("mismatch: iteration 2 expands, but the bundle has no expansion there"));
  CHECK_THAT(Tampered("mlp-widen").spec("\"iteration\": 2", "\"iteration\": 1").outcome(),
             ContainsSubstring("mismatch: iteration 1 does not expand"));
  const std::string expansion = R"("expansions": [{"iteration": 1, "kind": "widen", "factor": 2, "model":)"
                                R"( {"family": "mlp", "inputs": [2], "hidden": [17], "classes": 2}}])";
  CHECK_THAT(Tampered("mlp-demo").spec("\"expansions\": []", expansion).outcome(),
             ContainsSubstring("mismatch: iteration 1 does not expand"));
  CHECK_THAT(Tampered("mlp-widen").spec("\"factor\": 2.0", "\"factor\": 3.0").outcome(),
             ContainsSubstring("mismatch: iteration 2 expands to mlp 12-19-16-4, but the bundle to"));
}

TEST_CASE("a value that differs is not within tolerance") {
  const auto shifted = [](float by) {
    return [by](autodiff::Tensor values) {
      values[0] += by;
      return values;
    };
  };
  const char* const name = "1/explore/2/params/dense1.kernel";
  CHECK(Tampered("mlp-demo").array("expected.safetensors", name, shifted(1e-6f)).outcome() == "ok");
  const std::string report =
      Tampered("mlp-demo").array("expected.safetensors", name, shifted(1e-3f)).outcome();
  CHECK_THAT(report, Catch::Matchers::StartsWith("not within tolerance"));
  CHECK_THAT(report, ContainsSubstring(std::string("at ") + name + "  NOT ok"));
  CHECK_THAT(report, ContainsSubstring("explore.loss") && ContainsSubstring("18 of    18"));
  CHECK_THAT(Tampered("mlp-demo").without("expected.safetensors", "0/assess/lcb").outcome(),
             ContainsSubstring("0/assess/lcb is not expected"));
  const auto longer = [](const autodiff::Tensor&) { return autodiff::Tensor(autodiff::Shape{7}); };
  CHECK_THAT(Tampered("mlp-demo").array("expected.safetensors", "0/assess/lcb", longer).outcome(),
             ContainsSubstring("0/assess/lcb is of shape"));
  CHECK_THAT(Tampered("mlp-demo").array("inputs.safetensors", "params/dense2.bias", shifted(0.1f)).outcome(),
             Catch::Matchers::StartsWith("not within tolerance"));
}

TEST_CASE("a choice that differs is not within tolerance, by whatever amount") {
  const BundleSpec spec = read_bundle_spec(golden / "mlp-demo" / "spec.json");
  nn::SafetensorsWriter expected, results;
  expected.add("0/assess/selected", autodiff::Labels(autodiff::Shape{1}, {3}));
  results.add("0/assess/selected", autodiff::Labels(autodiff::Shape{1}, {2}));
  const auto comparisons = compare(nn::Safetensors::parse(results.bytes(), "results"),
                                   nn::Safetensors::parse(expected.bytes(), "expected"), spec);
  REQUIRE(comparisons.size() == 1);
  CHECK(comparisons[0].kind == "assess.selected");
  CHECK(comparisons[0].tolerance == 0);
  CHECK_FALSE(comparisons[0].ok());
}

TEST_CASE("a result that is not finite is not within tolerance") {
  const BundleSpec spec = read_bundle_spec(golden / "mlp-demo" / "spec.json");
  nn::SafetensorsWriter expected, results;
  expected.add("0/params/w", autodiff::Tensor(autodiff::Shape{2}, {1, 2}));
  results.add("0/params/w", autodiff::Tensor(autodiff::Shape{2}, {1, NAN}));
  const auto comparisons = compare(nn::Safetensors::parse(results.bytes(), "results"),
                                   nn::Safetensors::parse(expected.bytes(), "expected"), spec);
  CHECK_FALSE(comparisons.at(0).ok());
  CHECK_THAT(report(comparisons), ContainsSubstring("0/params/w is not finite"));
}

TEST_CASE("a recorded run is replayed with no deviation at all") {
  const TempFolder folder;
  for (const auto& [first, last] : {std::pair{0, 3}, {2, 4}, {3, 5}}) {
    INFO("iterations " << first << " to " << last);
    Evolution evolution(growing_settings(), growing_streams());
    while (evolution.round() < first) evolution.step();
    // Else the starts of later pieces would show less than they should.
    CHECK((first == 0) == (evolution.model().params == evolution.model().stable));
    BundleRecorder recorder(evolution, "recorded");
    while (evolution.round() <= last) recorder.record(evolution, evolution.step());
    CHECK(recorder.iterations() == last - first + 1);
    const fs::path bundle = folder / std::to_string(first);
    recorder.write(bundle);
    const ReplayOutcome outcome = replay(bundle);
    CHECK(outcome.mismatch == "");
    CHECK(outcome.spec.expansions.size() == 1);
    const auto comparisons = compare(nn::Safetensors::parse(outcome.results.bytes(), "results"),
                                     nn::Safetensors::read(bundle / "expected.safetensors"), outcome.spec);
    CHECK(comparisons.size() == 14);
    for (const Comparison& c : comparisons) {
      INFO(c.kind << " at " << c.where);
      CHECK(c.ok());
      CHECK(c.worst == 0);
    }
  }
}

TEST_CASE("what a bundle cannot express is refused before the first round") {
  const auto error = [](const auto& change) {
    Settings settings = growing_settings();
    change(settings);
    const Evolution evolution(settings, growing_streams());
    return error_of([&] { BundleRecorder(evolution, "recorded"); });
  };
  CHECK(error([](Settings&) {}) == "no error");
  CHECK_THAT(error([](Settings& s) { s.explore.clip_norm = 1; }), ContainsSubstring("clipping"));
  CHECK_THAT(error([](Settings& s) { s.optimizers = {nn::RmsProp{}}; }), ContainsSubstring("rmsprop"));
  CHECK_THAT(error([](Settings& s) {
               s.optimizers = {nn::Sgd{0.1, 0.9f, true}};
             }),
             ContainsSubstring("nesterov"));
  CHECK_THAT(error([](Settings& s) { s.optimizers = {nn::Sgd{nn::StepDecay{}}}; }),
             ContainsSubstring("step"));
  CHECK_THAT(error([](Settings& s) { s.adapt.growth = {}, s.adapt.restart_without_growth = true; }),
             ContainsSubstring("restarts without growth"));
  CHECK_THAT(
      error([](Settings& s) { s.metric = nn::per_sample("margin", [](auto z, int) { return z[0]; }); }),
      ContainsSubstring("margin"));
}

TEST_CASE("a bundle is written to a new folder only") {
  const TempFolder folder;
  Evolution evolution(growing_settings(), growing_streams());
  BundleRecorder recorder(evolution, "recorded");
  CHECK_THAT(error_of([&] { recorder.write(folder / "b"); }), ContainsSubstring("no round was recorded"));
  CHECK(folder.count() == 0);
  recorder.record(evolution, evolution.step());
  autodiff::write_file(folder / "file", "x");
  CHECK_THAT(error_of([&] { recorder.write(folder / ""); }), ContainsSubstring("new or empty folder"));
  CHECK_THAT(error_of([&] { recorder.write(folder / "file"); }), ContainsSubstring("new or empty folder"));
  CHECK(folder.count() == 1);
}
