// The gradient of a whole network in training, against the complex step on the definitions of its ops.
#pragma once

#include <cmath>
#include <complex>
#include <span>
#include <string>
#include <vector>

#include "autodiff/program/reference.h"
#include "nn/losses.h"
#include "nn/network.h"

namespace tests {

/// The slope of the loss along a random direction of one parameter, by both ways.
struct Slope {
  std::string name;
  double step = 0, gradient = 0;
};
struct NetworkSlopes {
  std::vector<Slope> slopes;  ///< of the trainable parameters
  double scale = 0;           ///< the size of the terms that are summed
};

/// Of the cross entropy of x [samples, inputs...] with the labels; dropouts draw from the keys 1, 2, ...
inline NetworkSlopes network_slopes(const nn::Network& net, const nn::Parameters& params,
                                    std::span<const float> x, const std::vector<std::int32_t>& labels) {
  using Complex = std::complex<double>;
  constexpr double h = 1e-30;
  const auto samples = static_cast<int>(labels.size());
  autodiff::Graph graph;
  const nn::GraphParameters values(graph, params.layout());
  const autodiff::Value features = graph.input(nn::input_shape(net).batched(samples), "features");
  const autodiff::Value classes = graph.labels(samples);
  nn::Pass pass{.training = true};
  const autodiff::Value logits = nn::forward(net, values, features, pass);
  const autodiff::Value loss = nn::mean_loss(nn::CrossEntropy{}, logits, {.labels = classes});
  const auto feeds = [&]<class T>(T) {
    autodiff::Feeds<T> out;
    for (const nn::ParameterInfo& info : params.layout().entries()) {
      for (const float v : params[info.name]) out.values[values[info.name].id].push_back(T(double{v}));
    }
    for (const float v : x) out.values[features.id].push_back(T(double{v}));
    out.labels[classes.id] = labels;
    if (pass.dropout_keys.valid()) {
      for (int i = 1; i <= samples; ++i) out.labels[pass.dropout_keys.id].push_back(i);
    }
    return out;
  };
  std::vector<autodiff::Value> trainable;
  NetworkSlopes out;
  for (const nn::ParameterInfo& info : params.layout().entries()) {
    if (info.kind != nn::Kind::trainable) continue;
    trainable.push_back(values[info.name]);
    out.slopes.push_back({.name = info.name});
  }
  const auto gradients = interpret<double>(graph, autodiff::gradient(loss, trainable), feeds(double{}));
  const autodiff::Random random(autodiff::Seed{4});
  for (std::size_t k = 0; k < gradients.size(); ++k) {
    autodiff::Feeds<Complex> moved = feeds(Complex{});
    auto& elements = moved.values.at(trainable[k].id);
    Slope& slope = out.slopes[k];
    double terms = 0;
    for (std::size_t i = 0; i < elements.size(); ++i) {
      const double d = random.normal(1000 * k + i);
      elements[i] += Complex(0, h * d);
      slope.gradient += gradients[k][i] * d;
      terms += std::abs(gradients[k][i] * d);
    }
    slope.step =
        interpret<Complex>(graph, std::span<const autodiff::Value>(&loss, 1), moved)[0][0].imag() / h;
    out.scale = std::max(out.scale, terms);
  }
  return out;
}

}  // namespace tests
