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
#include "bench/networks.h"
#include "bench/tiny_loop.h"
#include "datasets/synthetic.h"
#include "ev3/evolution.h"

namespace {

using autodiff::fail;
using bench::CutBatches;
using bench::want_close;
namespace kernels = autodiff::kernels;

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
  bench::register_networks();
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
