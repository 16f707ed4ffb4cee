// Training steps: a compiled gradient, and an optimizer on top.
#pragma once

#include <memory>
#include <optional>
#include <variant>

#include "autodiff/program/program.h"
#include "nn/losses.h"
#include "nn/network.h"
#include "nn/optimizers.h"

namespace nn {

/// What a loss compares the outputs with: class labels [n], or a teacher's logits [n, classes].
using Target = std::variant<std::span<const std::int32_t>, std::span<const float>>;

/// The loss of a network on a batch and its gradient, compiled once. A copy shares the compiled plan and has
/// memory of its own, so that copies can run at the same time.
class LossGradient {
 public:
  /// Throws Error for a batch below 1, and for a network or loss that is not well-formed.
  LossGradient(const Network& net, const Loss& loss, int batch, const autodiff::CompileOptions& options = {});

  /// The mean loss for `features` [batch, inputs...]; d loss / d parameters goes to `gradient`, a block with
  /// the layout of the parameters (zeros for statistics). No allocation after the first call.
  float operator()(std::span<const float> parameters, std::span<const float> features, const Target& target,
                   std::span<float> gradient);

  const autodiff::Program& program() const { return program_; }
  autodiff::Program& program() { return program_; }
  int batch() const { return shared_->batch; }
  const Layout& layout() const { return *shared_->layout; }

 private:
  struct Shared {  // what copies have in common
    autodiff::Graph graph;
    std::shared_ptr<const Layout> layout;
    std::vector<autodiff::Value> parameters, gradients;
    autodiff::Value features, target, loss;
    int batch = 0;
  };
  static std::shared_ptr<const Shared> build(const Network& net, const Loss& loss, int batch);
  static autodiff::Program compiled(const Shared& shared, const autodiff::CompileOptions& options);

  std::shared_ptr<const Shared> shared_;
  autodiff::Program program_;
  /// What was bound last time: it is bound again only when it moved. A copy starts without bindings, as its
  /// program does.
  struct Bound {
    const float* parameters = nullptr;
    float* gradient = nullptr;
    Bound() = default;
    Bound(const Bound&) noexcept {}
    Bound(Bound&&) noexcept = default;
    Bound& operator=(const Bound&) noexcept { return *this = Bound(); }
    Bound& operator=(Bound&&) noexcept = default;
    ~Bound() = default;
  };
  Bound bound_;
};

struct TrainingOptions {
  int batch = 32;
  /// Largest norm of the gradient; larger ones are scaled down (Pascanu, Mikolov, Bengio 2013).
  std::optional<double> clip_norm = {};
  autodiff::CompileOptions compile = {};
};

/// One network, one loss, one optimizer: the loop of a lesson is `for (k...) step.run(parameters,
/// batches[k]);`
class TrainingStep {
 public:
  TrainingStep(const Network& net, const Loss& loss, const Optimizer& optimizer,
               const TrainingOptions& options = {});

  /// One step on a batch: the loss before it. Throws Error when the parameters or the batch are not those of
  /// the network.
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
  autodiff::AlignedBuffer<float> gradient_;
};

}  // namespace nn
