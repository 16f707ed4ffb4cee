// Training steps and a round of EV3, timed after their results have been checked.
//
//     bench_steps [--threads=N] [flags of Google Benchmark]
//
// N is 1 unless told otherwise. `tiny_loop` is the same step as `tiny_sgd`, written out for this one task.
#include <benchmark/benchmark.h>

#include <charconv>
#include <cmath>
#include <iostream>
#include <string_view>

#include "autodiff/kernels/cpu.h"
#include "bench/tiny_loop.h"
#include "datasets/synthetic.h"
#include "ev3/evolution.h"
#include "nn/evaluate.h"

namespace {

using autodiff::fail;
namespace kernels = autodiff::kernels;

// Samples cut into batches beforehand, so that a new batch costs a step and a loop the same: nothing.
class CutBatches {
 public:
  CutBatches(int count, int batch, int features, int classes)
      : count_(static_cast<std::size_t>(count)),
        batch_(static_cast<std::size_t>(batch)),
        features_(static_cast<std::size_t>(features)),
        x_(count_ * batch_ * features_),
        y_(count_ * batch_) {
    const autodiff::Random random(autodiff::Seed{1});
    for (std::size_t i = 0; i < x_.size(); ++i) x_[i] = static_cast<float>(random.normal(i));
    for (std::size_t i = 0; i < y_.size(); ++i) {
      y_[i] = x_[i * features_] + x_[i * features_ + 1] > 0
                  ? 0
                  : 1 + static_cast<int>(i % static_cast<std::size_t>(classes - 1));
    }
  }
  std::span<const float> features(std::size_t k) const {
    return std::span(x_).subspan(k % count_ * batch_ * features_, batch_ * features_);
  }
  std::span<const std::int32_t> labels(std::size_t k) const {
    return std::span(y_).subspan(k % count_ * batch_, batch_);
  }

 private:
  std::size_t count_, batch_, features_;
  std::vector<float> x_;
  std::vector<std::int32_t> y_;
};

// Throws Error unless max |got - want| <= tolerance x max |want|.
void want_close(const char* what, std::span<const float> got, std::span<const float> want, float tolerance) {
  float difference = 0, scale = 0;
  for (std::size_t i = 0; i < want.size(); ++i) {
    difference = std::max(difference, std::abs(got[i] - want[i]));
    scale = std::max(scale, std::abs(want[i]));
  }
  if (got.size() != want.size() || !(difference <= tolerance * scale)) {
    fail(what, ": wrong result, ", difference, " off where the greatest is ", scale);
  }
}

// The tiny task: 2-8-2, batches of 32, everything in the first-level cache or next to it.
const nn::Network tiny_net =
    nn::Mlp{.inputs = {tiny::inputs}, .hidden = {tiny::hidden}, .classes = tiny::classes};

const CutBatches& tiny_batches() {
  static const CutBatches batches(1024, tiny::batch, tiny::inputs, tiny::classes);
  return batches;
}

tiny::Net tiny_start() {
  tiny::Net net{};
  const nn::Parameters params = nn::initialize(tiny_net, {1});
  std::copy(params.values().begin(), params.values().end(), net.values());
  return net;
}

// Steps of the library from the start of the tiny task, and of `loop` (k, net), must agree.
template <class Loop>
void check_tiny(const char* name, const nn::Optimizer& optimizer, const Loop& loop) {
  nn::TrainingStep step(tiny_net, nn::CrossEntropy{}, optimizer, {.batch = tiny::batch});
  nn::Parameters params = nn::initialize(tiny_net, {1});
  tiny::Net net = tiny_start();
  for (std::size_t k = 0; k < 100; ++k) {
    step.run(params, tiny_batches().features(k), tiny_batches().labels(k));
    loop(k, net);
  }
  want_close(name, params.values(), {net.values(), tiny::Net::size}, 1e-4f);
}

void time_tiny(benchmark::State& state, const nn::Optimizer& optimizer) {
  nn::TrainingStep step(tiny_net, nn::CrossEntropy{}, optimizer, {.batch = tiny::batch});
  nn::Parameters params = nn::initialize(tiny_net, {1});
  std::size_t k = 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(step.run(params, tiny_batches().features(k), tiny_batches().labels(k)));
    ++k;
  }
}

