// Which larger network: the choices. What becomes of the parameters is in growth_parameters.cpp.
#include "ev3/growth.h"

#include <cmath>

#include "autodiff/tensor/error.h"

namespace ev3 {
namespace {

using autodiff::fail;
using nn::Cnn;
using nn::Mlp;
using nn::ResNet;

int wider(int width, double factor) {
  const double wide = factor * width;
  if (wide > 1e9) fail("widen: a width of ", wide, " is beyond 10^9");
  return static_cast<int>(wide) + 1;
}

nn::Network widened(const Mlp& net, double factor) {
  if (net.hidden.empty()) fail("widen: ", nn::describe(net), " has no hidden layer to widen");
  Mlp larger = net;
  for (int& width : larger.hidden) width = wider(width, factor);
  return larger;
}

nn::Network widened(const Cnn& net, double factor) {
  Cnn larger = net;
  for (std::vector<int>& stage : larger.stages) {
    for (int& filters : stage) filters = wider(filters, factor);
  }
  for (int& width : larger.hidden) width = wider(width, factor);
  return larger;
}

nn::Network widened(const ResNet& net, double factor) {
  ResNet larger = net;
  const double filters = std::ceil(net.filters * factor);
  if (filters > 1 << 16) fail("widen: ", filters, " filters are beyond 65,536");
  larger.filters = static_cast<int>(filters);
  return larger;
}

// Vision transformers and sequential networks.
template <class Other>
nn::Network widened(const Other& net, double) {
  fail("widen: want an mlp, a cnn or a resnet, got ", nn::describe(net));
}

GrowthPlan plan_widen(const Widen& widen, const nn::Network& network) {
  GrowthPlan plan{.kind = "widen", .factor = widen.factor};
  plan.new_units = widen.new_units.value_or(NewUnits::outgoing_zero);
  if (plan.new_units == NewUnits::scale_zero && !std::holds_alternative<ResNet>(network)) {
    fail("widen: new_units of scale_zero want a network with batch norm, got ", nn::describe(network));
  }
  plan.larger = std::visit([&](const auto& net) { return widened(net, widen.factor); }, network);
  return plan;
}

// A number from 1 to `count`: as told, or drawn.
int choose(const char* who, const char* what, std::optional<int> told, std::size_t count,
           const nn::Network& network, const autodiff::Random& random) {
  if (count == 0) fail(who, ": ", nn::describe(network), " has no ", what, " to insert one after");
  const int chosen = told ? *told : 1 + static_cast<int>(random.below(1, count));
  if (chosen < 1 || chosen > static_cast<int>(count)) {
    fail(who, ": want a ", what, " from 1 to ", count, " of ", nn::describe(network), ", got ", chosen);
  }
  return chosen;
}

GrowthPlan plan_deepen(std::optional<int> layer, const nn::Network& network, const autodiff::Random& random) {
  GrowthPlan plan{.kind = "deepen"};
  if (const auto* net = std::get_if<Mlp>(&network)) {
    plan.layer = choose("deepen", "hidden layer", layer, net->hidden.size(), network, random);
    Mlp larger = *net;
    larger.hidden.insert(larger.hidden.begin() + plan.layer,
                         net->hidden[static_cast<std::size_t>(plan.layer - 1)]);
    plan.larger = larger;
    return plan;
  }
  const auto* net = std::get_if<Cnn>(&network);
  if (!net) {
    fail("deepen: want an mlp or a cnn, got ", nn::describe(network),
         std::holds_alternative<ResNet>(network) ? "; it has deepen_stage and deepen_all" : "");
  }
  std::size_t layers = net->hidden.size();
  for (const auto& stage : net->stages) layers += stage.size();
  plan.layer = choose("deepen", "hidden layer", layer, layers, network, random);
  Cnn larger = *net;
  int place = plan.layer;
  const auto repeat = [&place](std::vector<int>& widths) {
    if (place > static_cast<int>(widths.size())) {
      place -= static_cast<int>(widths.size());
      return false;
    }
    widths.insert(widths.begin() + place, widths[static_cast<std::size_t>(place - 1)]);
    return true;
  };
  bool done = false;
  for (std::vector<int>& stage : larger.stages) done = done || repeat(stage);
  if (!done) repeat(larger.hidden);
  plan.larger = larger;
  return plan;
}

const ResNet& want_resnet(const char* who, const nn::Network& network) {
  const auto* net = std::get_if<ResNet>(&network);
  if (!net) fail(who, ": want a resnet, got ", nn::describe(network));
  return *net;
}

GrowthPlan plan_deepen_stage(std::optional<int> stage, const nn::Network& network,
                             const autodiff::Random& random) {
  ResNet larger = want_resnet("deepen_stage", network);
  GrowthPlan plan{.kind = "deepen_stage"};
  plan.stage = choose("deepen_stage", "stage", stage, larger.blocks.size(), network, random);
  ++larger.blocks[static_cast<std::size_t>(plan.stage - 1)];
  plan.larger = larger;
  return plan;
}

GrowthPlan plan_deepen_all(bool morphism, const nn::Network& network) {
  ResNet larger = want_resnet("deepen_all", network);
  for (int& blocks : larger.blocks) blocks *= 2;
  GrowthPlan plan{.kind = "deepen_all", .morphism = morphism};
  plan.larger = larger;
  return plan;
}

struct Plan {
  const nn::Network& network;
  autodiff::Random random;

