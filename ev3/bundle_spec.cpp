#include "ev3/bundle_spec.h"

#include "autodiff/tensor/file.h"
#include "ev3/growth_json.h"
#include "ev3/json_object.h"
#include "nn/model_file.h"

namespace ev3 {
namespace {

using autodiff::fail;
using Json = JsonObject::Json;

std::string joined(const std::vector<std::string>& names) {
  std::string out;
  for (const std::string& name : names) out += (out.empty() ? "" : ", ") + name;
  return out;
}

float as_float(double x) { return static_cast<float>(x); }

nn::Schedule schedule_from(const Json& value, const std::string& where) {
  if (value.is_number()) return value.get<double>();
  JsonObject o(value, where);
  const std::string kind = o.string("kind");
  nn::Schedule schedule;
  if (kind == "cosine") {
    schedule = nn::Cosine{.initial = o.number("initial"), .steps = o.integer("steps", 1)};
  } else if (kind == "warmup") {
    schedule =
        nn::Warmup{.steps = o.integer("steps", 1), .then = {schedule_from(o.at("then"), where + ": then")}};
  } else {
    fail(where, ": want a learning rate that is a number, cosine or warmup, got '", kind, "'");
  }
  o.finish();
  return schedule;
}

Json schedule_json(const nn::Schedule& schedule) {
  if (const auto* s = std::get_if<nn::Constant>(&schedule.form())) return s->value;
  if (const auto* s = std::get_if<nn::Cosine>(&schedule.form())) {
    if (s->final == 0) return {{"kind", "cosine"}, {"initial", s->initial}, {"steps", s->steps}};
  }
  if (const auto* s = std::get_if<nn::Warmup>(&schedule.form())) {
    return {{"kind", "warmup"}, {"steps", s->steps}, {"then", schedule_json(s->then.front())}};
  }
  fail("bundle: the format has no learning rate such as '", nn::describe(schedule),
       "'; it has numbers, cosine to 0 and warmup");
}

// The alternative of an enum that a word names.
template <class T>
T word(JsonObject& o, const std::string& key, const std::vector<std::string>& names) {
  const std::string given = o.string(key);
  const auto found = std::find(names.begin(), names.end(), given);
  if (found == names.end())
    fail(o.where(), ": want '", key, "' to be one of ", joined(names), ", got '", given, "'");
  return static_cast<T>(found - names.begin());
}

nn::Loss loss_from(const Json& value, const std::string& where) {
  JsonObject o(value, where);
  const std::string kind = o.string("kind");
  nn::Loss loss;
  if (kind == "cross_entropy") {
    nn::CrossEntropy l{.multipliers = {}};
    for (const Json& t : o.list("multipliers")) {
      if (!t.is_number()) o.wrong("multipliers", "a list of numbers", t);
      l.multipliers.push_back(t.get<float>());
    }
    loss = l;
  } else if (kind == "distillation") {
    nn::Distillation l{.temperature = as_float(o.number("temperature"))};
    if (o.has("teacher")) l.teacher = o.integer("teacher", 0);
    if (o.has("divergence")) l.divergence = word<nn::Divergence>(o, "divergence", {"reverse", "forward"});
    if (o.has("scale")) {
      l.scale = word<nn::TemperatureScale>(o, "scale", {"tau", "tau_squared", "none"});
    }
    l.hard_weight = as_float(o.number_or("hard_weight", 0));
    loss = l;
  } else {
    fail(where, ": want a loss of kind cross_entropy or distillation, got '", kind, "'");
  }
  o.finish();
  return loss;
}

Json loss_json(const nn::Loss& loss) {
  if (const auto* l = std::get_if<nn::CrossEntropy>(&loss)) {
    return {{"kind", "cross_entropy"}, {"multipliers", l->multipliers}};
  }
  const auto& l = std::get<nn::Distillation>(loss);
  Json json{{"kind", "distillation"}, {"temperature", l.temperature}};
  if (l.teacher) json["teacher"] = *l.teacher;
  if (l.divergence == nn::Divergence::forward) json["divergence"] = "forward";
  if (l.scale != nn::TemperatureScale::tau) {
    json["scale"] = l.scale == nn::TemperatureScale::none ? "none" : "tau_squared";
  }
  if (l.hard_weight != 0) json["hard_weight"] = l.hard_weight;
  return json;
}

nn::Optimizer optimizer_from(const Json& value, const std::string& where) {
  JsonObject o(value, where);
  const std::string kind = o.string("kind");
  const nn::Schedule rate = schedule_from(o.at("learning_rate"), where + ": learning_rate");
  nn::Optimizer optimizer;
  if (kind == "sgd") {
    optimizer = nn::Sgd{.learning_rate = rate, .momentum = as_float(o.number_or("momentum", 0))};
  } else if (kind == "adamw") {
    optimizer = nn::AdamW{.learning_rate = rate,
                          .b1 = as_float(o.number_or("b1", 0.9)),
                          .b2 = as_float(o.number_or("b2", 0.999)),
                          .epsilon = as_float(o.number_or("epsilon", 1e-8)),
                          .weight_decay = as_float(o.number_or("weight_decay", 1e-4))};
  } else {
    fail(where, ": want an optimizer of kind sgd or adamw, got '", kind, "'");
  }
  o.finish();
  return optimizer;
}

Json optimizer_json(const nn::Optimizer& optimizer) {
  const Json rate = schedule_json(nn::learning_rate(optimizer));
  if (const auto* o = std::get_if<nn::Sgd>(&optimizer); o && !o->nesterov) {
    Json json{{"kind", "sgd"}, {"learning_rate", rate}};
    if (o->momentum != 0) json["momentum"] = o->momentum;
    return json;
  }
  if (const auto* o = std::get_if<nn::AdamW>(&optimizer)) {
    return {{"kind", "adamw"}, {"learning_rate", rate}, {"b1", o->b1},
            {"b2", o->b2},     {"epsilon", o->epsilon}, {"weight_decay", o->weight_decay}};
  }
  if (const auto* o = std::get_if<nn::Adam>(&optimizer)) {
    return {{"kind", "adamw"}, {"learning_rate", rate}, {"b1", o->b1},
            {"b2", o->b2},     {"epsilon", o->epsilon}, {"weight_decay", 0}};
  }
  fail("bundle: the format has no optimizer such as '", nn::describe(optimizer),
       "'; it has sgd (no nesterov) and adamw");
}

// The elements of a list by a function of (element, where).
template <class F>
auto each(JsonObject& o, const std::string& key, F from) {
  std::vector<decltype(from(Json(), std::string()))> out;
  const Json& list = o.list(key);
  for (std::size_t i = 0; i < list.size(); ++i) {
    out.push_back(from(list[i], o.where() + ": " + key + " " + std::to_string(i)));
  }
  return out;
}

ExploreOptions explore_from(JsonObject o, Settings& settings) {
  settings.losses = each(o, "losses", loss_from);
  settings.optimizers = each(o, "optimizers", optimizer_from);
  ExploreOptions options{.trajectory_length = o.integer("trajectory_length", 1),
                         .trajectory_factor = o.number_or("trajectory_factor", 1)};
  const std::string from = o.has("weight_decay_from") ? o.string("weight_decay_from") : "moving";
  if (from != "start" && from != "moving") {
    fail(o.where(), ": want weight_decay_from to be \"start\" or \"moving\", got '", from, "'");
  }
  options.weight_decay_from = from == "start" ? WeightDecayFrom::start : WeightDecayFrom::moving;
  o.finish();
  return options;
}

AdaptOptions adapt_from(JsonObject o) {
  AdaptOptions options{.batches = o.integer("batches", 1), .alpha = o.number("alpha")};
  const std::string rule = o.string("rule");
  if (rule != "significance" && rule != "always_accept") {
    fail(o.where(), ": want rule to be \"significance\" or \"always_accept\", got '", rule, "'");
  }
  options.rule = rule == "significance" ? AdaptRule::significance : AdaptRule::always_accept;
  if (o.has("steps_before_expansion") && !o.at("steps_before_expansion").is_null()) {
    options.rounds_before_growth = o.integer("steps_before_expansion", 0);
    options.growth = Widen{};  // that it grows; how is in `expansions`
  }
  o.finish();
  return options;
}

BundleExpansion expansion_from(const Json& value, const std::string& where) {
  JsonObject o(value, where);
  const int iteration = o.integer("iteration", 0);
  BundleExpansion e{.iteration = iteration, .plan = growth_plan_from(o, "model")};
  o.finish();
  return e;
}

BundleStart start_from(JsonObject o) {
  BundleStart start;
  start.history = each(o, "history", [](const Json& flag, const std::string& where) {
    if (!flag.is_boolean()) fail(where, ": want true or false, got ", flag.dump());
    return flag.get<bool>();
  });
  start.optimizer_steps = each(o, "optimizer_steps", [](const Json& steps, const std::string& where) {
    if (!steps.is_number_unsigned()) fail(where, ": want a number of steps, got ", steps.dump());
    return steps.get<std::int64_t>();
  });
  o.finish();
  return start;
}

}  // namespace

BundleSpec read_bundle_spec(const std::filesystem::path& path) {
  const std::string where = path.string();
  const Json json = Json::parse(autodiff::read_file(path), nullptr, false);
  if (json.is_discarded()) fail(where, ": this is no JSON");
  JsonObject o(json, where);
  if (const std::string format = o.string("format"); format != "ev3-replay-1") {
    fail(where, ": want the format \"ev3-replay-1\", got '", format, "'");
  }
  BundleSpec spec{.name = o.string("name"),
                  .what = o.string("what"),
                  .settings = {},
                  .expansions = {},
                  .start = {},
                  .teachers = {},
                  .tolerance = {}};
  Settings& s = spec.settings;
  s.model = nn::network_from_json(o.at("model").dump(), where + ": model");
  s.explore = explore_from(o.object("explore"), s);
  JsonObject assess = o.object("assess");
  s.assess = {.batches = assess.integer("batches", 1), .alpha = assess.number("alpha")};
  assess.finish();
  s.adapt = adapt_from(o.object("adapt"));
  s.history_limit = o.integer("history_limit", -2147483647 - 1);
  spec.iterations = o.integer("iterations", 1);
  if (o.has("expansions")) spec.expansions = each(o, "expansions", expansion_from);
  if (o.has("teachers")) {
    spec.teachers = each(o, "teachers", [](const Json& net, const std::string& at) {
      return nn::network_from_json(net.dump(), at);
    });
  }
  if (o.has("start")) spec.start = start_from(o.object("start"));
  if (o.has("tolerance")) {
    JsonObject tolerance = o.object("tolerance");
    for (const auto& [kind, value] : o.at("tolerance").items()) spec.tolerance[kind] = tolerance.number(kind);
  }
  o.finish();
  return spec;
}

std::string bundle_spec_text(const BundleSpec& spec) {
  const Settings& s = spec.settings;
  const auto all = [](const auto& list, auto json) {
    Json out = Json::array();
    for (const auto& item : list) out.push_back(json(item));
    return out;
  };
  Json json;
  json["format"] = "ev3-replay-1";
  json["name"] = spec.name;
  json["what"] = spec.what;
  json["model"] = Json::parse(nn::to_json(s.model));
  json["explore"] = {
      {"trajectory_length", s.explore.trajectory_length},
      {"trajectory_factor", s.explore.trajectory_factor},
      {"losses", all(s.losses, loss_json)},
      {"optimizers", all(s.optimizers, optimizer_json)},
      {"weight_decay_from", s.explore.weight_decay_from == WeightDecayFrom::start ? "start" : "moving"}};
  json["assess"] = {{"batches", s.assess.batches}, {"alpha", s.assess.alpha}};
  json["adapt"] = {{"rule", s.adapt.rule == AdaptRule::significance ? "significance" : "always_accept"},
                   {"batches", s.adapt.batches},
                   {"alpha", s.adapt.alpha}};
  if (s.adapt.rounds_before_growth) json["adapt"]["steps_before_expansion"] = *s.adapt.rounds_before_growth;
  json["history_limit"] = s.history_limit;
  json["iterations"] = spec.iterations;
  json["expansions"] = all(spec.expansions, [](const BundleExpansion& e) {
    Json out = to_json(e.plan, "model");
    out["iteration"] = e.iteration;
    return out;
  });
  if (spec.start) {
    json["start"] = {{"history", spec.start->history}, {"optimizer_steps", spec.start->optimizer_steps}};
  }
  if (!spec.teachers.empty()) {
    json["teachers"] =
        all(spec.teachers, [](const nn::Network& net) { return Json::parse(nn::to_json(net)); });
  }
  json["tolerance"] = spec.tolerance;
  return json.dump(1) + "\n";
}

}  // namespace ev3
