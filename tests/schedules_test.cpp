// Learning rates: values at the borders, composition, and what is refused.
#include <cmath>
#include <limits>

#include "nn/schedules.h"
#include "tests/catch.h"
#include "tests/files.h"

using nn::Schedule;

TEST_CASE("a number is a schedule") {
  const Schedule rate = 0.25;
  CHECK(rate(0) == 0.25);
  CHECK(rate(1'000'000'000'000) == 0.25);
  CHECK(nn::describe(rate) == "0.25");
}

TEST_CASE("step decay changes exactly at multiples") {
  const Schedule rate = nn::StepDecay{.initial = 0.8, .factor = 0.5, .every = 10};
  CHECK(rate(0) == 0.8);
  CHECK(rate(9) == 0.8);
  CHECK(rate(10) == 0.4);
  CHECK(rate(19) == 0.4);
  CHECK(rate(20) == 0.2);
}

TEST_CASE("a cosine begins at the first rate and stays at the last") {
  const Schedule rate = nn::Cosine{.initial = 0.5, .steps = 100, .final = 0.1};
  CHECK(rate(0) == 0.5);
  CHECK(rate(25) == Approx(0.1 + 0.4 * 0.5 * (1 + std::sqrt(0.5))).epsilon(1e-14));
  CHECK(rate(50) == Approx(0.3).epsilon(1e-14));
  CHECK(rate(100) == Approx(0.1).epsilon(1e-14));
  CHECK(rate(99) > rate(100));
  CHECK(rate(101) == rate(100));
  CHECK(rate(1'000'000) == rate(100));
}

TEST_CASE("a warm-up rises from 0 to where the next schedule starts, which counts from there") {
  const Schedule rate =
      nn::Warmup{.steps = 10, .then = {nn::StepDecay{.initial = 0.4, .factor = 0.5, .every = 5}}};
  CHECK(rate(0) == 0);
  CHECK(rate(5) == Approx(0.2).epsilon(1e-14));
  CHECK(rate(9) == Approx(0.36).epsilon(1e-14));
  CHECK(rate(10) == 0.4);
  CHECK(rate(14) == 0.4);
  CHECK(rate(15) == 0.2);
}

TEST_CASE("schedules one after the other, each counting its own steps") {
  const Schedule rate = nn::Sequence{
      .parts = {0.1, nn::Warmup{.steps = 2, .then = {0.8}}, nn::Cosine{.initial = 1, .steps = 4}},
      .steps = {3, 5}};
  const std::vector<double> expected{0.1, 0.1, 0.1, 0, 0.4, 0.8, 0.8, 0.8, 1, 0.5 + 0.5 * std::sqrt(0.5),
                                     0.5};
  for (std::size_t i = 0; i < expected.size(); ++i) {
    CAPTURE(i);
    CHECK(rate(static_cast<std::int64_t>(i)) == Approx(expected[i]).epsilon(1e-14).margin(1e-14));
  }
  rate.check();
}

TEST_CASE("descriptions say what happens") {
  CHECK(nn::describe(nn::Cosine{.initial = 0.1, .steps = 1000}) == "cosine 0.1 to 0 over 1000 steps");
  CHECK(nn::describe(nn::Warmup{.steps = 100, .then = {0.5}}) == "warm-up 100 steps, then 0.5");
  CHECK(nn::describe(nn::StepDecay{}) == "0.1 times 0.1 every 1000 steps");
  CHECK(nn::describe(nn::Sequence{.parts = {0.1, 0.2}, .steps = {7}}) == "0.1, after 7 steps 0.2");
}

TEST_CASE("rates and step counts out of range are refused") {
  const double infinity = std::numeric_limits<double>::infinity(),
               nan = std::numeric_limits<double>::quiet_NaN();
  const auto refusal = [](const Schedule& schedule) { return error_of([&] { schedule.check(); }); };
  CHECK_THAT(refusal(-0.1), ContainsSubstring("at least 0, got -0.1"));
  CHECK_THAT(refusal(infinity), ContainsSubstring("finite"));
  CHECK_THAT(refusal(nan), ContainsSubstring("finite"));
  CHECK(refusal(0.0) == "no error");
  CHECK_THAT(refusal(nn::StepDecay{.factor = -1}), ContainsSubstring("factor"));
  CHECK_THAT(refusal(nn::StepDecay{.every = 0}), ContainsSubstring("at least one step, got 0"));
  CHECK_THAT(refusal(nn::Cosine{.steps = -5}), ContainsSubstring("at least one step, got -5"));
  CHECK_THAT(refusal(nn::Cosine{.final = -1}), ContainsSubstring("final"));
  CHECK_THAT(refusal(nn::Warmup{.steps = 5, .then = {}}),
             ContainsSubstring("one schedule after a warm-up, got 0"));
  CHECK_THAT(refusal(nn::Warmup{.steps = 5, .then = {-1.0}}), ContainsSubstring("got -1"));
  CHECK_THAT(refusal(nn::Sequence{.parts = {0.1, 0.2}, .steps = {}}), ContainsSubstring("got 0 and 2"));
  CHECK_THAT(refusal(nn::Sequence{.parts = {0.1, nn::Cosine{.steps = 0}}, .steps = {3}}),
             ContainsSubstring("step"));
}