  GrowthPlan operator()(const Widen& g) const { return plan_widen(g, network); }
  GrowthPlan operator()(const Deepen& g) const { return plan_deepen(g.layer, network, random); }
  GrowthPlan operator()(const DeepenStage& g) const { return plan_deepen_stage(g.stage, network, random); }
  GrowthPlan operator()(const DeepenAll& g) const { return plan_deepen_all(g.morphism, network); }
  GrowthPlan operator()(const Expand& g) const {
    if (random.below(0, 2) == 0) return plan_widen({.factor = g.factor}, network);
    if (std::holds_alternative<ResNet>(network)) return plan_deepen_stage({}, network, random);
    return plan_deepen({}, network, random);
  }
};

struct Describe {
  std::string operator()(const Widen& g) const {
    const bool silent = g.new_units == NewUnits::scale_zero;
    return autodiff::text("widen x", g.factor, silent ? ", new scales 0" : "");
  }
  std::string operator()(const Deepen& g) const {
    return g.layer ? autodiff::text("deepen after layer ", *g.layer) : "deepen";
  }
  std::string operator()(const DeepenStage& g) const {
    return g.stage ? autodiff::text("deepen stage ", *g.stage) : "deepen a stage";
  }
  std::string operator()(const DeepenAll& g) const {
    return g.morphism ? "deepen all stages" : "deepen all stages, afresh";
  }
  std::string operator()(const Expand&) const { return "widen or deepen"; }
};

struct Check {
  static void want_factor(double factor) {
    if (!(factor >= 1) || !std::isfinite(factor)) fail("growth: want a factor of at least 1, got ", factor);
  }
  static void want_place(const char* what, std::optional<int> place) {
    if (place && *place < 1) fail("growth: want a ", what, " from 1 on, got ", *place);
  }
  void operator()(const Widen& g) const { want_factor(g.factor); }
  void operator()(const Deepen& g) const { want_place("layer", g.layer); }
  void operator()(const DeepenStage& g) const { want_place("stage", g.stage); }
  void operator()(const DeepenAll&) const {}
  void operator()(const Expand& g) const { want_factor(g.factor); }
};

}  // namespace

std::string describe(const Growth& growth) { return std::visit(Describe{}, growth); }

void check(const Growth& growth) { std::visit(Check{}, growth); }

GrowthPlan plan(const Growth& growth, const nn::Network& network, autodiff::Seed seed) {
  GrowthPlan chosen = std::visit(Plan{network, autodiff::Random(seed)}, growth);
  nn::layout(chosen.larger);  // refuses what is too large
  return chosen;
}

}  // namespace ev3
