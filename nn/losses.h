// Losses that training minimizes.
#pragma once

#include <string>
#include <variant>
#include <vector>

#include "autodiff/graph/graph.h"

namespace nn {

/// Mean over the batch and over the multipliers t of the cross entropy of softmax(t logits) against class
/// labels. (The reference calls t a temperature, but multiplies by it.)
struct CrossEntropy {
  std::vector<float> multipliers = {1.0f};
  bool operator==(const CrossEntropy&) const = default;
};

/// Mean over the batch of tau KL(softmax(student / tau) || softmax(teacher / tau)): the student first, and
/// scaled by tau, not its square, as the reference has it. The target is the teacher's logits [n, classes].
struct Distillation {
  float temperature = 1.0f;
  bool operator==(const Distillation&) const = default;
};

using Loss = std::variant<CrossEntropy, Distillation>;

/// "xent x0.5", "distill tau 2"
std::string describe(const Loss& loss);
/// Throws Error for a multiplier or temperature that is not positive and finite, or no multiplier.
void check(const Loss& loss);
/// True where the target is logits [n, classes] instead of labels int32 [n].
bool wants_logits(const Loss& loss);
/// The loss of every sample: logits [n, classes] and the target -> [n].
autodiff::Value per_sample(const Loss& loss, autodiff::Value logits, autodiff::Value target);
/// Their mean, a scalar.
autodiff::Value mean_loss(const Loss& loss, autodiff::Value logits, autodiff::Value target);

}  // namespace nn
