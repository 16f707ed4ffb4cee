// Moments of optimizers across a growth: those of old parameters in their places, zeros elsewhere.
#include <numeric>

#include "ev3/evolution.h"
#include "tests/growth_cases.h"
#include "tests/synthetic_batches.h"

using namespace ev3;

namespace {

// A parameter's shape as axes: dense1.kernel of a CNN reads images [height, width, channels], flattened.
std::vector<std::size_t> axes_of(const nn::Network& net, const nn::ParameterInfo& info) {
  std::vector<std::size_t> axes(info.shape.begin(), info.shape.end());
  const auto* cnn = std::get_if<nn::Cnn>(&net);
  if (cnn && info.name == "dense1.kernel") {
    const auto channels = static_cast<std::size_t>(cnn->stages.back().back());
    axes = {axes[0] / channels, channels, axes[1]};
  }
  return axes;
}

// Element `index` of an array with axes `from`, as an element of one with axes `to`, each at least as long.
std::size_t moved(std::size_t index, const std::vector<std::size_t>& from,
                  const std::vector<std::size_t>& to) {
  REQUIRE(from.size() == to.size());
  std::size_t out = 0, stride = 1;
  for (std::size_t a = from.size(); a-- > 0;) {
    REQUIRE(from[a] <= to[a]);
    out += index % from[a] * stride;
    index /= from[a];
    stride *= to[a];
  }
  return out;
}

// Every moment of `net` is told apart by its number. `name_of` says where a parameter of `net` is in the
// larger one.
template <class NameOf>
void check_carry(const Growth& growth, const nn::Network& net, NameOf name_of) {
  const GrowthPlan chosen = plan(growth, net, {});
  INFO(describe(growth) << " of " << nn::describe(net));
  const auto layout = nn::layout(net), larger = nn::layout(chosen.larger);
  std::vector<float> moments(layout->size());
  std::iota(moments.begin(), moments.end(), 1.0f);
  std::vector<float> want(larger->size());
  for (const nn::ParameterInfo& info : layout->entries()) {
    const nn::ParameterInfo& to = larger->find(name_of(info.name));
    const auto from_axes = axes_of(net, info), to_axes = axes_of(chosen.larger, to);
    for (std::size_t i = 0; i < info.shape.size(); ++i) {
      want[to.offset + moved(i, from_axes, to_axes)] = moments[info.offset + i];
    }
  }
  CHECK(values_of(carry(chosen, net, moments)) == want);
}

std::string same(const std::string& name) { return name; }

const nn::Mlp two_layers{.inputs = {3}, .hidden = {4, 2}, .classes = 3};
const nn::Cnn two_stages{.inputs = {6, 9, 2}, .stages = {{3}, {2}}, .hidden = {4}, .classes = 3};
const nn::ResNet two_groups{.inputs = {8, 8, 2}, .filters = 3, .blocks = {1, 2}, .classes = 4};

}  // namespace

TEST_CASE("moments are carried into a wider network") {
  check_carry(Widen{}, two_layers, same);
  check_carry(Widen{1.5}, two_stages, same);
  check_carry(Widen{}, two_groups, same);
  check_carry(Widen{2, NewUnits::scale_zero}, two_groups, same);
  nn::ResNet bottleneck = two_groups;
  bottleneck.bottleneck = true;
  check_carry(Widen{}, bottleneck, same);
}

TEST_CASE("moments are carried into a deeper network, behind the new layer with their own layer") {
  check_carry(Deepen{1}, two_layers, [](std::string name) {
    if (name.starts_with("dense3")) name[5] = '4';
    if (name.starts_with("dense2")) name[5] = '3';
    return name;
  });
  check_carry(Deepen{2}, two_layers,
              [](std::string name) { return name.starts_with("dense3") ? "dense4" + name.substr(6) : name; });
  check_carry(Deepen{1}, two_stages,
              [](std::string name) { return name.starts_with("conv2") ? "conv3" + name.substr(5) : name; });
  check_carry(Deepen{2}, two_stages, same);  // after the last convolution: conv3 is new
  check_carry(Deepen{3}, two_stages,
              [](std::string name) { return name.starts_with("dense2") ? "dense3" + name.substr(6) : name; });
  check_carry(DeepenStage{1}, two_groups, same);
  check_carry(DeepenStage{2}, two_groups, same);
  check_carry(DeepenAll{}, two_groups, same);
}

TEST_CASE("optimizers that are carried over a growth go on with their moments and with their schedule") {
  // The learning rate is 0 after the two rounds before the growth: who starts anew moves, who goes on does
  // not.
  constexpr int length = 6, rounds = 2;
  const Settings settings{
      .model = nn::Mlp{.inputs = {2}, .hidden = {4}, .classes = 3},
      .optimizers = {nn::Sgd{.learning_rate = nn::Cosine{.initial = 0.3, .steps = rounds * length},
                             .momentum = 0.9f}},
      .explore = {.trajectory_length = length},
      .assess = {.batches = 1},
      .adapt = {.batches = 2, .alpha = 50, .rounds_before_growth = 1, .growth = Widen{}}};
  for (const auto after : {OptimizersAfterGrowth::restart, OptimizersAfterGrowth::carry}) {
    Settings own = settings;
    own.explore.optimizers_after_growth = after;
    Evolution evolution(own, synthetic_streams({.features = 2, .classes = 3, .batch = 16}));
    evolution.step();
    const nn::Network before = evolution.model().network;
    REQUIRE(evolution.step().growth.has_value());
    // The round that grew has moved the moments last; a run that does not grow has them at that moment.
    own.adapt.growth = {};
    Evolution still(own, synthetic_streams({.features = 2, .classes = 3, .batch = 16}));
    still.step();
    still.step();
    const bool carried = after == OptimizersAfterGrowth::carry;
    const auto states = evolution.state().optimizers;
    REQUIRE(states.size() == (carried ? 1u : 0u));
    if (carried) {
      const EvolutionState old = still.state();
      CHECK(states[0].step == rounds * length);
      CHECK(values_of(carry(evolution.growth()->plan, before, old.optimizers[0].moments[0])) ==
            std::vector<float>(states[0].moments[0].begin(), states[0].moments[0].end()));
    }
    const std::vector<float> start = values_of(evolution.model().params);
    evolution.step();
    CHECK((values_of(evolution.candidates()[0].params) == start) == carried);
    CHECK(evolution.state().optimizers[0].step == length * (carried ? rounds + 1 : 1));
  }
}
