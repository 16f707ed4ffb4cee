#include "ev3/growth.h"

#include <algorithm>
#include <cmath>

#include "tests/catch.h"
#include "tests/files.h"
#include "tests/growth_cases.h"

using namespace ev3;
using autodiff::Random;
using autodiff::Seed;

namespace {

using tests::check_random_networks;
using tests::preserved;
using tests::random_cnn;
using tests::random_mlp;
using tests::random_parameters;
using tests::relative_difference;
using tests::run_forward;

// The same growths whatever the network is.
template <class Family>
void check_preserves(Family (*random_net)(const Random&), const std::vector<Growth>& growths) {
  check_random_networks(
      random_net, [&](const Family&) { return growths; }, false);
}

// A deepening after each hidden layer.
std::vector<Growth> all_deepenings(const nn::Mlp& of) {
  std::vector<Growth> growths;
  for (std::size_t l = 1; l <= of.hidden.size(); ++l) growths.push_back(Deepen{static_cast<int>(l)});
  return growths;
}
std::vector<Growth> all_deepenings(const nn::Cnn& of) {
  std::size_t layers = of.hidden.size();
  for (const auto& stage : of.stages) layers += stage.size();
  return all_deepenings(nn::Mlp{.hidden = std::vector<int>(layers, 1)});
}

std::string layer(std::size_t i) { return "dense" + std::to_string(i); }

const nn::Mlp three_layers{.inputs = {3}, .hidden = {4, 2, 5}, .classes = 3};
const nn::Mlp straight{.inputs = {3}, .hidden = {}, .classes = 3};

}  // namespace

TEST_CASE("widening preserves the function") {
  check_preserves(random_mlp, {Widen{}, Widen{1}, Widen{1.5}});
  check_preserves(random_cnn, {Widen{}, Widen{1}, Widen{1.5}});
}

TEST_CASE("deepening preserves the function, after whichever layer") {
  check_random_networks(
      random_mlp, [](const nn::Mlp& of) { return all_deepenings(of); }, false);
  check_random_networks(
      random_cnn, [](const nn::Cnn& of) { return all_deepenings(of); }, false);
}

TEST_CASE("expanding preserves the function") {
  check_preserves(random_mlp, {Expand{}});
  check_preserves(random_cnn, {Expand{}});
}

TEST_CASE("growth after growth preserves the function") {
  for (const nn::Network& first :
       {nn::Network(three_layers),
        nn::Network(nn::Cnn{.inputs = {5, 6, 2}, .stages = {{3}, {2, 2}}, .hidden = {4}})}) {
    nn::Network current = first;
    nn::Parameters params = random_parameters(current, {1});
    const std::vector<float> x = tests::normal_samples(current, 16, {9});
    const auto before = run_forward(current, params, x).outputs;
    for (std::uint64_t i = 0; i < 4; ++i) {
      const GrowthPlan chosen = plan(i % 2 ? Growth(Deepen{}) : Growth(Widen{}), current, {i});
      params = grow(chosen, current, params, random_parameters(chosen.larger, {10 + i}));
      current = chosen.larger;
    }
    CHECK(relative_difference(run_forward(current, params, x).outputs, before) <= preserved);
  }
}

TEST_CASE("every hidden width becomes int(factor w) + 1") {
  const auto widths = [](double factor) {
    return std::get<nn::Mlp>(plan(Widen{factor}, three_layers, {}).larger).hidden;
  };
  CHECK(widths(2) == std::vector<int>{9, 5, 11});
  CHECK(widths(1) == std::vector<int>{5, 3, 6});
  CHECK(widths(1.5) == std::vector<int>{7, 4, 8});  // 6, 3, 7.5
  const GrowthPlan chosen = plan(Widen{}, three_layers, {});
  CHECK(chosen.kind == "widen");
  CHECK(std::get<nn::Mlp>(chosen.larger).inputs == three_layers.inputs);
  CHECK(std::get<nn::Mlp>(chosen.larger).classes == 3);
}

TEST_CASE(
    "a widened net has old weights in the leading block, zero rows to old units, fresh values elsewhere") {
  const nn::Parameters params = random_parameters(three_layers, {1});
  const GrowthPlan chosen = plan(Widen{}, three_layers, {});
  const nn::Parameters fresh = random_parameters(chosen.larger, {2});
  const nn::Parameters larger = grow(chosen, three_layers, params, fresh);
  const std::vector<std::size_t> old_widths{3, 4, 2, 5, 3}, new_widths{3, 9, 5, 11, 3};
  for (std::size_t l = 1; l <= 4; ++l) {
    const std::string kernel = layer(l) + ".kernel", bias = layer(l) + ".bias";
    const std::size_t in = old_widths[l - 1], out = old_widths[l];
    REQUIRE(larger[kernel].size() == new_widths[l - 1] * new_widths[l]);
    for (std::size_t i = 0; i < new_widths[l - 1]; ++i) {
      for (std::size_t j = 0; j < new_widths[l]; ++j) {
        const bool old_unit = j < out, old_input = i < in;
        const float got = larger[kernel][i * new_widths[l] + j];
        INFO(kernel << " row " << i << " column " << j);
        if (old_input && old_unit) {
          CHECK(got == params[kernel][i * out + j]);
        } else if (old_unit) {
          CHECK(got == 0);  // a new unit does not disturb an old one, nor an output
        } else {
          CHECK(got == fresh[kernel][i * new_widths[l] + j]);
        }
      }
    }
    for (std::size_t j = 0; j < new_widths[l]; ++j) {
      CHECK(larger[bias][j] == (j < out ? params[bias][j] : fresh[bias][j]));
    }
  }
}

