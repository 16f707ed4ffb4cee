#include "ev3/growth.h"

#include <cmath>

#include "autodiff/tensor/error.h"

namespace ev3 {
namespace {

using autodiff::fail;
using nn::Mlp;

std::string layer_name(std::size_t index) { return "dense" + std::to_string(index); }

GrowthPlan plan_widen(double factor, const Mlp& net) {
  if (net.hidden.empty()) fail("widen: ", nn::describe(net), " has no hidden layer to widen");
  GrowthPlan plan{.kind = "widen", .factor = factor};
  Mlp larger = net;
  for (int& width : larger.hidden) {
    const double wide = factor * width;
    if (wide > 1e9) fail("widen: a width of ", wide, " is beyond 10^9");
    width = static_cast<int>(wide) + 1;
  }
  plan.larger = larger;
  return plan;
}

GrowthPlan plan_deepen(std::optional<int> layer, const Mlp& net, const autodiff::Random& random) {
  const auto hidden = static_cast<int>(net.hidden.size());
  if (hidden == 0) fail("deepen: ", nn::describe(net), " has no hidden layer to insert one after");
  const int chosen =
      layer ? *layer : 1 + static_cast<int>(random.below(1, static_cast<std::uint64_t>(hidden)));
  if (chosen < 1 || chosen > hidden) {
    fail("deepen: want a hidden layer from 1 to ", hidden, " of ", nn::describe(net), ", got ", chosen);
  }
  Mlp larger = net;
  larger.hidden.insert(larger.hidden.begin() + chosen, net.hidden[static_cast<std::size_t>(chosen - 1)]);
  return {.kind = "deepen", .layer = chosen, .larger = larger};
}

// kernel [in, out] and bias [out] of one layer, in a larger one. Old entries stay in the leading block; the
// entries of new outputs are fresh, those from new inputs to old outputs 0, and to all outputs where `last`.
void widen_layer(std::span<const float> kernel, std::span<const float> bias, std::span<float> larger_kernel,
                 std::span<float> larger_bias, bool last) {
  const std::size_t out = bias.size(), in = kernel.size() / out;
  const std::size_t larger_out = larger_bias.size(), larger_in = larger_kernel.size() / larger_out;
  for (std::size_t i = 0; i < larger_in; ++i) {
    for (std::size_t j = 0; j < larger_out; ++j) {
      float& entry = larger_kernel[i * larger_out + j];
      if (i < in && j < out) {
        entry = kernel[i * out + j];
      } else if (i >= in && (last || j < out)) {
        entry = 0;
      }
    }
  }
  std::copy(bias.begin(), bias.end(), larger_bias.begin());
}

nn::Parameters grow_mlp(const GrowthPlan& plan, const Mlp& net, const nn::Parameters& params,
                        nn::Parameters larger) {
  const std::size_t layers = net.hidden.size() + 1;
  const bool deepen = plan.kind == "deepen";
  for (std::size_t i = 1; i <= layers; ++i) {
    const bool moved = deepen && i > static_cast<std::size_t>(plan.layer);
    const std::string from = layer_name(i), to = layer_name(i + (moved ? 1 : 0));
    widen_layer(params[from + ".kernel"], params[from + ".bias"], larger[to + ".kernel"],
                larger[to + ".bias"], i == layers);
  }
  if (deepen) {
    const std::string name = layer_name(static_cast<std::size_t>(plan.layer) + 1);
    const std::span<float> kernel = larger[name + ".kernel"], bias = larger[name + ".bias"];
    for (std::size_t i = 0; i < kernel.size(); ++i) kernel[i] = i % (bias.size() + 1) == 0 ? 1.0f : 0.0f;
    std::fill(bias.begin(), bias.end(), 0.0f);
  }
  return larger;
}

}  // namespace

std::string describe(const Growth& growth) {
  if (const auto* g = std::get_if<Widen>(&growth)) return autodiff::text("widen x", g->factor);
  if (const auto* g = std::get_if<Deepen>(&growth)) {
    return g->layer ? autodiff::text("deepen after layer ", *g->layer) : "deepen";
  }
  return "widen or deepen";
}

void check(const Growth& growth) {
  const auto want_factor = [](double factor) {
    if (!(factor >= 1) || !std::isfinite(factor)) fail("growth: want a factor of at least 1, got ", factor);
  };
  if (const auto* g = std::get_if<Widen>(&growth)) want_factor(g->factor);
  if (const auto* g = std::get_if<Expand>(&growth)) want_factor(g->factor);
  if (const auto* g = std::get_if<Deepen>(&growth)) {
    if (g->layer && *g->layer < 1) fail("growth: want a layer from 1 on, got ", *g->layer);
  }
}

GrowthPlan plan(const Growth& growth, const nn::Network& network, autodiff::Seed seed) {
  const auto& net = std::get<Mlp>(network);
  const autodiff::Random random(seed);
  if (const auto* g = std::get_if<Widen>(&growth)) return plan_widen(g->factor, net);
  if (const auto* g = std::get_if<Deepen>(&growth)) return plan_deepen(g->layer, net, random);
  if (random.below(0, 2) == 0) return plan_widen(std::get<Expand>(growth).factor, net);
  return plan_deepen({}, net, random);
}

nn::Parameters grow(const GrowthPlan& plan, const nn::Network& network, const nn::Parameters& params,
                    const nn::Parameters& fresh) {
  if (!(*nn::layout(plan.larger) == fresh.layout())) {
    fail("grow: the fresh parameters are not those of ", nn::describe(plan.larger));
  }
  return grow_mlp(plan, std::get<Mlp>(network), params, fresh);
}

}  // namespace ev3
