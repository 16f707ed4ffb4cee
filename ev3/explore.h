// Explore: from the current parameters, every (loss, optimizer) pair takes some gradient steps.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "ev3/model.h"
#include "ev3/streams.h"
#include "nn/device_training.h"
#include "nn/losses.h"
#include "nn/optimizers.h"
#include "nn/training.h"

namespace ev3 {

/// Which parameters decoupled weight decay is computed from: those of the moment, or those at the start of
/// the trajectory (as the reference does for networks without batch norm).
enum class WeightDecayFrom { moving, start };

/// What becomes of the optimizers' states when the network grows: they start anew, as in the reference, or
/// old parameters keep their moments (new ones begin with zeros) and schedules go on.
enum class OptimizersAfterGrowth { restart, carry };

struct ExploreOptions {
  int trajectory_length = 100;
  /// The length is multiplied by this for every insignificant step in a row.
  double trajectory_factor = 1;
  WeightDecayFrom weight_decay_from = WeightDecayFrom::moving;
  std::optional<double> clip_norm = {};
  OptimizersAfterGrowth optimizers_after_growth = OptimizersAfterGrowth::restart;
};

/// What goes on inside a round, for whoever shows progress, and a way to ask it to stop.
struct Progress {
  std::atomic<std::int64_t> steps{0};  ///< gradient steps taken, by all candidates
  std::atomic<bool> stop{false};
};

/// The end of one trajectory.
struct Candidate {
  int loss = 0, optimizer = 0;  ///< which of the losses and optimizers
  std::vector<float> losses;    ///< before each step
  nn::Parameters params;
};

/// What explore keeps from round to round: the state of every optimizer, candidate by candidate, and the
/// compiled gradients, which can always be made again.
class Explorer {
 public:
  /// The masks of dropouts follow from `noise` and the number of the batch. Throws Error for a loss or
  /// optimizer out of range, or none of them.
  Explorer(std::vector<nn::Loss> losses, std::vector<nn::Optimizer> optimizers, const ExploreOptions& options,
           nn::Teachers teachers = {}, autodiff::Seed noise = {});

  /// Candidates in the order loss 0 with optimizer 0, 1, ..., then loss 1 ...
  int candidates() const { return static_cast<int>(losses_.size() * optimizers_.size()); }
  /// T = int(trajectory_length x factor^c), c = insignificant steps in a row. Throws Error beyond 10^9.
  int trajectory_length(const Model& model) const;

  /// docs/algorithm.md, section 2. Candidate c takes batches first_batch + c T ... + T - 1. Optimizer states
  /// go on from round to round whether or not a candidate was selected, and start anew where the model has
  /// just grown, unless they are carried on. The candidates run in parallel, with the same results as one
  /// after the other. `length`: other than trajectory_length(). Empty when stopped by `progress`; nothing has
  /// changed then.
  std::vector<Candidate> explore(const Model& model, const Batches& batches, std::int64_t first_batch,
                                 Progress* progress = nullptr, std::optional<int> length = {});

  const std::vector<nn::Loss>& losses() const { return losses_; }
  const std::vector<nn::Optimizer>& optimizers() const { return optimizers_; }
  const ExploreOptions& options() const { return options_; }
  /// One state per candidate; empty before the first explore.
  const std::vector<nn::OptimizerState>& states() const { return states_; }
  void restore(std::vector<nn::OptimizerState> states) { states_ = std::move(states); }

 private:
  void prepare(const Model& model, int batch);
  std::vector<float> follow_on_device(std::size_t c, nn::Parameters& params, nn::OptimizerState& state,
                                      const Batches& batches, std::int64_t first_batch, int length,
                                      Progress* progress);

  std::vector<nn::Loss> losses_;
  std::vector<nn::Optimizer> optimizers_;
  ExploreOptions options_;
  nn::Teachers teachers_;
  autodiff::Seed noise_;
  std::vector<nn::OptimizerState> states_;
  std::vector<nn::LossGradient> gradients_;           // one per candidate, for network_
  std::vector<nn::DeviceTrainer> trainers_;           // instead, where programs run on a device
  std::shared_ptr<const nn::DeviceSamples> samples_;  // that those draw from; null: batches are sent to them
  std::optional<nn::Network> network_;
  int batch_ = 0;
};

}  // namespace ev3
