#include "ev3/cli/record_json.h"

#include <charconv>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "autodiff/tensor/error.h"
#include "ev3/growth_json.h"
#include "nn/model_file.h"

namespace ev3::cli {
namespace {

using Json = nlohmann::ordered_json;

// The double with the same shortest digits: 0.1f is written as 0.1, and read back as 0.1f.
double shortest(float x) {
  if (!std::isfinite(x)) return static_cast<double>(x);
  char digits[32];
  const auto end = std::to_chars(digits, digits + sizeof digits, x).ptr;
  double out = 0;
  std::from_chars(digits, end, out);
  return out;
}

double number(const Json& json) {
  return json.is_null() ? std::numeric_limits<double>::quiet_NaN() : json.get<double>();
}

Json to_json(const Bounds& b) { return {{"mean", b.mean}, {"lcb", b.lcb}, {"ucb", b.ucb}}; }

Bounds bounds_from(const Json& json) {
  return {number(json.at("mean")), number(json.at("lcb")), number(json.at("ucb"))};
}

Json list(const std::vector<Bounds>& all) {
  Json out = Json::array();
  for (const Bounds& b : all) out.push_back(to_json(b));
  return out;
}

std::vector<Bounds> bounds_list(const Json& json) {
  std::vector<Bounds> out;
  for (const Json& b : json) out.push_back(bounds_from(b));
  return out;
}

Json candidates(const StepRecord& r) {
  Json out = Json::array();
  for (const StepRecord::Trajectory& t : r.candidates) {
    Json losses = Json::array();
    for (const float x : t.losses) losses.push_back(shortest(x));
    out.push_back({{"loss", t.loss}, {"optimizer", t.optimizer}, {"losses", losses}});
  }
  return out;
}

constexpr const char* best_names[] = {"candidate", "params", "stable"};
constexpr const char* rule_names[] = {"significance", "always_accept"};

template <class T, std::size_t N>
T named(const char* const (&names)[N], const Json& json) {
  for (std::size_t i = 0; i < N; ++i) {
    if (json.get<std::string>() == names[i]) return static_cast<T>(i);
  }
  autodiff::fail("unknown word ", json.dump());
}

Json growth(const StepRecord& r) {
  if (!r.growth) return nullptr;
  return ev3::to_json(*r.growth, "network");
}

StepRecord record_from(const Json& json, const std::string& where) {
  StepRecord r;
  r.round = json.at("round").get<int>() - 1;
  r.network = json.at("network");
  r.parameters = json.at("parameters");
  r.pass = json.value("pass", 1) - 1;
  r.archived_teachers = json.value("archived_teachers", std::vector<std::string>());
  r.last = json.value("last", false);
  r.rule = named<AdaptRule>(rule_names, json.at("rule"));
  const Json& explore = json.at("explore");
  r.trajectory_length = explore.at("trajectory_length");
  r.first_explore_batch = explore.at("first_batch");
  r.gradient_steps = explore.at("gradient_steps");
  for (const Json& c : explore.at("candidates")) {
    StepRecord::Trajectory t{.loss = c.at("loss"), .optimizer = c.at("optimizer"), .losses = {}};
    for (const Json& x : c.at("losses")) t.losses.push_back(static_cast<float>(number(x)));
    r.candidates.push_back(std::move(t));
  }
  const Json& assess = json.at("assess");
  r.assess = {assess.at("first_batch"), bounds_list(assess.at("candidates")), assess.at("selected")};
  const Json& adapt = json.at("adapt");
  r.adapt = {.first_batch = adapt.at("first_batch"),
             .batches_used = adapt.at("batches_used"),
             .bounds = bounds_list(adapt.at("bounds")),
             .best = named<Best>(best_names, adapt.at("best")),
             .significant = adapt.at("significant"),
             .expanded = adapt.at("expanded")};
  if (const Json& g = json.at("growth"); !g.is_null()) {
    JsonObject object(g, where + ": growth");
    r.growth = growth_plan_from(object, "network");
    r.grown_to = nn::describe(r.growth->larger);
  }
  const bool whole = r.assess.selected >= 0 && r.assess.candidates.size() == r.candidates.size() &&
                     static_cast<std::size_t>(r.assess.selected) < r.candidates.size() &&
                     (r.adapt.bounds.size() == 3 || r.adapt.bounds.size() == 1);
  if (!whole) autodiff::fail("the parts of the record do not fit each other");
  return r;
}

}  // namespace

std::string to_json(const Round& round) {
  const StepRecord& r = round.record;
  Json json{{"round", r.round + 1}, {"network", r.network}};
  if (round.network) json["architecture"] = Json::parse(nn::to_json(*round.network));
  if (r.pass > 0) json["pass"] = r.pass + 1;
  if (!r.archived_teachers.empty()) json["archived_teachers"] = r.archived_teachers;
  if (r.last) json["last"] = true;
  json.update(Json{
      {"parameters", r.parameters},
      {"verdict", verdict(r)},
      {"rule", rule_names[static_cast<int>(r.rule)]},
      {"explore",
       {{"trajectory_length", r.trajectory_length},
        {"first_batch", r.first_explore_batch},
        {"gradient_steps", r.gradient_steps},
        {"candidates", candidates(r)}}},
      {"assess",
       {{"first_batch", r.assess.first_batch},
        {"candidates", list(r.assess.candidates)},
        {"selected", r.assess.selected}}},
      {"adapt",
       {{"first_batch", r.adapt.first_batch},
        {"batches_used", r.adapt.batches_used},
        {"bounds", list(r.adapt.bounds)},
        {"best", best_names[static_cast<int>(r.adapt.best)]},
        {"significant", r.adapt.significant},
        {"expanded", r.adapt.expanded}}},
      {"growth", growth(r)},
      {"test", {{"samples", round.test.samples}, {"hits", round.test.hits}, {"loss", round.test.loss}}}});
  return json.dump();
}

Round round_from_json(std::string_view line, const std::string& where) {
  try {
    const Json json = Json::parse(line);
    Round round{.record = record_from(json, where), .test = {}};
    if (json.contains("architecture")) {
      round.network = nn::network_from_json(json.at("architecture").dump(), where);
    }
    const Json& test = json.at("test");
    round.test.samples = test.at("samples");
    round.test.hits = test.at("hits");
    round.test.loss = number(test.at("loss"));
    return round;
  } catch (const std::exception& error) {
    autodiff::fail(where, ": not the record of a round: ", error.what());
  }
}

}  // namespace ev3::cli
