// Parameters that are updated while their gradient is formed: kernels, programs, steps of training.
#include <array>

#include "nn/training.h"
#include "tests/kernel_rows.h"
#include "tests/programs.h"

using namespace tests;

namespace {

/// By plain SGD with a learning rate of -1: what was 0 becomes the gradient.
ParameterUpdate to_gradient(std::vector<float>& parameters) {
  return {.scalars = {.learning_rate = -1}, .arrays = {.p = parameters.data()}};
}

/// loss = sum of (x w1 w2)^2, with products large enough to meet all samples at once.
struct TwoProducts {
  Graph g;
  Value x = g.input({70, 300}, "x"), w1 = g.parameter("w1", {300, 501}), w2 = g.parameter("w2", {501, 603});
  Value y = matmul(tanh(matmul(x, w1)), w2), loss = sum(square(y));
  std::vector<Value> slopes = gradient(loss, std::vector{w1, w2});

  std::vector<float> features = normal(70 * 300, 1), p1 = normal(300 * 501, 2, 0.05),
                     p2 = normal(501 * 603, 3, 0.05);
  Program compiled(int threads, std::vector<Value> outputs) const {
    Program program = compile(g, outputs, {.threads = threads});
    program.bind(x, features);
    program.bind(w1, p1);
    program.bind(w2, p2);
    return program;
  }
};

bool can_update() {
  const bool can =
      default_backends().front() == winograd_backend() && simd_backend() && simd_backend()->matmul_update.run;
  if (!can) WARN("no product of the default backends updates parameters: nothing tested");
  return can;
}

}  // namespace

TEST_CASE(
    "products update parameters with the bits of a product, then an update, for every instruction set") {
  using Kind = UpdateDims::Kind;
  for_each_target([](const Backend& row, const std::string& target) {
    if (!row.matmul_update.run) {
      WARN(target << " has no such product: nothing tested");
      return;
    }
    const UpdateScalars scalars{.learning_rate = 0.3f};
    for (const auto& [m, n, k] : {std::array{32, 144, 64},
                                  {37, 150, 70},
                                  {75, 167, 512},
                                  {48, 176, 130},
                                  {40, 215, 99},
                                  {33, 1024, 128}}) {
      for (const bool transposed : {false, true}) {
        for (const Kind kind : {Kind::sgd, Kind::momentum, Kind::nesterov}) {
          INFO(m << ' ' << n << ' ' << k << ' ' << transposed << ' ' << static_cast<int>(kind));
          const MatmulDims d{m, n, k, transposed, false, 0, 0, n + 5};
          REQUIRE(row.matmul_update.supports(d));
          const auto size = [](int rows, int columns) {
            return static_cast<std::size_t>(rows) * static_cast<std::size_t>(columns);
          };
          const std::size_t all = size(m, n + 5);
          const auto a = normal(size(m, k), 1), b = normal(size(k, n), 2);
          auto v = normal(all, 3), p = normal(all, 4), v_want = v, p_want = p;
          std::vector<float> slope(all);
          row.matmul.run(d, a.data(), b.data(), ScratchFor(row.matmul, d), slope.data());
          UpdateDims dims{.kind = kind, .n = static_cast<std::size_t>(n), .momentum = 0.9f};
          dims.rows = static_cast<std::size_t>(m);
          dims.row = dims.gradient_row = static_cast<std::size_t>(n) + 5;
          update_reference(dims, scalars, slope.data(), {nullptr, v_want.data(), nullptr, p_want.data()});
          const ParameterUpdate update{dims, scalars, {nullptr, v.data(), nullptr, p.data()}};
          row.matmul_update.run(d, a.data(), b.data(), ScratchFor(row.matmul_update, d), &update);
          CHECK(same(p, p_want));
          CHECK(same(v, v_want));
        }
      }
    }
    CHECK_FALSE(row.matmul_update.supports({32, 144, 513}));  // sums are not complete after a tile
    CHECK_FALSE(row.matmul_update.supports({32, 2048, 128}));
    CHECK_FALSE(row.matmul_update.supports({4, 144, 64}));
    CHECK_FALSE(row.matmul_update.supports({32, 144, 64, false, true}));
  });
}

