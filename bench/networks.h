// Rows of bench_steps for whole networks: NAME_sgd and NAME_adamw are training steps at batch 128, NAME_eval
// is evaluation at batch 128, NAME_latency at batch 1.
#pragma once

#include <benchmark/benchmark.h>

#include <chrono>
#include <string>

#include "autodiff/kernels/backend.h"
#include "bench/samples.h"
#include "nn/evaluate.h"
#include "nn/training.h"

namespace bench {

struct Subject {
  std::string name;
  nn::Network net;

  int features() const { return static_cast<int>(nn::input_shape(net).size()); }
};

inline constexpr int network_batch = 128;

inline CutBatches batches_for(const Subject& subject, int count) {
  return {count, network_batch, subject.features(), nn::classes(subject.net)};
}

inline autodiff::CompileOptions by_reference() {
  return {.backends = autodiff::kernels::parse_backends("reference")};
}

/// The gradient by the kernels in use against that by the reference kernels. On few samples: those are slow.
inline void check_gradient(const Subject& subject) {
  constexpr int samples = 4;
  const CutBatches data(1, samples, subject.features(), nn::classes(subject.net));
  const nn::Parameters params = nn::initialize(subject.net, {1});
  const auto gradient = [&](const autodiff::CompileOptions& options) {
    std::vector<float> out(params.size());
    nn::LossGradient gradient_of(subject.net, nn::CrossEntropy{}, samples, {.compile = options});
    gradient_of(params.values(), data.features(0), data.labels(0), out);
    return out;
  };
  want_close(subject.name.c_str(), gradient({}), gradient(by_reference()), 1e-3f);
}

/// Runs `work` as the benchmark, and counts FLOP/s of real time: with threads, processor time says little.
template <class Work>
void time_program(benchmark::State& state, const autodiff::Program& program, const Work& work) {
  const auto start = std::chrono::steady_clock::now();
  for (auto _ : state) work();
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  state.counters["FLOP/s"] = program.flops() * static_cast<double>(state.iterations()) / seconds.count();
}

inline void time_training(benchmark::State& state, const Subject& subject, const nn::Optimizer& optimizer) {
  check_gradient(subject);
  const CutBatches data = batches_for(subject, 16);
  nn::TrainingStep step(subject.net, nn::CrossEntropy{}, optimizer, {.batch = network_batch});
  nn::Parameters params = nn::initialize(subject.net, {1});
  std::size_t k = 0;
  float loss = 0;
  time_program(state, step.program(), [&] {
    loss = step.run(params, data.features(k), data.labels(k));
    ++k;
  });
  if (!std::isfinite(loss)) autodiff::fail(subject.name, ": the loss became ", loss);
}

inline void time_evaluation(benchmark::State& state, const Subject& subject, int samples) {
  const CutBatches data = batches_for(subject, 1);
  const nn::Parameters params = nn::initialize(subject.net, {1});
  const auto batch = [&](int count) {
    return data.features(0).first(static_cast<std::size_t>(count * subject.features()));
  };
  nn::Evaluator evaluator(subject.net, samples);
  const int checked = std::min(samples, 4);
  nn::Evaluator few(subject.net, checked), reference(subject.net, checked, by_reference());
  want_close(subject.name.c_str(), few(params.values(), batch(checked)),
             reference(params.values(), batch(checked)), 1e-4f);
  time_program(state, evaluator.program(),
               [&] { benchmark::DoNotOptimize(evaluator(params.values(), batch(samples)).data()); });
}

inline void register_networks() {
  using namespace nn;
  const Sequential lenet{.inputs = {28, 28, 1},
                         .layers = {Conv2d{}, Relu{}, AvgPool{}, Conv2d{.filters = 64}, Relu{}, AvgPool{},
                                    Flatten{}, Dense{256}, Relu{}, Dense{}},
                         .classes = 10};
  const Subject subjects[] = {{"mlp", Mlp{.inputs = {784}, .hidden = {512, 512}, .classes = 10}},
                              {"lenet", lenet},
                              {"resnet8", ResNet{.blocks = {1, 1, 1}}},
                              {"resnet20", resnet_cifar(20)}};
  for (const Subject& s : subjects) {
    const auto add = [&](const char* what, auto run, benchmark::TimeUnit unit) {
      benchmark::RegisterBenchmark((s.name + what).c_str(), run)->Unit(unit);
    };
    const Sgd sgd{.learning_rate = 0.01, .momentum = 0.9f};
    add(
        "_sgd", [s, sgd](benchmark::State& state) { time_training(state, s, sgd); }, benchmark::kMillisecond);
    add(
        "_adamw", [s](benchmark::State& state) { time_training(state, s, AdamW{}); },
        benchmark::kMillisecond);
    add(
        "_eval", [s](benchmark::State& state) { time_evaluation(state, s, network_batch); },
        benchmark::kMillisecond);
    add(
        "_latency", [s](benchmark::State& state) { time_evaluation(state, s, 1); }, benchmark::kMicrosecond);
  }
}

}  // namespace bench
