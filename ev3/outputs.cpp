#include "ev3/outputs.h"

#include <algorithm>

#include "autodiff/tensor/error.h"
#include "datasets/sample_reader.h"

namespace ev3 {

using autodiff::fail;

std::vector<float> outputs(const nn::Network& network, const nn::Parameters& parameters,
                           const datasets::Dataset& data, int batch) {
  if (batch < 1) fail("outputs: want a batch of at least 1, got ", batch);
  const std::size_t width = data.sample().size();
  if (width != nn::input_shape(network).size()) {
    fail("outputs: ", nn::describe(network), " wants samples of shape ", nn::input_shape(network),
         ", but those of ", data.name, " are ", data.sample());
  }
  const datasets::SampleReader reader(data);
  std::vector<float> features, out;
  const auto run = [&](nn::Evaluator& evaluator, int first) {
    features.resize(static_cast<std::size_t>(evaluator.samples()) * width);
    for (std::size_t i = 0; i < features.size() / width; ++i) {
      reader.read(static_cast<std::size_t>(first) + i, features.data() + i * width);
    }
    const auto part = evaluator(features);
    out.insert(out.end(), part.begin(), part.end());
  };
  const int n = data.size(), whole = n / batch * batch;
  if (whole > 0) {
    nn::Evaluator evaluator(network, batch);
    evaluator.load(parameters.values());
    for (int first = 0; first < whole; first += batch) run(evaluator, first);
  }
  if (whole < n) {
    nn::Evaluator rest(network, n - whole);
    rest.load(parameters.values());
    run(rest, whole);
  }
  return out;
}

nn::Evaluation evaluate_on(const nn::Network& network, const nn::Parameters& parameters,
                           const datasets::Dataset& data, int batch) {
  if (data.classes > nn::classes(network)) {
    fail("evaluate: ", nn::describe(network), " has ", nn::classes(network), " classes, but ", data.name,
         " has ", data.classes);
  }
  const std::vector<float> values = outputs(network, parameters, data, batch);
  return nn::evaluate(
      nn::Predictions{values, nn::classes(network), {data.labels.data(), data.labels.size()}});
}

}  // namespace ev3
