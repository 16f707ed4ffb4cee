#include "ev3/explore.h"

#include <algorithm>
#include <cmath>
#include <exception>

#include "autodiff/kernels/parallel.h"
#include "autodiff/tensor/error.h"
#include "ev3/device_samples.h"

namespace ev3 {

using autodiff::fail;

Explorer::Explorer(std::vector<nn::Loss> losses, std::vector<nn::Optimizer> optimizers,
                   const ExploreOptions& options, nn::Teachers teachers, autodiff::Seed noise)
    : losses_(std::move(losses)),
      optimizers_(std::move(optimizers)),
      options_(options),
      teachers_(std::move(teachers)),
      noise_(noise) {
  if (losses_.empty() || optimizers_.empty()) {
    fail("explore: want at least one loss and one optimizer, got ", losses_.size(), " and ",
         optimizers_.size());
  }
  for (const nn::Loss& loss : losses_) check(loss);
  for (const nn::Optimizer& optimizer : optimizers_) check(optimizer);
  if (options.trajectory_length < 1) {
    fail("explore: want a trajectory_length of at least 1, got ", options.trajectory_length);
  }
  if (!(options.trajectory_factor > 0) || !std::isfinite(options.trajectory_factor)) {
    fail("explore: want a trajectory_factor above 0, got ", options.trajectory_factor);
  }
  if (options.clip_norm && !(*options.clip_norm > 0)) {
    fail("explore: want a clip_norm above 0, got ", *options.clip_norm);
  }
}

int Explorer::trajectory_length(const Model& model) const {
  const double length = options_.trajectory_length *
                        std::pow(options_.trajectory_factor, model.history.insignificant_in_a_row());
  if (!(length < 1e9))
    fail("explore: the trajectory has grown to ", length, " steps; lower trajectory_factor");
  return static_cast<int>(length);
}

void Explorer::prepare(const Model& model, int batch) {
  const auto count = static_cast<std::size_t>(candidates());
  const bool on_device = autodiff::kernels::default_device() != autodiff::kernels::Device::cpu;
  if (network_ != model.network || batch_ != batch || on_device == trainers_.empty()) {
    // Candidates run side by side, one thread each; a single one may use all threads.
    const nn::GradientOptions options{.compile = {.threads = count > 1 ? 1 : autodiff::kernels::threads()},
                                      .teachers = teachers_};
    gradients_.clear();
    trainers_.clear();
    for (const nn::Loss& loss : losses_) {
      const nn::LossGradient gradient(model.network, loss, batch, options);
      if (!on_device) {
        gradients_.insert(gradients_.end(), optimizers_.size(), gradient);
        continue;
      }
      for (const nn::Optimizer& optimizer : optimizers_) {
        trainers_.emplace_back(
            gradient, optimizer,
            nn::DeviceTrainerOptions{.clip_norm = options_.clip_norm,
                                     .decay_from_start = options_.weight_decay_from == WeightDecayFrom::start,
                                     .noise = noise_});
      }
    }
    network_ = model.network;
    batch_ = batch;
  }
  const bool restart =
      model.just_expanded && options_.optimizers_after_growth == OptimizersAfterGrowth::restart;
  if (restart || states_.size() != count) {
    states_.clear();
    for (std::size_t c = 0; c < count; ++c) {
      states_.push_back(initial_state(optimizers_[c % optimizers_.size()], model.params.size()));
    }
  }
}

// A trajectory on the device: the losses before each step. The host draws the samples, or reads the batches
// where the device cannot gather them.
std::vector<float> Explorer::follow_on_device(std::size_t c, nn::Parameters& params,
                                              nn::OptimizerState& state, const Batches& batches,
                                              std::int64_t first_batch, int length, Progress* progress) {
  nn::DeviceTrainer& trainer = trainers_[c];
  std::vector<float> losses(static_cast<std::size_t>(length));
  std::vector<autodiff::kernels::device::Sample> drawn;
  datasets::Batch buffer;
  trainer.begin(params.values(), state);
  for (int done = 0; done < length;) {
    if (progress && progress->stop) return losses;
    const int steps = std::min(nn::DeviceTrainer::steps_at_once, length - done);
    const std::span<float> some(losses.data() + done, static_cast<std::size_t>(steps));
    const std::int64_t first = first_batch + done;
    if (samples_) {
      drawn.clear();
      add_draws(*batches.stream(), first, steps, drawn);
      trainer.run(*samples_, drawn, first, some);
    } else {
      for (int t = 0; t < steps; ++t) {
        const BatchView batch = batches.read(first + t, buffer);
        trainer.start(batch.features, batch.target(), first + t);
      }
      trainer.finish(some);
    }
    done += steps;
    if (progress) progress->steps += steps;
  }
  trainer.end(params.values(), state);
  return losses;
}

std::vector<Candidate> Explorer::explore(const Model& model, const Batches& batches, std::int64_t first_batch,
                                         Progress* progress, std::optional<int> asked_for) {
  prepare(model, batches.batch());
  const int length = asked_for.value_or(trajectory_length(model));
  std::vector<Candidate> candidates(static_cast<std::size_t>(this->candidates()));
  std::vector<nn::OptimizerState> states = states_;
  if (!trainers_.empty()) samples_ = batches.stream() ? device_samples(*batches.stream()) : nullptr;
  const auto follow = [&](int index) {
    const auto c = static_cast<std::size_t>(index);
    const nn::Optimizer& optimizer = optimizers_[c % optimizers_.size()];
    Candidate& candidate = candidates[c];
    candidate = {.loss = static_cast<int>(c / optimizers_.size()),
                 .optimizer = static_cast<int>(c % optimizers_.size()),
                 .losses = {},
                 .params = model.params};
    if (!trainers_.empty()) {
      candidate.losses =
          follow_on_device(c, candidate.params, states[c], batches,
                           first_batch + static_cast<std::int64_t>(index) * length, length, progress);
      return;
    }
    candidate.losses.reserve(static_cast<std::size_t>(length));
    const bool from_start = options_.weight_decay_from == WeightDecayFrom::start;
    const nn::Update update{.optimizer = optimizer,
                            .state = states[c],
                            .parameters = candidate.params.values(),
                            .decay_from = from_start ? model.params.values() : std::span<const float>{},
                            .clip_norm = options_.clip_norm};
    datasets::Batch buffer;
    for (int t = 0; t < length; ++t) {
      if (progress && progress->stop) return;
      // Its number tells a step of a candidate from all others of the run.
      const std::int64_t number = first_batch + static_cast<std::int64_t>(index) * length + t;
      const BatchView batch = batches.read(number, buffer);
      candidate.losses.push_back(
          gradients_[c].step(update, batch.features, batch.target(), {noise_, number}));
      if (progress) ++progress->steps;
    }
  };
  // The error of the first candidate that has one, whichever thread came to its own first.
  std::vector<std::exception_ptr> errors(candidates.size());
  autodiff::kernels::parallel_for(this->candidates(), [&](int index) {
    try {
      follow(index);
    } catch (...) {
      errors[static_cast<std::size_t>(index)] = std::current_exception();
    }
  });
  for (const std::exception_ptr& error : errors) {
    if (error) std::rethrow_exception(error);
  }
  if (progress && progress->stop) return {};
  states_ = std::move(states);
  return candidates;
}

}  // namespace ev3
