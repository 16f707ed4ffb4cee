#include "nn/schedules.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "autodiff/tensor/error.h"

namespace nn {
namespace {

double rate(const Constant& s, std::int64_t) { return s.value; }

double rate(const StepDecay& s, std::int64_t step) {
  return s.initial * std::pow(s.factor, static_cast<double>(step / s.every));
}

double rate(const Cosine& s, std::int64_t step) {
  const double done = static_cast<double>(std::min(step, s.steps)) / static_cast<double>(s.steps);
  return s.final + (s.initial - s.final) * 0.5 * (1 + std::cos(std::numbers::pi * done));
}

double rate(const Warmup& s, std::int64_t step) {
  const Schedule& then = s.then.front();
  if (step >= s.steps) return then(step - s.steps);
  return then(0) * static_cast<double>(step) / static_cast<double>(s.steps);
}

double rate(const Sequence& s, std::int64_t step) {
  std::size_t part = 0;
  while (part < s.steps.size() && step >= s.steps[part]) step -= s.steps[part++];
  return s.parts[part](step);
}

void want_rate(const char* what, double value) {
  if (!(value >= 0) || !std::isfinite(value)) {
    autodiff::fail("learning rate: want ", what, " to be a finite number of at least 0, got ", value);
  }
}

void want_steps(std::int64_t steps) {
  if (steps < 1) autodiff::fail("learning rate: want at least one step, got ", steps);
}

struct Check {
  void operator()(const Constant& s) const { want_rate("the value", s.value); }
  void operator()(const StepDecay& s) const {
    want_rate("initial", s.initial);
    want_rate("factor", s.factor);
    want_steps(s.every);
  }
  void operator()(const Cosine& s) const {
    want_rate("initial", s.initial);
    want_rate("final", s.final);
    want_steps(s.steps);
  }
  void operator()(const Warmup& s) const {
    want_steps(s.steps);
    if (s.then.size() != 1)
      autodiff::fail("learning rate: want one schedule after a warm-up, got ", s.then.size());
    s.then.front().check();
  }
  void operator()(const Sequence& s) const {
    if (s.parts.empty() || s.steps.size() + 1 != s.parts.size()) {
      autodiff::fail("learning rate: want one step count less than parts, got ", s.steps.size(), " and ",
                     s.parts.size());
    }
    for (const std::int64_t steps : s.steps) want_steps(steps);
    for (const Schedule& part : s.parts) part.check();
  }
};

struct Describe {
  std::string operator()(const Constant& s) const { return autodiff::text(s.value); }
  std::string operator()(const StepDecay& s) const {
    return autodiff::text(s.initial, " times ", s.factor, " every ", s.every, " steps");
  }
  std::string operator()(const Cosine& s) const {
    return autodiff::text("cosine ", s.initial, " to ", s.final, " over ", s.steps, " steps");
  }
  std::string operator()(const Warmup& s) const {
    return autodiff::text("warm-up ", s.steps, " steps, then ", describe(s.then.front()));
  }
  std::string operator()(const Sequence& s) const {
    std::string out = describe(s.parts[0]);
    for (std::size_t i = 1; i < s.parts.size(); ++i) {
      out += autodiff::text(", after ", s.steps[i - 1], " steps ", describe(s.parts[i]));
    }
    return out;
  }
};

}  // namespace

double Schedule::operator()(std::int64_t step) const {
  return std::visit([&](const auto& form) { return rate(form, step); }, form_);
}

void Schedule::check() const { std::visit(Check{}, form_); }

std::string describe(const Schedule& schedule) { return std::visit(Describe{}, schedule.form()); }

}  // namespace nn
