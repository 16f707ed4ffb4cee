// Optimizers against plain double implementations of their published formulas, and against values worked out
// by hand.
#include <cmath>
#include <functional>
#include <limits>

#include "autodiff/tensor/random.h"
#include "nn/optimizers.h"
#include "tests/catch.h"
#include "tests/files.h"

using nn::Optimizer;

namespace {

/// The parameter after each step, from 1.5 on, for these gradients; `decay_from`: nothing, or a fixed value.
std::vector<double> run(const Optimizer& optimizer, const std::vector<float>& gradients,
                        const float* decay_from = nullptr) {
  std::vector<float> p{1.5f};
  nn::OptimizerState state = nn::initial_state(optimizer, 1);
  std::vector<double> path;
  for (const float& g : gradients) {
    if (decay_from) {
      nn::update(optimizer, state, {&g, 1}, {decay_from, 1}, p);
    } else {
      nn::update(optimizer, state, {&g, 1}, p);
    }
    path.push_back(static_cast<double>(p[0]));
  }
  CHECK(state.step == static_cast<std::int64_t>(gradients.size()));
  return path;
}

std::vector<float> random_gradients(int n) {
  const autodiff::Random random(autodiff::Seed{3});
  std::vector<float> out;
  for (int i = 0; i < n; ++i) out.push_back(static_cast<float>(random.normal(static_cast<std::uint64_t>(i))));
  return out;
}

/// Paths agree up to the float rounding of as many steps: each adds at most a few units in the last place of
/// the parameter, which stays below 4.
void check_paths(const std::vector<double>& got, const std::function<double(double g, double p, int t)>& step,
                 const std::vector<float>& gradients) {
  double p = 1.5;
  for (std::size_t i = 0; i < gradients.size(); ++i) {
    p = step(static_cast<double>(gradients[i]), p, static_cast<int>(i) + 1);
    CAPTURE(i);
    CHECK(got[i] == Approx(p).margin(static_cast<double>(i + 1) * 8 * 1.2e-7).epsilon(0));
  }
}

double as_float(double x) { return static_cast<double>(static_cast<float>(x)); }

}  // namespace

TEST_CASE("stochastic gradient descent, by hand") {
  CHECK(run(nn::Sgd{.learning_rate = 0.5}, {1, -2}) == std::vector<double>{1.0, 2.0});
  // v: 1, -1.5, 0.25; p falls by v / 2.
  CHECK(run(nn::Sgd{.learning_rate = 0.5, .momentum = 0.5f}, {1, -2, 1}) ==
        std::vector<double>{1.0, 1.75, 1.625});
  // g + v / 2: 1.5, -2.75, 1.125.
  CHECK(run(nn::Sgd{.learning_rate = 0.5, .momentum = 0.5f, .nesterov = true}, {1, -2, 1}) ==
        std::vector<double>{0.75, 2.125, 1.5625});
}

TEST_CASE("momentum and Nesterov over many steps") {
  const auto gradients = random_gradients(50);
  const double mu = as_float(0.9), lr = as_float(0.01);
  for (const bool nesterov : {false, true}) {
    double v = 0;
    check_paths(
        run(nn::Sgd{.learning_rate = 0.01, .momentum = 0.9f, .nesterov = nesterov}, gradients),
        [&](double g, double p, int) {
          v = g + mu * v;
          return p - lr * (nesterov ? g + mu * v : v);
        },
        gradients);
  }
}

