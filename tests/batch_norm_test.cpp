// Batch norm against its formula in double, and folded into the convolution before it.
#include "nn/batch_norm.h"

#include <tuple>

#include "tests/catch.h"
#include "tests/growth_cases.h"

using autodiff::Seed;
using autodiff::Shape;
using autodiff::Value;

namespace {

constexpr int samples = 12, height = 5, width = 6, channels = 3;
constexpr std::size_t per_sample = height * width, rows = samples * per_sample;
constexpr double unit = 0x1p-24;  // of float: a result is rounded by at most this part of itself

struct Result {
  std::vector<float> y, mean, var;  // the statistics are the new ones, in training
};

// The norm of x [samples, height, width, channels] by itself.
Result run(std::span<const float> x, const nn::Parameters& params, bool training) {
  autodiff::Graph graph;
  const Value input = graph.input({samples, height, width, channels}, "x");
  const nn::GraphParameters values(graph, params.layout());
  nn::Pass pass{.training = training};
  std::vector<Value> wanted{nn::batch_norm(input, values, "norm", pass)};
  REQUIRE(pass.statistics.size() == (training ? 2u : 0u));
  for (const auto& [name, value] : pass.statistics) wanted.push_back(value);
  autodiff::Program program = autodiff::compile(graph, wanted);
  program.bind(input, x);
  for (std::size_t i = 0; i < values.values().size(); ++i) {
    program.bind(values.values()[i], params[params.layout().entries()[i].name]);
  }
  program.run();
  const auto vector = [&](std::size_t i) {
    const auto view = program.value(wanted[i]);
    return std::vector<float>(view.data, view.data + view.shape.size());
  };
  if (!training) return {vector(0), {}, {}};
  CHECK(pass.statistics[0].first == "norm.mean");
  CHECK(pass.statistics[1].first == "norm.var");
  return {vector(0), vector(1), vector(2)};
}

nn::Parameters random_norm(Seed seed) {
  auto layout = std::make_shared<nn::Layout>();
  nn::add_batch_norm(*layout, "norm", channels);
  nn::Parameters params(layout);
  for (const char* name : {"norm.scale", "norm.bias", "norm.mean"}) {
    const auto values = tests::normal_values(channels, seed.stream(name));
    std::copy(values.begin(), values.end(), params[name].begin());
  }
  for (float& v : params["norm.var"]) v = 0.5f;
  return params;
}

// x = centre + spread z, rounded to float.
std::vector<float> images(double centre, double spread) {
  std::vector<float> x = tests::normal_values(rows * channels, {5});
  for (float& v : x) v = static_cast<float>(centre + spread * static_cast<double>(v));
  return x;
}

// Moments of a channel, and how far off float may be. A chunk is some of the samples; its mean and variance
// are rounded to float, those of all are put together from them in double and rounded again.
struct Channel {
  double mean = 0, variance = 0;
  double mean_error = 0, variance_error = 0;

  Channel(std::span<const float> x, std::size_t c) {
    const auto at = [&](std::size_t row) { return static_cast<double>(x[row * channels + c]); };
    for (std::size_t r = 0; r < rows; ++r) mean += at(r) / rows;
    double farthest = 0;  // mean of a sample, and so of a chunk
    for (std::size_t s = 0; s < samples; ++s) {
      double own = 0;
      for (std::size_t r = 0; r < per_sample; ++r) own += at(s * per_sample + r) / per_sample;
      farthest = std::max(farthest, std::abs(own - mean));
    }
    for (std::size_t r = 0; r < rows; ++r) variance += (at(r) - mean) * (at(r) - mean) / rows;
    const double rounding = unit * (std::abs(mean) + farthest);
    mean_error = 2 * rounding;
    variance_error = 2 * unit * variance + 2 * farthest * mean_error + mean_error * mean_error;
  }
};

double value(const nn::Parameters& params, const char* name, std::size_t c) {
  return static_cast<double>(params[name][c]);
}

}  // namespace

