#include "ev3/growth_json.h"

#include "nn/model_file.h"

namespace ev3 {
namespace {

using autodiff::fail;
using Json = JsonObject::Json;

bool is_resnet(const nn::Network& network) { return std::holds_alternative<nn::ResNet>(network); }

}  // namespace

Json to_json(const GrowthPlan& plan, const std::string& network_key) {
  Json json{{"kind", plan.kind}};
  if (plan.kind == "widen") json["factor"] = plan.factor;
  if (plan.kind == "deepen") json["layer"] = plan.layer;
  if (plan.kind == "deepen_stage") json["stage"] = plan.stage;
  if (plan.kind == "deepen_all") json["morphism"] = plan.morphism;
  if (plan.kind == "widen" && is_resnet(plan.larger) && plan.new_units == NewUnits::outgoing_zero) {
    json["new_units"] = "outgoing_zero";
  }
  json[network_key] = Json::parse(nn::to_json(plan.larger));
  return json;
}

GrowthPlan growth_plan_from(JsonObject& o, const std::string& network_key) {
  GrowthPlan plan{.kind = o.string("kind")};
  const std::string& kind = plan.kind;
  if (kind != "widen" && kind != "deepen" && kind != "deepen_stage" && kind != "deepen_all") {
    fail(o.where(), ": want a growth of kind widen, deepen, deepen_stage or deepen_all, got '", kind, "'");
  }
  plan.factor = o.number_or("factor", 2);
  if (o.has("layer")) plan.layer = o.integer("layer", 0);
  if (o.has("stage")) plan.stage = o.integer("stage", 0);
  if (o.has("morphism")) plan.morphism = o.boolean("morphism");
  plan.larger = nn::network_from_json(o.at(network_key).dump(), o.where() + ": " + network_key);
  if (kind == "widen" && is_resnet(plan.larger)) plan.new_units = NewUnits::scale_zero;
  if (o.has("new_units")) {
    const std::string units = o.string("new_units");
    if (units != "outgoing_zero" && units != "scale_zero") {
      fail(o.where(), ": want new_units to be outgoing_zero or scale_zero, got '", units, "'");
    }
    plan.new_units = units == "scale_zero" ? NewUnits::scale_zero : NewUnits::outgoing_zero;
  }
  if (kind == "deepen" && plan.layer == 0) fail(o.where(), ": a deepening wants the key 'layer'");
  if (kind == "deepen_stage" && plan.stage == 0) fail(o.where(), ": a deepening wants the key 'stage'");
  return plan;
}

}  // namespace ev3
