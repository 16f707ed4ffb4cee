// Layer norm, GELU and attention against the formulas, written out in double.
#include <cmath>

#include "autodiff/graph/ops.h"
#include "autodiff/program/program.h"
#include "autodiff/program/reference.h"
#include "nn/attention.h"
#include "nn/dense.h"
#include "nn/gelu.h"
#include "nn/layer_norm.h"
#include "tests/catch.h"
#include "tests/files.h"
#include "tests/op_cases.h"

using namespace autodiff;
using namespace tests;

namespace {

std::vector<double> interpreted(const Graph& g, Value y, const Filled& filled) {
  return interpret<double>(g, std::span<const Value>(&y, 1), filled.feeds<double>())[0];
}

std::vector<double> doubles(const Filled& filled, Value v) {
  const std::vector<float>& x = filled.values.at(v.id);
  return {x.begin(), x.end()};
}

// Both within rounding in double of sums of a few dozen terms near 1.
void check_close(const std::vector<double>& got, const std::vector<double>& want) {
  REQUIRE(got.size() == want.size());
  for (std::size_t i = 0; i < got.size(); ++i) CHECK(got[i] == Approx(want[i]).epsilon(1e-12).margin(1e-13));
}

}  // namespace

TEST_CASE("gelu is its tanh form, close to x Phi(x)") {
  Graph g;
  Sources s{g};
  const Value x = s.batch({1000});
  const Filled filled = fill(s.list, Seed{1});
  const std::vector<double> y = interpreted(g, nn::gelu(x * 3.0f), filled), in = doubles(filled, x);
  for (std::size_t i = 0; i < in.size(); ++i) {
    const double v = 3 * in[i];
    const double want = v / 2 * (1 + std::tanh(std::sqrt(2 / std::acos(-1.0)) * (v + 0.044715 * v * v * v)));
    // The constants are floats, and a relative error of 1e-7 in u moves y by less than that times |x u|,
    // where the sigmoid bends: at |x| < 3.
    CHECK(y[i] == Approx(want).margin(1e-6));
    CHECK(std::abs(y[i] - v * normal_cdf(v)) < 5e-4);
  }
}

TEST_CASE("layer norm centres and scales every vector by itself") {
  nn::Layout layout;
  nn::add_layer_norm(layout, "n", 5);
  CHECK(layout.find("n.scale").initializer.distribution == nn::Distribution::ones);
  Graph g;
  Sources s{g};
  const Value x = s.batch({4, 3, 5});
  const nn::GraphParameters p(g, layout);
  for (const Value v : p.values()) s.list.push_back({v});
  const Value y = nn::layer_norm(x, p, "n", {.epsilon = 0.25f});
  CHECK(y.batched());
  const Filled filled = fill(s.list, Seed{2});
  const std::vector<double> in = doubles(filled, x), scale = doubles(filled, p["n.scale"]),
                            bias = doubles(filled, p["n.bias"]);
  std::vector<double> want;
  for (std::size_t row = 0; row < 12; ++row) {
    double mean = 0, variance = 0;
    for (std::size_t c = 0; c < 5; ++c) mean += in[row * 5 + c] / 5;
    for (std::size_t c = 0; c < 5; ++c) variance += std::pow(in[row * 5 + c] - mean, 2) / 5;
    for (std::size_t c = 0; c < 5; ++c) {
      want.push_back((in[row * 5 + c] - mean) / std::sqrt(variance + 0.25) * scale[c] + bias[c]);
    }
  }
  check_close(interpreted(g, y, filled), want);
}

TEST_CASE("attention is the mean of the values, weighted by how queries meet keys") {
  constexpr std::size_t n = 2, t = 3, k = 4, d = 5, c = 2;
  Graph g;
  Sources s{g};
  const Value q = s.batch({n, t, d}), keys = s.batch({n, k, d}), v = s.batch({n, k, c});
  const Value y = nn::scaled_dot_product_attention(q, keys, v);
  CHECK(y.shape() == Shape{n, t, c});
  CHECK(y.batched());
  const Filled filled = fill(s.list, Seed{3});
  const std::vector<double> vq = doubles(filled, q), vk = doubles(filled, keys), vv = doubles(filled, v);
  const double factor = static_cast<double>(1 / std::sqrt(static_cast<float>(d)));
  std::vector<double> want;
  for (std::size_t sample = 0; sample < n; ++sample) {
    for (std::size_t i = 0; i < t; ++i) {
      std::vector<double> weight(k);
      double total = 0;
      for (std::size_t j = 0; j < k; ++j) {
        double score = 0;
        for (std::size_t p = 0; p < d; ++p)
          score += vq[(sample * t + i) * d + p] * vk[(sample * k + j) * d + p];
        total += weight[j] = std::exp(score * factor);
      }
      for (std::size_t channel = 0; channel < c; ++channel) {
        double sum = 0;
        for (std::size_t j = 0; j < k; ++j) sum += weight[j] / total * vv[(sample * k + j) * c + channel];
        want.push_back(sum);
      }
    }
  }
  check_close(interpreted(g, y, filled), want);
}