TEST_CASE("batch norm in training: the moments of the batch, in float as in double") {
  // The last two have lost 4 and 6 of float's 7 digits to the mean; a variance from squares would lose all of
  // them.
  for (const auto& [centre, spread] :
       {std::tuple{0.0, 1.0}, {3.0, 0.1}, {-20.0, 5.0}, {1e4, 1.0}, {-1e4, 0.03}}) {
    INFO("mean " << centre << ", standard deviation " << spread);
    const std::vector<float> x = images(centre, spread);
    const nn::Parameters params = random_norm({1});
    const Result got = run(x, params, true);
    for (std::size_t c = 0; c < channels; ++c) {
      const Channel m(x, c);
      const double want_mean = 0.9 * value(params, "norm.mean", c) + 0.1 * m.mean;
      const double want_var = 0.9 * value(params, "norm.var", c) + 0.1 * m.variance;  // biased
      // 0.9f and 1 - 0.9f are off by up to 4 units, the products and the sum are rounded.
      const double mean_sizes = std::abs(value(params, "norm.mean", c)) + 0.1 * std::abs(m.mean);
      CHECK(std::abs(static_cast<double>(got.mean[c]) - want_mean) <= m.mean_error + 8 * unit * mean_sizes);
      CHECK(std::abs(static_cast<double>(got.var[c]) - want_var) <= m.variance_error + 8 * unit * want_var);

      const double scale = value(params, "norm.scale", c), bias = value(params, "norm.bias", c);
      const double inverse = 1 / std::sqrt(m.variance + 1e-5);
      double worst = 0;  // as a share of the bound
      for (std::size_t r = 0; r < rows; ++r) {
        const double distance = static_cast<double>(x[r * channels + c]) - m.mean;
        const double product = distance * inverse * scale;
        const double bound = std::abs(scale) * inverse * m.mean_error +
                             std::abs(product) * (m.variance_error * inverse * inverse + 8 * unit) +
                             2 * unit * std::abs(bias);
        const double error = std::abs(static_cast<double>(got.y[r * channels + c]) - (product + bias));
        worst = std::max(worst, error / bound);
      }
      CHECK(worst <= 1);
    }
  }
}

TEST_CASE("batch norm in evaluation: the running statistics, whatever the batch") {
  const std::vector<float> x = images(2, 1);
  const nn::Parameters params = random_norm({2});
  const Result got = run(x, params, false);
  for (std::size_t i = 0; i < got.y.size(); ++i) {
    const std::size_t c = i % channels;
    const double distance = static_cast<double>(x[i]) - value(params, "norm.mean", c);
    const double want = distance / std::sqrt(0.5 + 1e-5) * value(params, "norm.scale", c);
    const double bias = value(params, "norm.bias", c);
    // Distance, sum with epsilon, root, quotient, product and sum are rounded.
    REQUIRE(std::abs(static_cast<double>(got.y[i]) - (want + bias)) <=
            8 * unit * (std::abs(want) + std::abs(bias)));
  }
}

TEST_CASE("batch norm of a channel without variance is its bias") {
  const std::vector<float> x(rows * channels, 7.0f);
  const nn::Parameters params = random_norm({3});
  const Result got = run(x, params, true);
  for (std::size_t i = 0; i < got.y.size(); ++i) REQUIRE(got.y[i] == params["norm.bias"][i % channels]);
  for (std::size_t c = 0; c < channels; ++c) CHECK(got.var[c] == Approx(0.9 * 0.5).epsilon(1e-6));
}

TEST_CASE("a norm starts with the scale 1, or 0 where it is told") {
  nn::Layout layout;
  nn::add_batch_norm(layout, "a", 2);
  nn::add_batch_norm(layout, "b", 2, nn::zeros);
  CHECK(layout.size() == 16);
  CHECK(layout.trainable() == 8);
  const nn::Parameters params = nn::initialize(std::make_shared<nn::Layout>(layout), Seed{1});
  CHECK(std::vector<float>(params.values().begin(), params.values().end()) ==
        std::vector<float>{1, 1, 0, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0, 0, 1, 1});
}

TEST_CASE("norms folded into convolutions evaluate to the same, within rounding") {
  // At most 7 pairs of convolution and norm, the longest with sums of 9 x 20 terms: a relative error of some
  // hundred units at the most if all roundings agreed, 1e-5; they do not.
  for (std::uint64_t i = 0; i < 100; ++i) {
    const Seed seed = Seed{21}.stream(i);
    const nn::Network net = tests::random_resnet(autodiff::Random(seed));
    INFO(nn::describe(net) << " of " << nn::input_shape(net));
    const nn::Parameters params = tests::random_parameters(net, seed.stream("params"));
    const std::vector<float> x = tests::normal_samples(net, 4, seed.stream("x"));
    const auto folded = tests::run_forward(net, params, x, {.fold_norms = true});
    const auto plain = tests::run_forward(net, params, x, {.fold_norms = false});
    CHECK(tests::relative_difference(folded.outputs, plain.outputs) <= 1e-5);
    CHECK(folded.params == params);  // evaluation leaves statistics alone
  }
}
