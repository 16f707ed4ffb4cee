// Growths in JSON: in replay bundles and in the records of rounds.
#pragma once

#include "ev3/growth.h"
#include "ev3/json_object.h"

namespace ev3 {

/// kind, the choices that it has, and under `network_key` the larger network.
JsonObject::Json to_json(const GrowthPlan& plan, const std::string& network_key);
/// The opposite; the caller asks for other keys, then for finish(). Where a residual net was widened and
/// "new_units" is absent, it is "scale_zero". Throws Error for unknown words, and for a missing layer or
/// stage.
GrowthPlan growth_plan_from(JsonObject& object, const std::string& network_key);

}  // namespace ev3
