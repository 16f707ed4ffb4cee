// Optimizers as values: settings, a state that can be copied and stored, and one function that takes a step.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "autodiff/kernels/backend.h"
#include "autodiff/tensor/buffer.h"
#include "nn/schedules.h"

namespace nn {

/// v = g + momentum v;  p -= lr v.  With nesterov p -= lr (g + momentum v) (Sutskever et al. 2013, as optax
/// has it).
struct Sgd {
  Schedule learning_rate = 0.01;
  float momentum = 0;
  bool nesterov = false;
};

/// m = b1 m + (1 - b1) g;  v = b2 v + (1 - b2) g^2;  p -= lr m^ / (sqrt(v^) + epsilon), with m^ = m / (1 -
/// b1^t) and v^ = v / (1 - b2^t) at step t = 1, 2, ... (Kingma and Ba 2015).
struct Adam {
  Schedule learning_rate = 1e-3;
  float b1 = 0.9f, b2 = 0.999f, epsilon = 1e-8f;
};

/// Adam with decoupled weight decay: p -= lr (m^ / (sqrt(v^) + epsilon) + weight_decay p), biases included
/// (Loshchilov and Hutter 2019).
struct AdamW {
  Schedule learning_rate = 1e-3;
  float b1 = 0.9f, b2 = 0.999f, epsilon = 1e-8f, weight_decay = 1e-4f;
};

/// v = decay v + (1 - decay) g^2;  u = momentum u + g / (sqrt(v) + epsilon);  p -= lr u (Hinton 2012).
struct RmsProp {
  Schedule learning_rate = 1e-3;
  float decay = 0.99f, epsilon = 1e-8f, momentum = 0;
};

using Optimizer = std::variant<Sgd, Adam, AdamW, RmsProp>;

/// What an optimizer remembers. Copying it is a snapshot.
struct OptimizerState {
  std::int64_t step = 0;  ///< updates taken
  std::vector<autodiff::AlignedBuffer<float>> moments =
      {};  ///< none, one or two blocks the size of the parameters
};

/// "sgd 0.1", "adamw 0.001"
std::string describe(const Optimizer& optimizer);
/// Throws Error for settings out of range.
void check(const Optimizer& optimizer);
const Schedule& learning_rate(const Optimizer& optimizer);
/// How many blocks of moments it keeps.
int moment_count(const Optimizer& optimizer);
/// The state before the first step, for `size` parameters.
OptimizerState initial_state(const Optimizer& optimizer, std::size_t size);
/// One step: changes `parameters` and `state`. All spans have the size of the state's moments. `decay_from`
/// are the parameters that weight decay is computed from, usually `parameters` itself.
void update(const Optimizer& optimizer, OptimizerState& state, std::span<const float> gradient,
            std::span<const float> decay_from, std::span<float> parameters);
inline void update(const Optimizer& optimizer, OptimizerState& state, std::span<const float> gradient,
                   std::span<float> parameters) {
  update(optimizer, state, gradient, parameters, parameters);
}

/// What kernels want to know: what is fixed, and what changes after so many updates.
autodiff::kernels::UpdateDims update_dims(const Optimizer& optimizer, std::size_t size);
autodiff::kernels::UpdateScalars update_scalars(const Optimizer& optimizer, std::int64_t updates);

/// The next step of an optimizer, part by part: for those who have the gradient in parts. Every parameter
/// must come once; then the caller counts the step in the state.
class PartialUpdate {
 public:
  /// All memory must stay where it is; arguments as those of update().
  PartialUpdate(const Optimizer& optimizer, OptimizerState& state, std::span<const float> decay_from,
                std::span<float> parameters);
  /// Of as many parameters as there are elements, from `first` on; on several threads where it is worth it.
  void operator()(std::size_t first, std::span<const float> gradient) const;
  /// For kernels that do the rest.
  const autodiff::kernels::ParameterUpdate& all() const { return all_; }

 private:
  autodiff::kernels::ParameterUpdate all_;
  decltype(autodiff::kernels::Backend::update.run) kernel_;
};

/// The Euclidean norm, formed in double.
double norm(std::span<const float> x);
/// Scales the gradient down to norm `most` where it is larger; returns the norm it had. Throws nothing; a
/// norm that is not finite leaves the gradient as it is.
double clip_by_norm(std::span<float> gradient, double most);

}  // namespace nn