void tiny_loop(benchmark::State& state) {
  tiny::Net net = tiny_start();
  std::size_t k = 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(
        tiny::step(net, tiny_batches().features(k).data(), tiny_batches().labels(k).data(), 0.1f));
    ++k;
  }
}
BENCHMARK(tiny_loop);

void tiny_sgd(benchmark::State& state) {
  check_tiny("tiny_sgd", nn::Sgd{.learning_rate = 0.1}, [](std::size_t k, tiny::Net& net) {
    tiny::step(net, tiny_batches().features(k).data(), tiny_batches().labels(k).data(), 0.1f);
  });
  time_tiny(state, nn::Sgd{.learning_rate = 0.1});
}
BENCHMARK(tiny_sgd);

void tiny_adamw(benchmark::State& state) {
  tiny::Net m{}, v{};
  check_tiny("tiny_adamw", nn::AdamW{.learning_rate = 0.01}, [&](std::size_t k, tiny::Net& net) {
    tiny::Net g;
    tiny::gradient(net, tiny_batches().features(k).data(), tiny_batches().labels(k).data(), g);
    const auto t = static_cast<float>(k + 1);
    for (int i = 0; i < tiny::Net::size; ++i) {
      float &mi = m.values()[i], &vi = v.values()[i], &p = net.values()[i];
      const float gi = g.values()[i];
      mi = 0.9f * mi + 0.1f * gi;
      vi = 0.999f * vi + 0.001f * gi * gi;
      const float m_hat = mi / (1 - std::pow(0.9f, t)), v_hat = vi / (1 - std::pow(0.999f, t));
      p -= 0.01f * (m_hat / (std::sqrt(v_hat) + 1e-8f) + 1e-4f * p);
    }
  });
  time_tiny(state, nn::AdamW{.learning_rate = 0.01});
}
BENCHMARK(tiny_adamw);

// A perceptron of the size of MNIST.
const nn::Network mlp = nn::Mlp{.inputs = {784}, .hidden = {512, 512}, .classes = 10};
constexpr int mlp_batch = 128;

const CutBatches& mlp_batches() {
  static const CutBatches batches(16, mlp_batch, 784, 10);
  return batches;
}

// The gradient by the kernels in use against that by the reference kernels, once.
void check_mlp() {
  static const bool checked = [] {
    const nn::Parameters params = nn::initialize(mlp, {1});
    std::vector<float> got(params.size()), want(params.size());
    const auto gradient = [&](std::vector<float>& out, const autodiff::CompileOptions& options) {
      nn::LossGradient gradient_of(mlp, nn::CrossEntropy{}, mlp_batch, {.compile = options});
      gradient_of(params.values(), mlp_batches().features(0), mlp_batches().labels(0), out);
    };
    gradient(got, {});
    gradient(want, {.backends = kernels::parse_backends("reference")});
    want_close("mlp", got, want, 1e-4f);
    return true;
  }();
  benchmark::DoNotOptimize(checked);
}

void time_mlp(benchmark::State& state, const nn::Optimizer& optimizer) {
  check_mlp();
  nn::TrainingStep step(mlp, nn::CrossEntropy{}, optimizer, {.batch = mlp_batch});
  nn::Parameters params = nn::initialize(mlp, {1});
  std::size_t k = 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(step.run(params, mlp_batches().features(k), mlp_batches().labels(k)));
    ++k;
  }
  state.counters["FLOP/s"] =
      benchmark::Counter(step.program().flops(), benchmark::Counter::kIsIterationInvariantRate);
}

void mlp_sgd(benchmark::State& state) { time_mlp(state, nn::Sgd{.learning_rate = 0.01}); }
BENCHMARK(mlp_sgd)->Unit(benchmark::kMillisecond);

