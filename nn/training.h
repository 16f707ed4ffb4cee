// Training steps: a compiled gradient, and an optimizer on top.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "autodiff/program/program.h"
#include "nn/losses.h"
#include "nn/network.h"
#include "nn/optimizers.h"

namespace nn {

/// What a loss compares the outputs with: class labels [n], a teacher's logits [n, classes], or both.
struct Target {
  std::span<const std::int32_t> labels = {};
  std::span<const float> logits = {};

  Target() = default;
  Target(std::span<const std::int32_t> classes) : labels(classes) {}  // NOLINT: labels are a target
  Target(std::span<const float> teacher) : logits(teacher) {}         // NOLINT: so are logits
  Target(std::span<const std::int32_t> classes, std::span<const float> teacher)
      : labels(classes), logits(teacher) {}
};

/// A network that others learn from, with its parameters.
struct Teacher {
  Network network = Mlp{};
  Parameters parameters = {};
};
using Teachers = std::vector<std::shared_ptr<const Teacher>>;

/// Which masks the dropouts of a step draw: they are a pure function of both numbers (and of the place of a
/// sample in its batch), so any step can be repeated.
struct Noise {
  autodiff::Seed seed = {};
  std::int64_t step = 0;  ///< another number for every step
};

struct GradientOptions {
  autodiff::CompileOptions compile = {};
  /// Those that Distillation::teacher numbers.
  Teachers teachers = {};
};

/// What a step of training changes.
struct Update {
  const Optimizer& optimizer;
  OptimizerState& state;
  std::span<float> parameters;
  /// Those that weight decay is computed from; empty: `parameters` themselves.
  std::span<const float> decay_from = {};
  /// Largest norm of the gradient; larger ones are scaled down (Pascanu, Mikolov, Bengio 2013).
  std::optional<double> clip_norm = {};
};

/// The loss of a network on a batch and its gradient, compiled once, in training mode: a batch norm uses the
/// moments of the batch, dropout drops. A copy shares the compiled plan and has memory of its own, so that
/// copies can run at the same time.
class LossGradient {
 public:
  /// Throws Error for a batch below 1, a network or loss that is not well-formed, and a teacher that is not
  /// there or has other inputs or classes.
  LossGradient(const Network& net, const Loss& loss, int batch, const GradientOptions& options = {});

  /// The mean loss for `features` [batch, inputs...]; d loss / d parameters goes to `gradient`, a block with
  /// the layout of the parameters (zeros for statistics). `noise` matters for networks with dropout only. No
  /// allocation after the first call. Throws Error when sizes differ, the target lacks what the loss
  /// wants, or a label is not a class of the network.
  float operator()(std::span<const float> parameters, std::span<const float> features, const Target& target,
                   std::span<float> gradient, const Noise& noise = {});
  /// A step: the loss before it. To the last bit what operator(), clip_by_norm(), update() and
  /// update_statistics() do one after the other; but by SGD without clip_norm, large weights are updated
  /// while their gradient is formed, which is not stored then, where Program::update_by can.
  float step(const Update& update, std::span<const float> features, const Target& target,
             const Noise& noise = {});
  /// Replaces the statistics in `parameters` by those that the last call has computed from the parameters it
  /// was given and its batch. To be called after the optimizer's update.
  void update_statistics(std::span<float> parameters) const;

  const autodiff::Program& program() const { return program_; }
  autodiff::Program& program() { return program_; }
  int batch() const { return shared_->batch; }
  const Layout& layout() const { return *shared_->layout; }

 private:
  friend class DeviceTrainer;  // which binds memory of a device
  // A value of the graph and its place in the block of parameters.
  struct Slot {
    autodiff::Value value;
    std::size_t offset = 0, size = 0;
  };
  struct Shared {  // what copies have in common
    autodiff::Graph graph;
    std::shared_ptr<const Layout> layout;
    std::vector<Slot> parameters, gradients, statistics;
    std::shared_ptr<const Teacher> teacher;
    std::vector<Slot> teacher_parameters;
    autodiff::Value features, labels, logits, dropout_keys, loss;
    int batch = 0, classes = 0;
  };
  static std::shared_ptr<const Shared> build(const Network& net, const Loss& loss, int batch,
                                             const Teachers& teachers);
  static void add_teacher(Shared& shared, const Network& net, const Loss& loss, const Teachers& teachers);
  static autodiff::Program compiled(const Shared& shared, const autodiff::CompileOptions& options);
  void bind(std::span<const float> parameters, std::span<float> gradient);
  float run(std::span<const float> parameters, std::span<const float> features, const Target& target,
            std::span<float> gradient, const Noise& noise, const autodiff::kernels::ParameterUpdate* update);

  std::shared_ptr<const Shared> shared_;
  autodiff::Program program_;
  std::vector<std::int32_t> dropout_keys_;  // one for each sample, where the network has dropout
  /// What a copy does not have: what was bound last time (it is bound again only when it moved), and of
  /// step() the parts of the block of parameters whose gradient is stored, and that gradient.
  struct Own {
    struct Range {
      std::size_t first = 0, size = 0;
    };
    const float* bound_parameters = nullptr;
    float* bound_gradient = nullptr;
    std::vector<Range> stored = {};
    autodiff::AlignedBuffer<float> gradient = {};
    Own() = default;
    Own(const Own&) noexcept {}
    Own(Own&&) noexcept = default;
    Own& operator=(const Own&) noexcept { return *this = Own(); }
    Own& operator=(Own&&) noexcept = default;
    ~Own() = default;
  };
  Own own_;
};

struct TrainingOptions {
  int batch = 32;
  /// Largest norm of the gradient; larger ones are scaled down (Pascanu, Mikolov, Bengio 2013).
  std::optional<double> clip_norm = {};
  autodiff::CompileOptions compile = {};
  Teachers teachers = {};
  /// Of the masks of dropout: they follow from it and the number of steps that the optimizer has taken.
  autodiff::Seed seed = {1};
};

/// One network, one loss, one optimizer: the loop of a lesson is `for (k...) step.run(parameters,
/// batches[k]);`
class TrainingStep {
 public:
  TrainingStep(const Network& net, const Loss& loss, const Optimizer& optimizer,
               const TrainingOptions& options = {});

  /// One step on a batch: the loss before it. Statistics are replaced. Throws Error when the parameters or
  /// the batch are not those of the network.
  float run(Parameters& parameters, std::span<const float> features, const Target& target);
  /// The same for anything with `features` and `labels`, such as datasets::Batch.
  template <class Batch>
  float run(Parameters& parameters, const Batch& batch) {
    return run(parameters, {batch.features.data(), batch.features.size()},
               std::span<const std::int32_t>(batch.labels.data(), batch.labels.size()));
  }

  const autodiff::Program& program() const { return gradient_of_.program(); }
  OptimizerState& state() { return state_; }

 private:
  LossGradient gradient_of_;
  Optimizer optimizer_;
  OptimizerState state_;
  std::optional<double> clip_norm_;
  autodiff::Seed seed_;
};

}  // namespace nn