TEST_CASE("each head attends to its own part of the width") {
  constexpr int width = 6, tokens = 3;
  nn::Layout layout;
  nn::add_attention(layout, "a", width);
  CHECK(layout.size() == 4 * (width * width + width));
  Graph g;
  Sources s{g};
  const Value x = s.batch({2, tokens, width});
  const nn::GraphParameters p(g, layout);
  for (const Value v : p.values()) s.list.push_back({v});
  const Value y = nn::multi_head_attention(x, p, "a", {.heads = 3});
  CHECK(y.shape() == x.shape());
  CHECK(y.batched());
  // The same with columns cut out by hand: head h has columns 2h and 2h + 1 of query, key and value.
  std::vector<Value> heads;
  for (int h = 0; h < 3; ++h) {
    const auto part = [&](const std::string& name) {
      return slice(nn::dense(x, p, "a." + name), 2, 2 * h, 2 * h + 2);
    };
    heads.push_back(nn::scaled_dot_product_attention(part("query"), part("key"), part("value")));
  }
  const Filled filled = fill(s.list, Seed{4});
  check_close(interpreted(g, y, filled), interpreted(g, nn::dense(concat(heads, 2), p, "a.out"), filled));
}

TEST_CASE("an encoder block adds attention and a perceptron to what comes in") {
  nn::Layout layout;
  nn::add_encoder_block(layout, "b", 4, 7);
  std::string names;
  for (const nn::ParameterInfo& info : layout.entries()) names += info.name + " ";
  CHECK(names ==
        "b.norm1.scale b.norm1.bias b.attention.query.kernel b.attention.query.bias b.attention.key.kernel "
        "b.attention.key.bias b.attention.value.kernel b.attention.value.bias b.attention.out.kernel "
        "b.attention.out.bias b.norm2.scale b.norm2.bias b.mlp1.kernel b.mlp1.bias b.mlp2.kernel "
        "b.mlp2.bias ");
  Graph g;
  Sources s{g};
  const Value x = s.batch({2, 3, 4});
  const nn::GraphParameters p(g, layout);
  for (const Value v : p.values()) s.list.push_back({v});
  Filled filled = fill(s.list, Seed{5});
  const Value y = nn::encoder_block(x, p, "b", {.heads = 2});
  const Value middle = x + nn::multi_head_attention(nn::layer_norm(x, p, "b.norm1"), p, "b.attention", {2});
  const Value hidden = nn::gelu(nn::dense(nn::layer_norm(middle, p, "b.norm2"), p, "b.mlp1"));
  const std::vector<double> got = interpreted(g, y, filled);
  check_close(got, interpreted(g, middle + nn::dense(hidden, p, "b.mlp2"), filled));
  // With zeros in both last layers nothing is added.
  for (const char* last : {"b.attention.out", "b.mlp2"}) {
    for (const char* part : {".kernel", ".bias"}) {
      auto& values = filled.values.at(p[std::string(last) + part].id);
      std::fill(values.begin(), values.end(), 0.0f);
    }
  }
  CHECK(interpreted(g, y, filled) == doubles(filled, x));
  CHECK(got != doubles(filled, x));
}

TEST_CASE("attention refuses what it cannot cut into heads") {
  nn::Layout layout;
  nn::add_attention(layout, "a", 6);
  Graph g;
  const nn::GraphParameters p(g, layout);
  const Value x = g.input({2, 3, 6}), flat = g.input({2, 6});
  CHECK_THAT(
      error_of([&] { nn::multi_head_attention(x, p, "a", {.heads = 4}); }),
      ContainsSubstring("attention 'a'") && ContainsSubstring("multiple of the 4 heads, got [2, 3, 6]"));
  CHECK_THAT(error_of([&] { nn::multi_head_attention(x, p, "a", {.heads = 0}); }),
             ContainsSubstring("the 0 heads"));
  CHECK_THAT(error_of([&] { nn::multi_head_attention(flat, p, "a", {.heads = 2}); }),
             ContainsSubstring("x [n, tokens, width]") && ContainsSubstring("got [2, 6]"));
  CHECK_THAT(error_of([&] { nn::scaled_dot_product_attention(x, flat, x); }),
             ContainsSubstring("got [2, 3, 6], [2, 6] and [2, 3, 6]"));
  nn::Layout norm;
  nn::add_layer_norm(norm, "n", 6);
  const nn::GraphParameters scales(g, norm);
  CHECK_THAT(error_of([&] {
               nn::layer_norm(g.input({2, 1}), scales, "n");
             }),
             ContainsSubstring("layer norm 'n': want x [..., 6], got [2, 1]"));
}