TEST_CASE("outputs update parameters where nobody else wants them, on one thread and on several") {
  if (!can_update()) return;
  TwoProducts t;
  for (const int threads : {1, 2, 4}) {
    CAPTURE(threads);
    Program program = t.compiled(threads, {t.loss, t.slopes[0], t.slopes[1]});
    program.run();
    const auto d1 = output_of(program, t.slopes[0]), d2 = output_of(program, t.slopes[1]);
    const float loss = program.scalar(t.loss);
    CHECK(program.update_by(t.slopes[0], t.w1, 100));
    CHECK(program.updates() == 1);
    CHECK(program.update_by(t.slopes[1], t.w2, 100 + d1.size()));
    CHECK(program.updates() == 2);
    std::vector<float> updated(100 + d1.size() + d2.size()), kept1(d1.size(), 5), kept2(d2.size(), 6);
    program.write_to(t.slopes[0], kept1);
    program.write_to(t.slopes[1], kept2);
    const ParameterUpdate update = to_gradient(updated);
    program.run(update);
    CHECK(program.scalar(t.loss) == loss);
    auto want = d1;
    want.insert(want.begin(), 100, 0.0f);
    want.insert(want.end(), d2.begin(), d2.end());
    CHECK(same(updated, want));
    CHECK((kept1 == std::vector<float>(d1.size(), 5) && kept2 == std::vector<float>(d2.size(), 6)));
    program.run();  // without an update they are stored
    CHECK((same(kept1, d1) && same(kept2, d2)));
    CHECK(same(updated, want));
    Program copy = program;  // has no bindings
    CHECK_THROWS_WITH(copy.run(update), ContainsSubstring("has not been bound"));
  }
}

TEST_CASE("outputs do not update parameters where that would change what others read") {
  if (!can_update()) return;
  TwoProducts t;
  const auto refuses = [&](const std::vector<Value>& outputs, Value output, Value parameter) {
    Program program = t.compiled(1, outputs);
    REQUIRE(!program.plan().updatings.empty());
    const bool refused = !program.update_by(output, parameter, 0);
    program.run();
    const auto want = output_of(program, output);
    std::vector<float> untouched(want.size());
    program.run(to_gradient(untouched));
    return refused && same(output_of(program, output), want) && untouched == std::vector<float>(want.size());
  };
  const Value reads_slope = sum(t.slopes[1]), reads_w2 = matmul(t.slopes[0], t.w2);
  CHECK(refuses({t.slopes[1], reads_slope}, t.slopes[1], t.w2));
  CHECK(refuses({t.slopes[1], t.slopes[1]}, t.slopes[1], t.w2));  // a copy
  CHECK(refuses({t.slopes[1], t.w2}, t.slopes[1], t.w2));         // w2 is copied at the end
  CHECK(refuses({t.slopes[1], reads_w2}, t.slopes[1], t.w2));
  const Value sums = sum(t.y, {.axes = {0}}), bias = t.g.parameter("bias", {603});
  CHECK(refuses({t.slopes[1], sums}, sums, bias));  // no product
  Program program = t.compiled(1, {t.slopes[1]});
  CHECK(program.update_by(t.slopes[1], t.w2, 0));
  CHECK_THROWS_WITH(program.update_by(t.y, t.w2, 0), ContainsSubstring("not one of the 1 outputs"));
  CHECK_THROWS_WITH(program.update_by(t.slopes[1], t.y, 0),
                    ContainsSubstring("want an input or a parameter"));
  CHECK_THROWS_WITH(program.update_by(t.slopes[1], t.w1, 0),
                    ContainsSubstring("want a parameter of 302103 floats, got [300, 501]"));
  std::vector<float> any(t.p2.size());
  ParameterUpdate with_division = to_gradient(any);
  with_division.dims.kind = UpdateDims::Kind::adamw;
  CHECK_THROWS_WITH(program.run(with_division), ContainsSubstring("without a division"));
  // What depends on parameters alone would be old after an update.
  const Value slope = gradient(sum(matmul(tanh(matmul(t.x, tanh(t.w1))), t.w2)), t.w1);
  Program stays = compile(t.g, {slope}, {.parameters_stay = true});
  REQUIRE(stays.plan().fixed_stages > 0);
  CHECK_FALSE(stays.update_by(slope, t.w1, 0));
}

