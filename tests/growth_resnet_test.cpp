// Growth of residual networks: what it leaves alone, what it does to widths, blocks and parameters, and what
// it says.
#include "ev3/evolution.h"
#include "tests/files.h"
#include "tests/growth_cases.h"
#include "tests/synthetic_batches.h"

using namespace ev3;
using autodiff::Seed;
using nn::ResNet;
using tests::random_parameters;

namespace {

const ResNet small{.inputs = {8, 8, 2}, .filters = 3, .blocks = {1, 2}, .classes = 4};

std::vector<Growth> all_stages(const ResNet& net) {
  std::vector<Growth> growths;
  for (std::size_t s = 1; s <= net.blocks.size(); ++s) growths.push_back(DeepenStage{static_cast<int>(s)});
  return growths;
}

void check_preserves(const std::vector<Growth>& growths, bool initialized) {
  tests::check_random_networks(
      tests::random_resnet, [&](const ResNet&) { return growths; }, initialized);
}

// Random parameters of `net` and of `larger`, put together by a growth.
nn::Parameters grown(const GrowthPlan& plan, const nn::Network& net, const nn::Parameters& fresh) {
  return grow(plan, net, random_parameters(net, {1}), fresh);
}

}  // namespace

TEST_CASE("a widened residual net computes the same: new channels are cut off") {
  check_preserves({Widen{}, Widen{1.2}, Widen{3}}, false);
}

TEST_CASE("a widened residual net computes the same: the scales of new channels are 0") {
  const auto silent = [](double factor) { return Widen{factor, NewUnits::scale_zero}; };
  check_preserves({silent(2), silent(1.2), silent(3)}, true);
}

TEST_CASE("one more block at the end of any stage preserves the function") {
  tests::check_random_networks(tests::random_resnet, all_stages, true);
}

TEST_CASE("twice the blocks preserve the function, and so do chance and repetition") {
  check_preserves({DeepenAll{}, Expand{}}, true);
  nn::Network net = small;
  nn::Parameters params = random_parameters(net, {1});
  const std::vector<float> x = tests::normal_samples(net, 6, {2});
  const auto before = tests::run_forward(net, params, x).outputs;
  for (const Growth& growth :
       {Growth(Widen{}), Growth(DeepenStage{2}), Growth(DeepenAll{}), Growth(Widen{})}) {
    const GrowthPlan chosen = plan(growth, net, {3});
    params = grow(chosen, net, params, nn::initialize(chosen.larger, {4}));
    net = chosen.larger;
  }
  CHECK(nn::describe(net) == "resnet 12x2-6");
  CHECK(tests::relative_difference(tests::run_forward(net, params, x).outputs, before) <= tests::preserved);
}

TEST_CASE("widths and blocks after a growth") {
  const auto larger = [](const Growth& growth, const ResNet& net) {
    return nn::describe(plan(growth, net, {}).larger);
  };
  CHECK(larger(Widen{}, small) == "resnet 6x1-2");
  CHECK(larger(Widen{1.5}, small) == "resnet 5x1-2");  // 4.5, rounded up
  CHECK(larger(DeepenStage{1}, small) == "resnet 3x2-2");
  CHECK(larger(DeepenStage{2}, small) == "resnet 3x1-3");
  CHECK(larger(DeepenAll{}, small) == "resnet 3x2-4");
  CHECK(larger(DeepenAll{false}, nn::resnet_cifar(20)) == "resnet 16x6-6-6");
  CHECK(larger(DeepenAll{}, nn::resnet_imagenet(50)) == "resnet ib64x6-8-12-6");
}

TEST_CASE("without morphism everything is fresh: another function, and moments of 0") {
  const GrowthPlan chosen = plan(DeepenAll{false}, small, {});
  CHECK_FALSE(chosen.morphism);
  const nn::Parameters fresh = nn::initialize(chosen.larger, {2}), params = random_parameters(small, {1});
  const nn::Parameters larger = grow(chosen, small, params, fresh);
  CHECK(larger == fresh);
  const std::vector<float> x = tests::normal_samples(small, 6, {3});
  const auto before = tests::run_forward(small, params, x).outputs;
  CHECK(tests::relative_difference(tests::run_forward(chosen.larger, larger, x).outputs, before) > 0.1);
  const nn::Parameters carried = carry(chosen, small, params.values());
  CHECK(carried == nn::Parameters(nn::layout(chosen.larger)));
}

