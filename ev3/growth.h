// Growth: a larger network that computes the same function.
#pragma once

#include <optional>
#include <string>
#include <variant>

#include "nn/network.h"

namespace ev3 {

/// Every hidden width w becomes int(factor w) + 1.
struct Widen {
  double factor = 2;
};
/// A hidden layer of the same width, the identity, is inserted after hidden layer `layer` (from 1; none: any,
/// with equal probability).
struct Deepen {
  std::optional<int> layer = {};
};
/// Widen or deepen, with equal probability.
struct Expand {
  double factor = 2;
};
using Growth = std::variant<Widen, Deepen, Expand>;

/// A growth with all choices made.
struct GrowthPlan {
  std::string kind;  ///< "widen" or "deepen"
  double factor = 2;
  int layer = 0;  ///< of deepen, from 1
  nn::Network larger = nn::Mlp{};
};

std::string describe(const Growth& growth);
/// Throws Error for a factor below 1 or a layer below 1.
void check(const Growth& growth);
/// Makes the choices. Throws Error when the network cannot grow that way (no hidden layer, no such layer).
GrowthPlan plan(const Growth& growth, const nn::Network& network, autodiff::Seed seed);

/// The larger network's parameters: those of the smaller one in their places, what is new from `fresh`
/// (parameters of the larger network, initialized), and zeros where new units would disturb old ones. The
/// function is preserved (docs/algorithm.md, section 6): widening, because new units reach no old unit and no
/// output; deepening, because ReLU is idempotent.
nn::Parameters grow(const GrowthPlan& plan, const nn::Network& network, const nn::Parameters& params,
                    const nn::Parameters& fresh);

}  // namespace ev3