namespace {

struct Lesson {
  nn::Network net;
  nn::Optimizer optimizer = nn::Sgd{};
  std::optional<double> clip_norm = {};
  bool decays_from_start = false;
  std::size_t updates = 0;  ///< weights that are updated while their gradient is formed, where that can be
};

/// Steps have the bits of gradient, clip_by_norm(), update() and update_statistics().
void check_steps(const Lesson& lesson) {
  using namespace nn;
  constexpr int batch = 70, steps = 3;
  const auto features = normal(batch * input_shape(lesson.net).size(), 1);
  std::vector<std::int32_t> classes(batch);
  for (std::size_t i = 0; i < classes.size(); ++i) classes[i] = static_cast<std::int32_t>(i % 10);
  const std::span<const std::int32_t> labels = classes;
  const Parameters start = initialize(lesson.net, {1});
  const auto decay_from = [&](Parameters& p) {
    return std::span<const float>(lesson.decays_from_start ? start.values() : p.values());
  };
  Parameters want = start;
  OptimizerState want_state = initial_state(lesson.optimizer, want.size());
  std::vector<float> slope(want.size()), losses;
  LossGradient plain(lesson.net, CrossEntropy{}, batch, {.compile = {.threads = 1}});
  for (int t = 0; t < steps; ++t) {
    losses.push_back(plain(want.values(), features, labels, slope, {.seed = {4}, .step = t}));
    if (lesson.clip_norm) clip_by_norm(slope, *lesson.clip_norm);
    update(lesson.optimizer, want_state, slope, decay_from(want), want.values());
    plain.update_statistics(want.values());
  }
  for (const int threads : {1, 2}) {
    LossGradient first(lesson.net, CrossEntropy{}, batch, {.compile = {.threads = threads}});
    Parameters p = start;
    OptimizerState state = initial_state(lesson.optimizer, p.size());
    const Update what{.optimizer = lesson.optimizer,
                      .state = state,
                      .parameters = p.values(),
                      .decay_from = lesson.decays_from_start ? decay_from(p) : std::span<const float>{},
                      .clip_norm = lesson.clip_norm};
    CHECK(first.step(what, features, labels, {.seed = {4}, .step = 0}) == losses[0]);
    CHECK(first.program().updates() == (can_update() ? lesson.updates : 0));
    LossGradient second = first;  // goes on
    CHECK(second.step(what, features, labels, {.seed = {4}, .step = 1}) == losses[1]);
    first(p.values(), features, labels, slope);  // changes nothing
    CHECK(first.step(what, features, labels, {.seed = {4}, .step = 2}) == losses[2]);
    CHECK(state.step == steps);
    CHECK(std::ranges::equal(p.values(), want.values()));
    for (std::size_t i = 0; i < state.moments.size(); ++i) {
      const auto view = [](const AlignedBuffer<float>& x) { return std::span(x.data(), x.size()); };
      CHECK(std::ranges::equal(view(state.moments[i]), view(want_state.moments[i])));
    }
  }
}

}  // namespace

TEST_CASE("a step of training has the bits of its parts, one after the other") {
  using namespace nn;
  const Network mlp = Mlp{.inputs = {300}, .hidden = {501, 403}, .classes = 10};
  const std::vector<Optimizer> all{Sgd{.learning_rate = 0.1},
                                   Sgd{.learning_rate = 0.1, .momentum = 0.9f},
                                   Sgd{.learning_rate = 0.1, .momentum = 0.9f, .nesterov = true},
                                   Adam{},
                                   AdamW{.weight_decay = 0.5f},
                                   RmsProp{},
                                   RmsProp{.momentum = 0.5f}};
  for (const Optimizer& optimizer : all) {
    INFO(describe(optimizer));
    check_steps({.net = mlp, .optimizer = optimizer, .updates = 2});
  }
  check_steps({.net = mlp, .clip_norm = 1e-3, .updates = 2});
  check_steps(
      {.net = mlp, .optimizer = AdamW{.weight_decay = 0.5f}, .decays_from_start = true, .updates = 2});
  // With statistics, whose gradient is zero, among the parameters, and masks.
  const Network others =
      Sequential{.inputs = {300},
                 .layers = {Dense{501}, BatchNorm{}, Relu{}, Dropout{0.2}, Dense{403}, Relu{}, Dense{}},
                 .classes = 10};
  check_steps({.net = others, .optimizer = Sgd{.learning_rate = 0.1, .momentum = 0.9f}, .updates = 2});
  // Small weights, and filters, are formed chunk by chunk.
  check_steps({.net = Mlp{.inputs = {40}, .hidden = {30}, .classes = 10}});
  check_steps({.net = ResNet{.inputs = {8, 8, 3}, .blocks = {1}, .classes = 10}});
}
