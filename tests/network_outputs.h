// A forward pass as a test wants it: in either mode, with the statistics that it leaves behind; random
// parameters.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "autodiff/program/program.h"
#include "nn/network.h"

namespace tests {

/// Standard normal values.
inline std::vector<float> normal_values(std::size_t count, autodiff::Seed seed) {
  const autodiff::Random random(seed);
  std::vector<float> out(count);
  for (std::size_t i = 0; i < count; ++i) out[i] = static_cast<float>(random.normal(i));
  return out;
}

/// Samples of a network, standard normal.
inline std::vector<float> normal_samples(const nn::Network& net, int samples, autodiff::Seed seed) {
  return normal_values(static_cast<std::size_t>(samples) * nn::input_shape(net).size(), seed);
}

/// Parameters as training might leave them, none of them at a special value: kernels of variance 1 / fan_in,
/// biases, scales (those that start at 0 too) and running means standard normal, running variances from 0.5
/// to 2.
inline nn::Parameters random_parameters(const nn::Network& net, autodiff::Seed seed) {
  nn::Parameters params(nn::layout(net));
  for (const nn::ParameterInfo& info : params.layout().entries()) {
    const autodiff::Random random(seed.stream(info.name));
    const autodiff::Shape& s = info.shape;
    const double fan = s.rank() > 1 ? static_cast<double>(s.size()) / s[-1] : 1;
    const std::span<float> values = params[info.name];
    for (std::size_t i = 0; i < values.size(); ++i) {
      values[i] = static_cast<float>(info.name.ends_with(".var") ? random.uniform(i, 0.5, 2)
                                                                 : random.normal(i) / std::sqrt(fan));
    }
  }
  return params;
}

/// What a forward pass gives.
struct ForwardPass {
  std::vector<float> outputs;  ///< [samples, classes]
  nn::Parameters params;       ///< with the new statistics, in training
};

/// Runs x [samples, inputs...] through the network. `pass` says in which mode.
inline ForwardPass run_forward(const nn::Network& net, const nn::Parameters& params, std::span<const float> x,
                               nn::Pass pass = {}) {
  autodiff::Graph graph;
  const auto samples = static_cast<int>(x.size() / nn::input_shape(net).size());
  const autodiff::Value features = graph.input(nn::input_shape(net).batched(samples), "features");
  const nn::GraphParameters values(graph, params.layout());
  std::vector<autodiff::Value> wanted{nn::forward(net, values, features, pass)};
  for (const auto& [name, value] : pass.statistics) wanted.push_back(value);
  autodiff::Program program = autodiff::compile(graph, wanted);
  for (std::size_t i = 0; i < values.values().size(); ++i) {
    program.bind(values.values()[i], params[params.layout().entries()[i].name]);
  }
  program.bind(features, x);
  program.run();
  const auto view = program.value(wanted[0]);
  ForwardPass out{{view.data, view.data + view.shape.size()}, params};
  for (const auto& [name, value] : pass.statistics) {
    std::copy_n(program.value(value).data, program.value(value).shape.size(), out.params[name].begin());
  }
  return out;
}

/// The greatest difference, as a share of the greatest value of `want`; infinite where one is not finite.
inline double relative_difference(std::span<const float> got, std::span<const float> want) {
  double scale = 0, difference = got.size() == want.size() ? 0 : INFINITY;
  for (std::size_t i = 0; i < std::min(got.size(), want.size()); ++i) {
    const double d = std::abs(static_cast<double>(got[i]) - static_cast<double>(want[i]));
    difference = std::isfinite(d) ? std::max(difference, d) : INFINITY;
    scale = std::max(scale, std::abs(static_cast<double>(want[i])));
  }
  return difference > 0 ? difference / scale : 0;
}

}  // namespace tests
