#include "nn/losses.h"

#include <cmath>

#include "autodiff/graph/ops.h"

namespace nn {
namespace {

using autodiff::text;
using autodiff::Value;

Value times(Value x, float factor) { return factor == 1.0f ? x : x * factor; }

Value per_sample(const CrossEntropy& loss, Value logits, Value target) {
  Value sum;
  for (const float t : loss.multipliers) {
    const Value one = autodiff::cross_entropy(times(logits, t), target);
    sum = sum.valid() ? sum + one : one;
  }
  return times(sum, 1.0f / static_cast<float>(loss.multipliers.size()));
}

Value per_sample(const Distillation& loss, Value student, Value teacher) {
  const float tau = loss.temperature;
  return times(
      autodiff::kl_divergence(times(student, 1 / tau), autodiff::stop_gradient(times(teacher, 1 / tau))),
      tau);
}

bool positive(float x) { return x > 0 && std::isfinite(x); }

}  // namespace

std::string describe(const Loss& loss) {
  if (const auto* l = std::get_if<Distillation>(&loss)) return text("distill tau ", l->temperature);
  std::string out = "xent";
  for (const float t : std::get<CrossEntropy>(loss).multipliers) out += text(out == "xent" ? " x" : ",", t);
  return out;
}

void check(const Loss& loss) {
  if (const auto* l = std::get_if<Distillation>(&loss)) {
    if (!positive(l->temperature)) {
      autodiff::fail("distillation: want a positive temperature, got ", l->temperature);
    }
    return;
  }
  const auto& multipliers = std::get<CrossEntropy>(loss).multipliers;
  if (multipliers.empty()) autodiff::fail("cross entropy: want at least one multiplier, got none");
  for (const float t : multipliers) {
    if (!positive(t)) autodiff::fail("cross entropy: want positive multipliers, got ", t);
  }
}

bool wants_logits(const Loss& loss) { return std::holds_alternative<Distillation>(loss); }

Value per_sample(const Loss& loss, Value logits, Value target) {
  return std::visit([&](const auto& l) { return per_sample(l, logits, target); }, loss);
}

Value mean_loss(const Loss& loss, Value logits, Value target) {
  return autodiff::mean(per_sample(loss, logits, target));
}

}  // namespace nn