void mlp_adamw(benchmark::State& state) { time_mlp(state, nn::AdamW{}); }
BENCHMARK(mlp_adamw)->Unit(benchmark::kMillisecond);

void mlp_latency(benchmark::State& state) {
  const nn::Parameters params = nn::initialize(mlp, {1});
  const auto sample = [](std::size_t k) { return mlp_batches().features(k).first(784); };
  nn::Evaluator evaluator(mlp, 1), reference(mlp, 1, {.backends = kernels::parse_backends("reference")});
  want_close("mlp_latency", evaluator(params.values(), sample(0)), reference(params.values(), sample(0)),
             1e-4f);
  std::size_t k = 0;
  for (auto _ : state) benchmark::DoNotOptimize(evaluator(params.values(), sample(k++)).data());
  state.counters["FLOP/s"] =
      benchmark::Counter(evaluator.program().flops(), benchmark::Counter::kIsIterationInvariantRate);
}
BENCHMARK(mlp_latency)->Unit(benchmark::kMicrosecond);

// A round of the reference's end-to-end check: 6 candidates of 100 steps, each on a batch that is drawn from
// 100,000 samples, assessed on 128 and decided on 2,048 samples. Compiling is done before, once.
void ev3_demo_round(benchmark::State& state) {
  const datasets::Dataset data = datasets::gaussian();
  const ev3::Settings settings{
      .model = nn::two_layer_perceptron(2, 2),
      .losses = {nn::CrossEntropy{{0.5f}}, nn::CrossEntropy{{1.0f}}, nn::CrossEntropy{{1.5f}}},
      .optimizers = {nn::Sgd{.learning_rate = 0.1}, nn::Sgd{.learning_rate = 0.01, .momentum = 0.95f}},
      .explore = {.trajectory_length = 100},
      .assess = {.batches = 4, .alpha = 0.5},
      .adapt = {.batches = 64, .alpha = 4}};
  ev3::Evolution evolution(settings, ev3::Pools{data, data, data, 32});
  const ev3::EvolutionState start = evolution.state();
  const ev3::StepRecord first = evolution.step();
  const nn::Parameters stable = evolution.stable();
  if (!first.adapt.significant || first.adapt.bounds[0].mean < 0.9)
    fail("ev3_demo_round: learned nothing: ", first);
  for (auto _ : state) {
    state.PauseTiming();
    evolution.restore(start);
    state.ResumeTiming();
    benchmark::DoNotOptimize(evolution.step());
  }
  if (!(evolution.stable() == stable)) fail("ev3_demo_round: the same round gave another model");
}
BENCHMARK(ev3_demo_round)->Unit(benchmark::kMillisecond);

// Takes --threads=N out of the arguments.
int threads_from(int& argc, char** argv) {
  int threads = 1, kept = 1;
  for (int i = 1; i < argc; ++i) {
    constexpr std::string_view flag = "--threads=";
    const std::string_view argument = argv[i];
    if (!argument.starts_with(flag)) {
      argv[kept++] = argv[i];
      continue;
    }
    const char* const end = argument.data() + argument.size();
    const auto [read, error] = std::from_chars(argument.data() + flag.size(), end, threads);
    if (error != std::errc() || read != end || threads < 1)
      fail("want --threads=N with N of at least 1, got ", argument);
  }
  argc = kept;
  return threads;
}

}  // namespace

int main(int argc, char** argv) try {
  kernels::set_threads(threads_from(argc, argv));
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  benchmark::AddCustomContext("backends", kernels::describe(kernels::default_backends()));
  benchmark::AddCustomContext("cpu", kernels::cpu_name() + ": " + kernels::cpu_features());
  benchmark::AddCustomContext("simd target", kernels::simd_target());
  benchmark::AddCustomContext("BLAS core", kernels::blas_info().core);
  benchmark::AddCustomContext("threads", std::to_string(kernels::threads()));
  benchmark::RunSpecifiedBenchmarks();
  return 0;
} catch (const autodiff::Error& error) {
  std::cerr << error.what() << '\n';
  return 2;
}
