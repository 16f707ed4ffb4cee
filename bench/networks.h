// Rows of bench_steps for whole networks: NAME_sgd and NAME_adamw are training steps at batch 128, NAME_eval
// is evaluation at batch 128, NAME_latency at batch 1.
#pragma once

#include <benchmark/benchmark.h>

#include <chrono>
#include <set>
#include <string>

#include "autodiff/kernels/backend.h"
#include "bench/samples.h"
#include "nn/evaluate.h"
#include "nn/training.h"

namespace bench {

struct Subject {
  std::string name;
  nn::Network net;
  nn::Sgd sgd;      ///< of NAME_sgd
  int checked = 1;  ///< samples of the check: the reference kernels are slow

  int features() const { return static_cast<int>(nn::input_shape(net).size()); }
};

inline constexpr int network_batch = 128;

inline CutBatches batches_for(const Subject& subject, int count) {
  return {count, network_batch, subject.features(), nn::classes(subject.net)};
}

inline autodiff::CompileOptions by_reference() {
  return {.backends = autodiff::kernels::parse_backends("reference")};
}

/// The gradient by the kernels in use against that by the reference kernels.
inline void check_gradient(const Subject& subject) {
  const CutBatches data(1, subject.checked, subject.features(), nn::classes(subject.net));
  const nn::Parameters params = nn::initialize(subject.net, {1});
  const auto gradient = [&](const autodiff::CompileOptions& options) {
    std::vector<float> out(params.size());
    nn::LossGradient gradient_of(subject.net, nn::CrossEntropy{}, subject.checked, {.compile = options});
    gradient_of(params.values(), data.features(0), data.labels(0), out);
    return out;
  };
  want_close(subject.name.c_str(), gradient({}), gradient(by_reference()), 1e-4f);
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
  static std::set<std::string> checked;  // the library calls this again and again to find its iterations
  if (checked.insert(subject.name).second) check_gradient(subject);
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
  const int checked = std::min(samples, subject.checked);
  nn::Evaluator evaluator(subject.net, samples), reference(subject.net, checked, by_reference());
  const auto few = static_cast<std::size_t>(checked * nn::classes(subject.net));
  want_close(subject.name.c_str(), evaluator(params.values(), batch(samples)).first(few),
             reference(params.values(), batch(checked)), 1e-4f);
  evaluator.load(params.values());
  time_program(state, evaluator.program(),
               [&] { benchmark::DoNotOptimize(evaluator(batch(samples)).data()); });
}

inline void register_networks() {
  using namespace nn;
  const Sequential lenet{.inputs = {28, 28, 1},
                         .layers = {Conv2d{}, Relu{}, AvgPool{}, Conv2d{.filters = 64}, Relu{}, AvgPool{},
                                    Flatten{}, Dense{256}, Relu{}, Dense{}},
                         .classes = 10};
  const Sgd plain{.learning_rate = 0.01}, momentum{.learning_rate = 0.01, .momentum = 0.9f};
  const Subject subjects[] = {
      {"mlp", Mlp{.inputs = {784}, .hidden = {512, 512}, .classes = 10}, plain, network_batch},
      {"lenet", lenet, plain, 4},
      {"resnet8", ResNet{.blocks = {1, 1, 1}}, momentum, 4},
      {"resnet20", resnet_cifar(20), momentum, 4}};
  for (const Subject& s : subjects) {
    const auto add = [&](const char* what, auto run, benchmark::TimeUnit unit) {
      benchmark::RegisterBenchmark((s.name + what).c_str(), run)->Unit(unit);
    };
    add(
        "_sgd", [s](benchmark::State& state) { time_training(state, s, s.sgd); }, benchmark::kMillisecond);
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
