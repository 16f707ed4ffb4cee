#include "nn/metrics.h"

#include <algorithm>

#include "autodiff/tensor/error.h"

namespace nn {

Metric per_sample(std::string name, std::function<double(std::span<const float>, int)> function) {
  return {std::move(name), [function = std::move(function)](const Predictions& p) {
            std::vector<double> values(p.size());
            for (std::size_t i = 0; i < values.size(); ++i) values[i] = function(p[i], p.labels[i]);
            return values;
          }};
}

const Metric& accuracy() {
  static const Metric metric = per_sample("accuracy", [](std::span<const float> outputs, int label) {
    const auto best = std::max_element(outputs.begin(), outputs.end()) - outputs.begin();
    return best == label ? 1.0 : 0.0;
  });
  return metric;
}

Metric bootstrap(std::string name, std::function<double(const Predictions&)> of_set, int resamples,
                 autodiff::Seed seed) {
  if (resamples < 2) autodiff::fail("bootstrap: want at least 2 resamples, got ", resamples);
  return {std::move(name), [of_set = std::move(of_set), resamples, seed](const Predictions& p) {
            std::vector<double> values;
            std::vector<float> outputs(p.outputs.size());
            std::vector<std::int32_t> labels(p.size());
            for (int r = 0; r < resamples; ++r) {
              const autodiff::Random random(seed.stream(static_cast<std::uint64_t>(r)));
              for (std::size_t i = 0; i < p.size(); ++i) {
                const std::size_t k = random.below(i, p.size());
                labels[i] = p.labels[k];
                std::copy(p[k].begin(), p[k].end(),
                          outputs.begin() + static_cast<std::ptrdiff_t>(i * p[k].size()));
              }
              values.push_back(of_set({outputs, p.classes, labels}));
            }
            return values;
          }};
}

}  // namespace nn
