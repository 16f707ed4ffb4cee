// Losses that training minimizes.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
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

/// Which of the two distributions is the first in the Kullback-Leibler divergence, the one that is averaged
/// over.
enum class Divergence {
  reverse,  ///< KL(student || teacher), as the reference has it
  forward,  ///< KL(teacher || student) (Hinton, Vinyals, Dean 2015)
};

/// What the divergence at temperature tau is multiplied by.
enum class TemperatureScale {
  tau,          ///< as the reference has it
  tau_squared,  ///< Hinton: gradients keep their size whatever tau is
  none,
};

/// Mean over the batch of
///     (1 - hard_weight) scale KL(softmax(student / tau), softmax(teacher / tau)) + hard_weight xent(student,
///     label)
/// with the logits of a teacher: those that come with the batch, or, with `teacher`, those that this one of
/// the teachers computes on the batch, in evaluation mode. Without hard_weight no labels are needed.
struct Distillation {
  float temperature = 1.0f;
  Divergence divergence = Divergence::reverse;
  TemperatureScale scale = TemperatureScale::tau;
  float hard_weight = 0;
  std::optional<int> teacher = {};
  bool operator==(const Distillation&) const = default;
};

using Loss = std::variant<CrossEntropy, Distillation>;

/// "xent x0.5", "distill tau 2", "distill tau 1 from teacher 0"
std::string describe(const Loss& loss);
/// Throws Error for a multiplier or temperature that is not positive and finite, no multiplier, a hard_weight
/// outside [0, 1], or a negative teacher.
void check(const Loss& loss);
/// True where batches must bring logits [n, classes].
bool wants_logits(const Loss& loss);
/// True where batches must bring labels int32 [n].
bool wants_labels(const Loss& loss);
/// Throws Error, which begins with `who`, unless all labels are in [0, classes).
void check_labels(std::span<const std::int32_t> labels, int classes, std::string_view who);
/// The number of the teacher that is to be run, if one is.
std::optional<int> teacher_of(const Loss& loss);

/// What outputs are compared with, as values of a graph. Those that the loss does not want may be empty.
struct Targets {
  autodiff::Value labels = {};  ///< int32 [n]
  autodiff::Value logits = {};  ///< of a teacher, [n, classes]
};
/// The loss of every sample: logits [n, classes] -> [n].
autodiff::Value per_sample(const Loss& loss, autodiff::Value logits, const Targets& targets);
/// Their mean, a scalar.
autodiff::Value mean_loss(const Loss& loss, autodiff::Value logits, const Targets& targets);

}  // namespace nn
