// Growth: a larger network that computes the same function.
#pragma once

#include <optional>
#include <string>
#include <variant>

#include "nn/network.h"

namespace ev3 {

/// How new channels of a network with batch norm are kept from disturbing old ones.
enum class NewUnits {
  /// What leads from a new channel to an old one, or to the outputs, starts at 0. New channels compute
  /// something of their own from the first step on, get gradients from the second, and are put to use.
  outgoing_zero,
  /// The scale of a new channel's batch norm starts at 0, as in the reference. Before a ReLU, whose
  /// derivative at 0 is 0, neither this scale nor the bias ever gets a gradient: such channels never learn.
  scale_zero,
};

/// MLP and CNN: every width w becomes int(factor w) + 1. ResNet: filters become ceil(factor filters).
struct Widen {
  double factor = 2;
  std::optional<NewUnits> new_units = {};  ///< none: outgoing_zero
};
/// MLP and CNN: a hidden layer of the same width, the identity, is inserted after hidden layer `layer` (from
/// 1, those of a CNN counted through; none: any, with equal probability).
struct Deepen {
  std::optional<int> layer = {};
};
/// ResNet: one more block, at first the identity, at the end of stage `stage` (from 1; none: any, with equal
/// probability).
struct DeepenStage {
  std::optional<int> stage = {};
};
/// ResNet: twice as many blocks in every stage; the new ones, at the end of each, are at first the identity.
/// Without morphism nothing is kept: the larger network starts afresh, and computes another function.
struct DeepenAll {
  bool morphism = true;
};
/// Widen or deepen (a ResNet: a stage), with equal probability.
struct Expand {
  double factor = 2;
};
using Growth = std::variant<Widen, Deepen, Expand, DeepenStage, DeepenAll>;

/// A growth with all choices made.
struct GrowthPlan {
  std::string kind;  ///< "widen", "deepen", "deepen_stage" or "deepen_all"
  double factor = 2;
  int layer = 0;                                 ///< of deepen, from 1
  int stage = 0;                                 ///< of deepen_stage, from 1
  bool morphism = true;                          ///< whether the function is preserved
  NewUnits new_units = NewUnits::outgoing_zero;  ///< of widen
  nn::Network larger = nn::Mlp{};
};

/// "widen x2", "deepen after layer 2", "deepen all stages, afresh"
std::string describe(const Growth& growth);
/// Throws Error for a factor below 1 or a layer or stage below 1.
void check(const Growth& growth);
/// Makes the choices. Throws Error when the network cannot grow that way (another family, no hidden layer, no
/// such layer or stage, too large). Vision transformers and sequential networks cannot grow.
GrowthPlan plan(const Growth& growth, const nn::Network& network, autodiff::Seed seed);

/// The larger network's parameters: those of the smaller one in their places, what is new from `fresh`
/// (parameters of the larger network, initialized), and zeros where new units would disturb old ones. The
/// function is preserved, unless the plan says otherwise (docs/algorithm.md, section 6).
nn::Parameters grow(const GrowthPlan& plan, const nn::Network& network, const nn::Parameters& params,
                    const nn::Parameters& fresh);

/// One block of moments of an optimizer for the larger network: those of old parameters in their places,
/// zeros for new ones; all zeros without morphism.
nn::Parameters carry(const GrowthPlan& plan, const nn::Network& network, std::span<const float> moments);

}  // namespace ev3
