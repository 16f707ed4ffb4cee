// What a growth adds learns, unless it was silenced as in the reference.
#include "nn/training.h"
#include "tests/growth_cases.h"

using namespace ev3;
using autodiff::Seed;

namespace {

struct Elements {
  std::vector<std::size_t> old, fresh;  ///< trainable elements of the larger network's block
};

// Which elements a growth adds, by carrying a 1 for every old one.
Elements elements(const GrowthPlan& plan, const nn::Network& net) {
  const std::vector<float> ones(nn::layout(net)->size(), 1.0f);
  const nn::Parameters carried = carry(plan, net, ones);
  Elements out;
  for (const nn::ParameterInfo& info : carried.layout().entries()) {
    if (info.kind == nn::Kind::statistic) continue;
    for (std::size_t i = info.offset; i < info.offset + info.shape.size(); ++i) {
      (carried.values()[i] == 1 ? out.old : out.fresh).push_back(i);
    }
  }
  return out;
}

struct Course {
  nn::Parameters start, end;
  std::vector<bool> had_gradient;  ///< by element: after two steps at the latest
};

// Thirty steps of gradient descent on one batch after a growth. Without norms a ReLU may be closed for the
// whole batch, an honest reason not to learn; weights that are not negative keep all open.
Course train(const GrowthPlan& plan, const nn::Network& net) {
  constexpr int samples = 64;
  Course course{.start = grow(plan, net, nn::initialize(net, {1}), nn::initialize(plan.larger, {2})),
                .end = {},
                .had_gradient = {}};
  if (!nn::has_statistics(net)) {
    for (float& v : course.start.values()) v = std::abs(v);
  }
  course.end = course.start;
  course.had_gradient.resize(course.start.size());
  const std::vector<float> x = tests::normal_samples(net, samples, {3});
  std::vector<std::int32_t> labels(samples);
  const autodiff::Random random(Seed{4});
  for (std::size_t i = 0; i < labels.size(); ++i) {
    labels[i] = static_cast<std::int32_t>(random.below(i, static_cast<std::uint64_t>(nn::classes(net))));
  }
  nn::LossGradient gradient_of(plan.larger, nn::CrossEntropy{}, samples);
  std::vector<float> gradient(course.start.size());
  const nn::Optimizer optimizer = nn::Sgd{.learning_rate = nn::has_statistics(net) ? 0.5 : 0.01};
  nn::OptimizerState state = nn::initial_state(optimizer, gradient.size());
  for (int step = 0; step < 30; ++step) {
    gradient_of(course.end.values(), x, std::span<const std::int32_t>(labels), gradient);
    for (std::size_t i = 0; i < gradient.size(); ++i) {
      if (step <= 2 && gradient[i] != 0) course.had_gradient[i] = true;
    }
    nn::update(optimizer, state, gradient, course.end.values());
    gradient_of.update_statistics(course.end.values());
  }
  return course;
}

struct Share {
  std::size_t with_gradient = 0, moved = 0;
};

Share share(const Course& course, const std::vector<std::size_t>& of) {
  Share out;
  for (const std::size_t i : of) {
    out.with_gradient += course.had_gradient[i];
    out.moved += course.start.values()[i] != course.end.values()[i];
  }
  return out;
}

void check_all_learn(const Growth& growth, const nn::Network& net) {
  const GrowthPlan chosen = plan(growth, net, {});
  INFO(describe(growth) << " of " << nn::describe(net));
  const Elements of = elements(chosen, net);
  REQUIRE(of.fresh.size() + of.old.size() == nn::layout(chosen.larger)->trainable());
  REQUIRE(!of.fresh.empty());
  const Share learn = share(train(chosen, net), of.fresh);
  CHECK(learn.with_gradient == of.fresh.size());
  CHECK(learn.moved == of.fresh.size());
}

const nn::Mlp mlp{.inputs = {6}, .hidden = {8, 7}, .classes = 4};
const nn::Cnn cnn{.inputs = {8, 8, 2}, .stages = {{4}, {4, 5}}, .hidden = {8}, .classes = 4};
const nn::ResNet resnet{.inputs = {8, 8, 2}, .filters = 4, .blocks = {1, 2}, .classes = 4};
const nn::ResNet bottleneck{.inputs = {16, 16, 2},
                            .filters = 3,
                            .blocks = {1, 1},
                            .classes = 4,
                            .form = nn::ResNet::Form::imagenet,
                            .bottleneck = true};

}  // namespace

TEST_CASE("after two steps every new parameter of a widened network has had a gradient, and has moved") {
  check_all_learn(Widen{}, mlp);
  check_all_learn(Widen{}, cnn);
  check_all_learn(Widen{}, resnet);
  check_all_learn(Widen{}, bottleneck);
}

TEST_CASE("a new block of a residual net learns: its last scale first, then the rest of it") {
  check_all_learn(DeepenStage{1}, resnet);
  check_all_learn(DeepenStage{2}, resnet);
  check_all_learn(DeepenAll{}, bottleneck);
}

TEST_CASE("a new layer of an MLP or a CNN learns") {
  for (const int layer : {1, 2}) check_all_learn(Deepen{layer}, mlp);
  for (const int layer : {1, 2, 3, 4}) check_all_learn(Deepen{layer}, cnn);
}

TEST_CASE("new channels whose scale starts at 0 never learn, as in the reference") {
  for (const nn::ResNet& net : {resnet, bottleneck}) {
    const GrowthPlan chosen = plan(Widen{2, NewUnits::scale_zero}, net, {});
    const Course course = train(chosen, net);
    const Elements of = elements(chosen, net);
    REQUIRE(!of.fresh.empty());
    CHECK(share(course, of.fresh).with_gradient == 0);
    CHECK(share(course, of.fresh).moved == 0);
    CHECK(share(course, of.old).moved == of.old.size());  // while all else does
  }
}
