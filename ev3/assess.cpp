#include "ev3/assess.h"

#include <algorithm>

#include "autodiff/tensor/error.h"
#include "ev3/device_samples.h"

namespace ev3 {

nn::Evaluator& Judge::evaluator(const nn::Network& network, int samples) {
  if (network_ != network) {
    evaluators_.clear();
    on_device_.reset();
    network_ = network;
  }
  return evaluators_.try_emplace(samples, network, samples).first->second;
}

// True where programs run on a device that can gather the batches: then outputs and labels are there.
bool Judge::measure_on_device(const nn::Network& network, std::span<const nn::Parameters* const> all,
                              const BatchRange& range, std::vector<std::vector<float>>& outputs,
                              std::vector<std::int32_t>& labels) {
  const datasets::Stream* stream = range.batches.stream();
  if (autodiff::kernels::default_device() == autodiff::kernels::Device::cpu || !stream) return false;
  samples_ = device_samples(*stream);
  if (!samples_) return false;
  if (network_ != network || !on_device_) {
    on_device_.emplace(network, stream->batch());
    evaluators_.clear();
    network_ = network;
  }
  std::vector<autodiff::kernels::device::Sample> drawn;
  add_draws(*stream, range.first, range.count, drawn);
  for (const auto& d : drawn) labels.push_back(stream->data().labels[static_cast<std::size_t>(d.index)]);
  for (std::size_t i = 0; i < all.size(); ++i) {
    outputs[i].resize(drawn.size() * static_cast<std::size_t>(nn::classes(network)));
    on_device_->run(all[i]->values(), *samples_, drawn, outputs[i]);
  }
  return true;
}

std::vector<Bounds> Judge::measure(const nn::Network& network, std::span<const nn::Parameters* const> all,
                                   const BatchRange& range, double alpha) {
  constexpr std::size_t floats_at_a_time = 1 << 20;
  const std::size_t batch_floats =
      static_cast<std::size_t>(range.batches.batch()) * nn::input_shape(network).size();
  const int group = static_cast<int>(std::clamp<std::size_t>(
      floats_at_a_time / std::max<std::size_t>(1, batch_floats), 1, static_cast<std::size_t>(range.count)));
  std::vector<std::vector<float>> outputs(all.size());
  std::vector<std::int32_t> labels;
  const bool done_there = measure_on_device(network, all, range, outputs, labels);
  for (int done = 0; done < range.count && !done_there; done += group) {
    const SampleSet samples = collect(range.batches, range.first + done, std::min(group, range.count - done));
    labels.insert(labels.end(), samples.labels.begin(), samples.labels.end());
    nn::Evaluator& evaluate = evaluator(network, static_cast<int>(samples.labels.size()));
    for (std::size_t i = 0; i < all.size(); ++i) {
      const auto some = evaluate(all[i]->values(), samples.features);
      outputs[i].insert(outputs[i].end(), some.begin(), some.end());
    }
  }
  std::vector<Bounds> out;
  for (const std::vector<float>& o : outputs) {
    try {
      out.push_back(bounds(metric_.values({o, nn::classes(network), labels}), alpha));
    } catch (const autodiff::Error& error) {
      autodiff::fail("metric '", metric_.name, "': ", error.what());
    }
  }
  return out;
}

int best_lower_bound(std::span<const Bounds> all) {
  std::size_t best = 0;
  for (std::size_t i = 1; i < all.size(); ++i) best = all[i].lcb > all[best].lcb ? i : best;
  return static_cast<int>(best);
}

AssessRecord assess(const Model& model, const std::vector<Candidate>& candidates, Judge& judge,
                    const Batches& batches, std::int64_t first_batch, const AssessOptions& options) {
  std::vector<const nn::Parameters*> all;
  for (const Candidate& candidate : candidates) all.push_back(&candidate.params);
  AssessRecord record{.first_batch = first_batch, .candidates = {}};
  record.candidates =
      judge.measure(model.network, all, {batches, first_batch, options.batches}, options.alpha);
  record.selected = best_lower_bound(record.candidates);
  return record;
}

}  // namespace ev3
