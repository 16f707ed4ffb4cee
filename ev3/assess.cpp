#include "ev3/assess.h"

#include "autodiff/tensor/error.h"

namespace ev3 {

Bounds Judge::measure(const nn::Network& network, const nn::Parameters& params, const SampleSet& samples,
                      double alpha) {
  const auto n = static_cast<int>(samples.labels.size());
  if (network_ != network || !evaluator_ || evaluator_->samples() != n) {
    evaluator_.emplace(network, n);
    network_ = network;
  }
  const auto outputs = (*evaluator_)(params.values(), samples.features);
  const std::vector<double> values = metric_.values({outputs, nn::classes(network), samples.labels});
  try {
    return bounds(values, alpha);
  } catch (const autodiff::Error& error) {
    autodiff::fail("metric '", metric_.name, "': ", error.what());
  }
}

int best_lower_bound(std::span<const Bounds> all) {
  std::size_t best = 0;
  for (std::size_t i = 1; i < all.size(); ++i) best = all[i].lcb > all[best].lcb ? i : best;
  return static_cast<int>(best);
}

AssessRecord assess(const Model& model, const std::vector<Candidate>& candidates, Judge& judge,
                    const Batches& batches, std::int64_t first_batch, const AssessOptions& options) {
  const SampleSet samples = collect(batches, first_batch, options.batches);
  AssessRecord record{.first_batch = first_batch, .candidates = {}};
  for (const Candidate& candidate : candidates) {
    record.candidates.push_back(judge.measure(model.network, candidate.params, samples, options.alpha));
  }
  record.selected = best_lower_bound(record.candidates);
  return record;
}

}  // namespace ev3
