// Learning rates as functions of the number of steps taken.
#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

namespace nn {

class Schedule;

struct Constant {
  double value = 0.01;
};
/// initial x factor^(step / every), the quotient rounded down.
struct StepDecay {
  double initial = 0.1, factor = 0.1;
  std::int64_t every = 1000;
};
/// Half a cosine from `initial` at step 0 to `final` at `steps` and ever after (Loshchilov and Hutter 2017,
/// no restart).
struct Cosine {
  double initial = 0.1;
  std::int64_t steps = 1000;
  double final = 0;
};
/// A straight line from 0 over `steps` steps to the first value of what follows, which counts its steps from
/// there.
struct Warmup {
  std::int64_t steps = 100;
  std::vector<Schedule> then;  ///< exactly one
};
/// One schedule after the other, each for a number of steps counted from its own start; the last one for
/// ever.
struct Sequence {
  std::vector<Schedule> parts;
  std::vector<std::int64_t> steps;  ///< one less than parts
};

/// A learning rate: a number, or one of the forms above.
class Schedule {
 public:
  using Form = std::variant<Constant, StepDecay, Cosine, Warmup, Sequence>;

  Schedule(double value = 0.01) : form_(Constant{value}) {}  // NOLINT: a number is a schedule
  template <class F>
  requires std::is_constructible_v<Form, F> Schedule(F form)
      : form_(std::move(form)) {}  // NOLINT: so is each form

  /// The rate of the step after `step` steps have been taken; step >= 0.
  double operator()(std::int64_t step) const;
  /// Throws Error for rates that are negative or not finite, step counts below 1, or missing parts.
  void check() const;
  const Form& form() const { return form_; }

 private:
  Form form_;
};

/// "0.1", "cosine 0.1 to 0 over 1000 steps", "warm-up 100 steps, then ..."
std::string describe(const Schedule& schedule);

}  // namespace nn
