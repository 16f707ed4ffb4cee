#include "nn/losses.h"

#include <cmath>

#include "autodiff/graph/ops.h"

namespace nn {
namespace {

using autodiff::text;
using autodiff::Value;

Value times(Value x, float factor) { return factor == 1.0f ? x : x * factor; }

Value per_sample(const CrossEntropy& loss, Value logits, const Targets& targets) {
  Value sum;
  for (const float t : loss.multipliers) {
    const Value one = autodiff::cross_entropy(times(logits, t), targets.labels);
    sum = sum.valid() ? sum + one : one;
  }
  return times(sum, 1.0f / static_cast<float>(loss.multipliers.size()));
}

float factor_of(const Distillation& loss) {
  switch (loss.scale) {
    case TemperatureScale::tau:
      return loss.temperature;
    case TemperatureScale::tau_squared:
      return loss.temperature * loss.temperature;
    case TemperatureScale::none:
      break;
  }
  return 1;
}

Value per_sample(const Distillation& loss, Value logits, const Targets& targets) {
  const float cooling = 1 / loss.temperature, hard = loss.hard_weight;
  const Value student = times(logits, cooling);
  const Value teacher = autodiff::stop_gradient(times(targets.logits, cooling));
  const Value divergence = loss.divergence == Divergence::reverse ? autodiff::kl_divergence(student, teacher)
                                                                  : autodiff::kl_divergence(teacher, student);
  const Value soft = times(divergence, (1 - hard) * factor_of(loss));
  return hard == 0 ? soft : soft + times(autodiff::cross_entropy(logits, targets.labels), hard);
}

bool positive(float x) { return x > 0 && std::isfinite(x); }

std::string describe(const CrossEntropy& loss) {
  std::string out = "xent";
  for (const float t : loss.multipliers) out += text(out == "xent" ? " x" : ",", t);
  return out;
}

std::string describe(const Distillation& loss) {
  return text("distill tau ", loss.temperature, loss.divergence == Divergence::forward ? " forward" : "",
              loss.scale == TemperatureScale::tau    ? ""
              : loss.scale == TemperatureScale::none ? " x1"
                                                     : " x tau^2",
              loss.hard_weight == 0 ? "" : text(" hard ", loss.hard_weight),
              loss.teacher ? text(" from teacher ", *loss.teacher) : "");
}

void check(const CrossEntropy& loss) {
  if (loss.multipliers.empty()) autodiff::fail("cross entropy: want at least one multiplier, got none");
  for (const float t : loss.multipliers) {
    if (!positive(t)) autodiff::fail("cross entropy: want positive multipliers, got ", t);
  }
}

void check(const Distillation& loss) {
  if (!positive(loss.temperature)) {
    autodiff::fail("distillation: want a positive temperature, got ", loss.temperature);
  }
  if (!(loss.hard_weight >= 0 && loss.hard_weight <= 1)) {
    autodiff::fail("distillation: want a hard_weight from 0 to 1, got ", loss.hard_weight);
  }
  if (loss.teacher && *loss.teacher < 0) {
    autodiff::fail("distillation: want a teacher from 0 on, got ", *loss.teacher);
  }
}

}  // namespace

std::string describe(const Loss& loss) {
  return std::visit([](const auto& l) { return describe(l); }, loss);
}

void check(const Loss& loss) {
  std::visit([](const auto& l) { check(l); }, loss);
}

bool wants_logits(const Loss& loss) {
  const auto* l = std::get_if<Distillation>(&loss);
  return l && !l->teacher;
}

bool wants_labels(const Loss& loss) {
  const auto* l = std::get_if<Distillation>(&loss);
  return !l || l->hard_weight > 0;
}

void check_labels(std::span<const std::int32_t> labels, int classes, std::string_view who) {
  for (std::size_t i = 0; i < labels.size(); ++i) {
    if (labels[i] >= 0 && labels[i] < classes) continue;
    autodiff::fail(who, ": the network has ", classes, " classes, but sample ", i, " is of class ",
                   labels[i]);
  }
}

std::optional<int> teacher_of(const Loss& loss) {
  const auto* l = std::get_if<Distillation>(&loss);
  return l ? l->teacher : std::nullopt;
}

Value per_sample(const Loss& loss, Value logits, const Targets& targets) {
  return std::visit([&](const auto& l) { return per_sample(l, logits, targets); }, loss);
}

Value mean_loss(const Loss& loss, Value logits, const Targets& targets) {
  return autodiff::mean(per_sample(loss, logits, targets));
}

}  // namespace nn