TEST_CASE("Adam corrects its bias: the first step has the length of the learning rate") {
  // m^ = g and v^ = g^2 at t = 1, so the step is lr g / (|g| + epsilon), whatever the gradient's size.
  for (const float g : {1e-3f, 1.0f, -250.0f}) {
    const double step = 1.5 - run(nn::Adam{.learning_rate = 0.01}, {g})[0];
    CHECK(step == Approx(std::copysign(0.01, static_cast<double>(g))).epsilon(2e-5));  // 1e-8 / 1e-3, float32
  }
  // With equal gradients every step is the same.
  const auto path = run(nn::Adam{.learning_rate = 0.01}, std::vector<float>(20, 0.7f));
  CHECK(path.back() == Approx(1.5 - 20 * 0.01).margin(20 * 2.4e-7));
  // By hand, b1 = b2 = 1/2, lr = 1, gradients 1, 3: m^ = (0.25 + 1.5) / 0.75 = 7/3, v^ = (0.25 + 4.5) / 0.75
  // = 19/3.
  const auto two = run(nn::Adam{.learning_rate = 1, .b1 = 0.5f, .b2 = 0.5f}, {1, 3});
  CHECK(two[1] == Approx(0.5 - 7.0 / 3 / std::sqrt(19.0 / 3)).epsilon(1e-6));
}

TEST_CASE("AdamW over many steps, with decay from where it is and from where it started") {
  const auto gradients = random_gradients(60);
  const double b1 = as_float(0.9), b2 = as_float(0.999), epsilon = as_float(1e-8), decay = as_float(0.1),
               lr = as_float(0.02);
  const nn::AdamW optimizer{.learning_rate = 0.02, .weight_decay = 0.1f};
  const float start = 1.5f;
  for (const float* from : {static_cast<const float*>(nullptr), &start}) {
    double m = 0, v = 0;
    check_paths(
        run(optimizer, gradients, from),
        [&](double g, double p, int t) {
          m = b1 * m + (1 - b1) * g;
          v = b2 * v + (1 - b2) * g * g;
          const double adam = m / (1 - std::pow(b1, t)) / (std::sqrt(v / (1 - std::pow(b2, t))) + epsilon);
          return p - lr * (adam + decay * (from ? 1.5 : p));
        },
        gradients);
  }
  CHECK(run(optimizer, gradients) != run(optimizer, gradients, &start));
  CHECK(run(nn::Adam{.learning_rate = 0.02}, gradients) ==
        run(nn::AdamW{.learning_rate = 0.02, .weight_decay = 0}, gradients));
}

TEST_CASE("weight decay alone: a gradient of 0 leaves Adam where it is and shrinks AdamW") {
  CHECK(run(nn::Adam{.learning_rate = 0.5}, {0, 0}) == std::vector<double>{1.5, 1.5});
  const auto path = run(nn::AdamW{.learning_rate = 0.5, .weight_decay = 0.5f}, {0, 0});
  CHECK(path == std::vector<double>{1.5 * 0.75, 1.5 * 0.75 * 0.75});
  const float start = 1.5f;  // falls by the same each time
  CHECK(run(nn::AdamW{.learning_rate = 0.5, .weight_decay = 0.5f}, {0, 0}, &start) ==
        std::vector<double>{1.125, 0.75});
}

TEST_CASE("RMSProp, with and without momentum") {
  const auto gradients = random_gradients(50);
  const double decay = as_float(0.9), epsilon = as_float(1e-8), lr = as_float(0.01);
  for (const float momentum : {0.0f, 0.5f}) {
    double v = 0, u = 0;
    check_paths(
        run(nn::RmsProp{.learning_rate = 0.01, .decay = 0.9f, .momentum = momentum}, gradients),
        [&](double g, double p, int) {
          v = decay * v + (1 - decay) * g * g;
          u = static_cast<double>(momentum) * u + g / (std::sqrt(v) + epsilon);
          return p - lr * u;
        },
        gradients);
  }
  // By hand: v = 3/4 x 16 = 12 after one gradient of 4 with decay 1/4.
  CHECK(run(nn::RmsProp{.learning_rate = 1, .decay = 0.25f}, {4})[0] ==
        Approx(1.5 - 4 / std::sqrt(12.0)).epsilon(1e-6));
}

TEST_CASE("the learning rate is that of the steps taken before") {
  const nn::Schedule rate = nn::Warmup{.steps = 2, .then = {1.0}};
  CHECK(run(nn::Sgd{.learning_rate = rate}, {1, 1, 1}) == std::vector<double>{1.5, 1.0, 0.0});
}