TEST_CASE("a deepened net has an identity where it was told, and the old layers around it") {
  const nn::Parameters params = random_parameters(three_layers, {1});
  for (int at = 1; at <= 3; ++at) {
    const GrowthPlan chosen = plan(Deepen{at}, three_layers, {});
    CHECK(chosen.kind == "deepen");
    CHECK(chosen.layer == at);
    std::vector<int> widths = three_layers.hidden;
    widths.insert(widths.begin() + at, three_layers.hidden[static_cast<std::size_t>(at - 1)]);
    CHECK(std::get<nn::Mlp>(chosen.larger).hidden == widths);
    const nn::Parameters larger = grow(chosen, three_layers, params, random_parameters(chosen.larger, {2}));
    for (std::size_t l = 1; l <= 4; ++l) {
      const std::size_t to = l > static_cast<std::size_t>(at) ? l + 1 : l;
      for (const char* part : {".kernel", ".bias"}) {
        const auto old = params[layer(l) + part], moved = larger[layer(to) + part];
        CHECK(std::equal(old.begin(), old.end(), moved.begin(), moved.end()));
      }
    }
    const auto inserted = layer(static_cast<std::size_t>(at) + 1);
    const std::size_t width = larger[inserted + ".bias"].size();
    for (std::size_t i = 0; i < width; ++i) {
      CHECK(larger[inserted + ".bias"][i] == 0);
      for (std::size_t j = 0; j < width; ++j) {
        CHECK(larger[inserted + ".kernel"][i * width + j] == (i == j ? 1.0f : 0.0f));
      }
    }
  }
}

TEST_CASE("choices are uniform: the layer that is deepened, and widen or deepen") {
  constexpr int draws = 3000;
  std::vector<int> layers(4);
  int widened = 0;
  for (std::uint64_t i = 0; i < draws; ++i) {
    ++layers[static_cast<std::size_t>(plan(Deepen{}, three_layers, {i}).layer)];
    const GrowthPlan expansion = plan(Expand{}, three_layers, {i});
    widened += expansion.kind == "widen";
    CHECK(plan(Expand{}, three_layers, {i}).larger == expansion.larger);  // a function of the seed
  }
  // Five standard deviations: 5 sqrt(3000 x 1/3 x 2/3) = 129, and 5 sqrt(3000 / 4) = 137.
  for (std::size_t l = 1; l <= 3; ++l) CHECK(std::abs(layers[l] - 1000) < 129);
  CHECK(std::abs(widened - 1500) < 137);
}

TEST_CASE("which layer an expansion deepens is independent of whether it deepens") {
  std::vector<int> layers(4);
  int deepened = 0;
  for (std::uint64_t i = 0; i < 3000; ++i) {
    const GrowthPlan expansion = plan(Expand{}, three_layers, {i});
    if (expansion.kind != "deepen") continue;
    ++deepened;
    ++layers[static_cast<std::size_t>(expansion.layer)];
  }
  for (std::size_t l = 1; l <= 3; ++l) CHECK(std::abs(layers[l] - deepened / 3) < 92);  // five sd of n = 1500
}

TEST_CASE("what cannot grow is refused") {
  const auto error = [](const Growth& growth, const nn::Mlp& of) {
    return error_of([&] { plan(growth, of, {}); });
  };
  CHECK_THAT(error(Widen{}, straight), ContainsSubstring("mlp 3-3 has no hidden layer"));
  CHECK_THAT(error(Deepen{}, straight), ContainsSubstring("mlp 3-3 has no hidden layer"));
  CHECK_THAT(error(Expand{}, straight), ContainsSubstring("mlp 3-3 has no hidden layer"));
  CHECK_THAT(error(Deepen{4}, three_layers), ContainsSubstring("from 1 to 3 of mlp 3-4-2-5-3, got 4"));
  CHECK_THAT(error(Widen{1e9}, three_layers), ContainsSubstring("beyond 10^9"));
  CHECK_THAT(error_of([] { check(Growth(Widen{0.5})); }), ContainsSubstring("factor of at least 1, got 0.5"));
  CHECK_THAT(error_of([] { check(Growth(Expand{NAN})); }), ContainsSubstring("factor"));
  CHECK_THAT(error_of([] { check(Growth(Deepen{0})); }), ContainsSubstring("from 1 on, got 0"));
  const GrowthPlan chosen = plan(Widen{}, three_layers, {});
  CHECK_THAT(error_of([&] {
               grow(chosen, three_layers, random_parameters(three_layers, {1}),
                    random_parameters(three_layers, {2}));
             }),
             ContainsSubstring("not those of mlp 3-9-5-11-3"));
}

TEST_CASE("growths describe themselves") {
  CHECK(describe(Growth(Widen{2})) == "widen x2");
  CHECK(describe(Growth(Deepen{})) == "deepen");
  CHECK(describe(Growth(Deepen{2})) == "deepen after layer 2");
  CHECK(describe(Growth(Expand{})) == "widen or deepen");
}