TEST_CASE("new units of a widening: what is 0, what is fresh") {
  for (const NewUnits units : {NewUnits::outgoing_zero, NewUnits::scale_zero}) {
    const GrowthPlan chosen = plan(Widen{2, units}, small, {});
    const nn::Parameters fresh = random_parameters(chosen.larger, {2});
    const nn::Parameters larger = grown(chosen, small, fresh);
    const auto scale = larger["stage1.block1.norm1.scale"];
    const auto fresh_scale = fresh["stage1.block1.norm1.scale"];
    for (std::size_t c = 3; c < 6; ++c) {
      CHECK(scale[c] == (units == NewUnits::scale_zero ? 0.0f : fresh_scale[c]));
      CHECK(larger["stage1.block1.norm1.bias"][c] == fresh["stage1.block1.norm1.bias"][c]);
    }
    // The kernel is [3, 3, 6, 6]: from a new channel to an old one, from any channel to a new one.
    const auto kernel = larger["stage1.block1.conv2.kernel"],
               fresh_kernel = fresh["stage1.block1.conv2.kernel"];
    for (std::size_t i = 0; i < kernel.size(); ++i) {
      const bool new_in = i / 6 % 6 >= 3, new_out = i % 6 >= 3;
      if (!new_in && !new_out) continue;
      const bool cut_off = units == NewUnits::outgoing_zero && new_in && !new_out;
      CHECK(kernel[i] == (cut_off ? 0.0f : fresh_kernel[i]));
    }
  }
}

TEST_CASE("residual nets and others are refused each other's growths, and stages that are not there") {
  const auto error = [](const Growth& growth, const nn::Network& net) {
    return error_of([&] { plan(growth, net, {}); });
  };
  CHECK_THAT(error(Deepen{}, small), ContainsSubstring("want an mlp or a cnn, got resnet 3x1-2"));
  CHECK_THAT(error(DeepenStage{}, nn::Mlp{}), ContainsSubstring("want a resnet, got mlp"));
  CHECK_THAT(error(DeepenAll{}, nn::Cnn{}), ContainsSubstring("want a resnet, got cnn"));
  CHECK_THAT(error(DeepenStage{3}, small),
             ContainsSubstring("want a stage from 1 to 2 of resnet 3x1-2, got 3"));
  CHECK_THAT(error(Widen{2, NewUnits::scale_zero}, nn::Mlp{.hidden = {3}}),
             ContainsSubstring("want a network with batch norm, got mlp"));
  CHECK_THAT(error(Widen{1e5}, small), ContainsSubstring("beyond 65,536"));
}

TEST_CASE("a round says whether the network that it grew computes what the smaller one did") {
  CHECK(describe(Growth(Widen{2, NewUnits::outgoing_zero})) == "widen x2");
  CHECK(describe(Growth(Widen{2, NewUnits::scale_zero})) == "widen x2, new scales 0");
  CHECK(describe(Growth(DeepenAll{})) == "deepen all stages");
  CHECK(describe(Growth(DeepenAll{false})) == "deepen all stages, afresh");
  CHECK(describe(Growth(DeepenStage{2})) == "deepen stage 2");
  CHECK(describe(Growth(DeepenStage{})) == "deepen a stage");
  for (const bool morphism : {true, false}) {
    const Settings settings{
        .model = ResNet{.inputs = {4, 4, 1}, .filters = 2, .blocks = {1}, .classes = 2},
        .explore = {.trajectory_length = 1},
        .assess = {.batches = 1},
        .adapt = {.batches = 1, .alpha = 50, .rounds_before_growth = 1, .growth = DeepenAll{morphism}}};
    Evolution evolution(settings, synthetic_streams({.features = 16, .classes = 2}));
    evolution.step();
    const StepRecord record = evolution.step();
    REQUIRE(record.growth.has_value());
    CHECK(verdict(record) == (morphism ? "grown to resnet 2x2" : "grown afresh to resnet 2x2"));
  }
}