TEST_CASE("a copied state goes on as the original") {
  const nn::Optimizer optimizer = nn::AdamW{.learning_rate = 0.1};
  nn::OptimizerState state = nn::initial_state(optimizer, 2);
  std::vector<float> p{1, 2};
  const std::vector<float> g{0.5f, -1};
  for (int i = 0; i < 3; ++i) nn::update(optimizer, state, g, p);
  nn::OptimizerState snapshot = state;
  std::vector<float> q = p;
  nn::update(optimizer, state, g, p);
  CHECK(p != q);
  nn::update(optimizer, snapshot, g, q);
  CHECK(p == q);
}

TEST_CASE("how many moments are kept") {
  CHECK(nn::moment_count(nn::Sgd{}) == 0);
  CHECK(nn::moment_count(nn::Sgd{.momentum = 0.9f}) == 1);
  CHECK(nn::moment_count(nn::Adam{}) == 2);
  CHECK(nn::moment_count(nn::AdamW{}) == 2);
  CHECK(nn::moment_count(nn::RmsProp{}) == 1);
  CHECK(nn::moment_count(nn::RmsProp{.momentum = 0.9f}) == 2);
  CHECK(nn::initial_state(nn::Adam{}, 5).moments[1].size() == 5);
}

TEST_CASE("clipping by global norm") {
  std::vector<float> g{3, 4};
  CHECK(nn::clip_by_norm(g, 10) == 5);
  CHECK(g == std::vector<float>{3, 4});
  CHECK(nn::clip_by_norm(g, 5) == 5);  // at the border: as it is
  CHECK(g == std::vector<float>{3, 4});
  CHECK(nn::clip_by_norm(g, 1) == 5);
  CHECK(g[0] == Approx(0.6).epsilon(1e-6));
  CHECK(g[1] == Approx(0.8).epsilon(1e-6));
  std::vector<float> huge{1e30f, 1e30f};  // squares overflow float
  CHECK(nn::clip_by_norm(huge, 1) == Approx(std::sqrt(2.0) * 1e30));
  CHECK(nn::norm(huge) == Approx(1).epsilon(1e-6));
  std::vector<float> broken{1, std::numeric_limits<float>::infinity()};
  CHECK(std::isinf(nn::clip_by_norm(broken, 1)));
  CHECK(broken[0] == 1);
  CHECK(nn::norm(std::vector<float>{}) == 0);
}

TEST_CASE("settings out of range are refused") {
  const auto refusal = [](const Optimizer& optimizer) { return error_of([&] { nn::check(optimizer); }); };
  CHECK(refusal(nn::Sgd{}) == "no error");
  CHECK(refusal(nn::AdamW{}) == "no error");
  CHECK_THAT(refusal(nn::Sgd{.momentum = 1}), ContainsSubstring("momentum"));
  CHECK_THAT(refusal(nn::Sgd{.nesterov = true}), ContainsSubstring("nesterov wants a momentum above 0"));
  CHECK_THAT(refusal(nn::Sgd{.learning_rate = -1}), ContainsSubstring("got -1"));
  CHECK_THAT(refusal(nn::Adam{.b1 = -0.1f}), ContainsSubstring("b1"));
  CHECK_THAT(refusal(nn::Adam{.b2 = 1}), ContainsSubstring("b2"));
  CHECK_THAT(refusal(nn::AdamW{.epsilon = 0}), ContainsSubstring("epsilon"));
  CHECK_THAT(refusal(nn::AdamW{.weight_decay = -1}), ContainsSubstring("weight_decay"));
  CHECK_THAT(refusal(nn::AdamW{.weight_decay = std::numeric_limits<float>::quiet_NaN()}),
             ContainsSubstring("weight_decay"));
  CHECK_THAT(refusal(nn::RmsProp{.decay = 1}), ContainsSubstring("decay"));
  CHECK(nn::describe(nn::Optimizer(nn::AdamW{})) == "adamw 0.001");
  CHECK(nn::describe(nn::Optimizer(nn::Sgd{.learning_rate = 0.1, .momentum = 0.9f, .nesterov = true})) ==
        "sgd 0.1 n0.9");
}
