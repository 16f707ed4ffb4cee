#include "nn/evaluate.h"

#include <algorithm>
#include <cmath>
#include <iomanip>
#include <ostream>

#include "nn/losses.h"

namespace nn {

using autodiff::fail;

namespace {

autodiff::CompileOptions with_parameters_that_stay(autodiff::CompileOptions options) {
  options.parameters_stay = true;
  return options;
}

}  // namespace

std::shared_ptr<const Evaluator::Shared> Evaluator::build(const Network& net, int samples) {
  if (samples < 0) fail("evaluate: want at least 0 samples, got ", samples);
  auto shared = std::make_shared<Shared>();
  shared->layout = nn::layout(net);
  shared->features = shared->graph.input(input_shape(net).batched(samples), "features");
  const GraphParameters parameters(shared->graph, *shared->layout);
  shared->parameters.assign(parameters.values().begin(), parameters.values().end());
  shared->outputs = forward(net, parameters, shared->features);
  return shared;
}

Evaluator::Evaluator(const Network& net, int samples, const autodiff::CompileOptions& options)
    : shared_(build(net, samples)),
      program_(autodiff::compile(shared_->graph, {shared_->outputs}, with_parameters_that_stay(options))),
      samples_(samples) {}

void Evaluator::load(std::span<const float> parameters) {
  const Shared& s = *shared_;
  if (parameters.size() != s.layout->size()) {
    fail("evaluate: want ", s.layout->size(), " parameters, got ", parameters.size());
  }
  for (std::size_t i = 0; i < s.parameters.size(); ++i) {
    const ParameterInfo& info = s.layout->entries()[i];
    program_.bind(s.parameters[i], parameters.subspan(info.offset, info.shape.size()));
  }
}

std::span<const float> Evaluator::operator()(std::span<const float> features) {
  const Shared& s = *shared_;
  program_.bind(s.features, features);
  program_.run();
  const auto view = program_.value(s.outputs);
  return {view.data, view.shape.size()};
}

Interval wilson_interval(std::int64_t hits, std::int64_t n, double z) {
  if (n == 0) return {};
  const double count = static_cast<double>(n), p = static_cast<double>(hits) / count;
  const double centre = (p + z * z / (2 * count)) / (1 + z * z / count);
  const double half = z / (1 + z * z / count) * std::sqrt(p * (1 - p) / count + z * z / (4 * count * count));
  return {std::max(0.0, centre - half), std::min(1.0, centre + half)};
}

std::ostream& operator<<(std::ostream& out, const Evaluation& e) {
  const Interval i = e.interval();
  const auto flags = out.flags();
  out << std::fixed << std::setprecision(3) << "accuracy " << e.accuracy() << " [" << i.low << ", " << i.high
      << "], loss " << e.loss << ", n = " << e.samples;
  out.flags(flags);
  return out;
}

Evaluation evaluate(const Predictions& p) {
  check_labels(p.labels, p.classes, "evaluate");
  Evaluation e{.samples = static_cast<std::int64_t>(p.size()), .classes = p.classes, .confusion = {}};
  const auto classes = static_cast<std::size_t>(p.classes);
  e.confusion.resize(classes * classes);
  for (std::size_t i = 0; i < p.size(); ++i) {
    const auto z = p[i];
    const auto label = static_cast<std::size_t>(p.labels[i]);
    const auto best = static_cast<std::size_t>(std::max_element(z.begin(), z.end()) - z.begin());
    ++e.confusion[label * classes + best];
    e.hits += best == label;
    double sum = 0;
    for (const float x : z) sum += std::exp(static_cast<double>(x) - static_cast<double>(z[best]));
    e.loss += std::log(sum) - (static_cast<double>(z[label]) - static_cast<double>(z[best]));
  }
  if (e.samples) e.loss /= static_cast<double>(e.samples);
  return e;
}

Evaluation evaluate(const Network& net, const Parameters& parameters, std::span<const float> features,
                    std::span<const std::int32_t> labels) {
  check_labels(labels, classes(net), "evaluate");
  if (features.size() != labels.size() * input_shape(net).size()) {
    fail("evaluate: ", describe(net), " wants samples of shape ", input_shape(net), ", got ", features.size(),
         " values for ", labels.size(), " samples");
  }
  Evaluator outputs(net, static_cast<int>(labels.size()));
  return evaluate({outputs(parameters.values(), features), classes(net), labels});
}

}  // namespace nn
