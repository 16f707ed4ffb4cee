// Training steps and evaluation on a CUDA device, timed after their results have been checked against the
// CPU's.
//
//     bench_device [--precision=float32|tf32|bf16] [flags of Google Benchmark]
//
// Steps are those of DeviceTrainer, data and parameters on the device; times are real ones, from the call to
// the losses.
#include <benchmark/benchmark.h>

#include <iostream>
#include <string_view>
#include <thread>

#include "autodiff/kernels/device.h"
#include "bench/networks.h"
#include "nn/device_training.h"

namespace {

using autodiff::fail;
namespace kernels = autodiff::kernels;
constexpr int batch = 128, steps = 64;
// After so many turns all that is recorded has been (nn::Repetition).
constexpr int warm_turns = 6;

struct Data {
  std::vector<std::uint8_t> pixels;
  std::vector<std::int32_t> classes;
  nn::DeviceSamples samples;
  std::vector<kernels::device::Sample> drawn;
};

// Images of random bytes, and which of them the steps take.
Data make_data(const autodiff::Shape& sample, int rows) {
  constexpr std::size_t count = 4096;
  const autodiff::Random random(autodiff::Seed{1});
  std::vector<std::uint8_t> pixels(count * sample.size());
  for (std::size_t i = 0; i < pixels.size(); ++i) pixels[i] = static_cast<std::uint8_t>(random.bits(i));
  std::vector<std::int32_t> classes(count);
  for (std::size_t i = 0; i < count; ++i) classes[i] = static_cast<std::int32_t>(i % 10);
  const int channels = sample.rank() == 3 ? sample[2] : 1;
  std::vector<float> table;
  for (int c = 0; c < channels; ++c) {
    for (int v = 0; v < 256; ++v) table.push_back(static_cast<float>(v) / 255);
  }
  std::vector<kernels::device::Sample> drawn;
  for (std::size_t i = 0; i < static_cast<std::size_t>(steps * rows); ++i) {
    drawn.push_back({.index = static_cast<int>(random.below(i, count))});
  }
  nn::DeviceSamples samples(pixels, sample, table, classes);
  return {std::move(pixels), std::move(classes), std::move(samples), std::move(drawn)};
}

nn::DeviceTrainer trainer_for(const nn::Network& net, int rows) {
  nn::LossGradient gradient(net, nn::CrossEntropy{}, rows, {.compile = {.device = kernels::Device::cuda}});
  return {std::move(gradient), nn::Sgd{.learning_rate = 0.01, .momentum = 0.9f}, {}};
}

void start(nn::DeviceTrainer& trainer, const nn::Network& net) {
  const nn::Parameters params = nn::initialize(net, {1});
  trainer.begin(params.values(),
                nn::initial_state(nn::Sgd{.learning_rate = 0.01, .momentum = 0.9f}, params.size()));
}

void check_losses(const std::string& name, std::span<const float> losses) {
  if (!std::isfinite(losses.back()) || losses.front() == 0) fail(name, ": the losses became ", losses.back());
}

void time_steps(benchmark::State& state, const std::string& name, const nn::Network& net, int rows) {
  const Data data = make_data(nn::input_shape(net), rows);
  nn::DeviceTrainer trainer = trainer_for(net, rows);
  start(trainer, net);
  std::vector<float> losses(steps);
  for (int k = 0; k < warm_turns; ++k) trainer.run(data.samples, data.drawn, 0, losses);
  check_losses(name, losses);
  for (auto _ : state) trainer.run(data.samples, data.drawn, 0, losses);
  state.counters["us_per_step"] = benchmark::Counter(
      1e-6 * steps, benchmark::Counter::kIsIterationInvariantRate | benchmark::Counter::kInvert);
  state.counters["MiB"] = static_cast<double>(trainer.program().workspace_bytes()) / (1 << 20);
}

// `count` candidates, one after the other or side by side.
void time_candidates(benchmark::State& state, const nn::Network& net, int count, bool together) {
  const Data data = make_data(nn::input_shape(net), batch);
  std::vector<nn::DeviceTrainer> trainers;
  std::vector<std::vector<float>> losses(static_cast<std::size_t>(count), std::vector<float>(steps));
  for (int c = 0; c < count; ++c) {
    trainers.push_back(trainer_for(net, batch));
    start(trainers.back(), net);
  }
  const auto run = [&](std::size_t c) { trainers[c].run(data.samples, data.drawn, 0, losses[c]); };
  for (int k = 0; k < warm_turns; ++k) {
    for (std::size_t c = 0; c < trainers.size(); ++c) run(c);
  }
  for (auto _ : state) {
    std::vector<std::thread> threads;
    for (std::size_t c = 0; c < trainers.size(); ++c) {
      if (together) {
        threads.emplace_back([&run, c] { run(c); });
      } else {
        run(c);
      }
    }
    for (std::thread& thread : threads) thread.join();
  }
  if (losses.front() != losses.back()) fail("candidates that are the same have other losses");
  state.counters["us_per_step"] = benchmark::Counter(
      1e-6 * steps * count, benchmark::Counter::kIsIterationInvariantRate | benchmark::Counter::kInvert);
}

nn::Network resnet(int n) {
  return nn::ResNet{.inputs = {32, 32, 3}, .filters = 16, .blocks = {n, n, n}, .classes = 10};
}

// 10,000 images in batches of 1,000; they are on the device as bytes, outputs come back.
void time_evaluation(benchmark::State& state) {
  const nn::Network net = resnet(3);
  const nn::Parameters params = nn::initialize(net, {1});
  const Data data = make_data({32, 32, 3}, batch);
  std::vector<kernels::device::Sample> drawn;
  for (int i = 0; i < 10000; ++i) drawn.push_back({.index = i % 4096});
  std::vector<float> outputs(100000);
  nn::DeviceEvaluator evaluate(net, 1000);
  evaluate.run(params.values(), data.samples, drawn, outputs);
  for (auto _ : state) evaluate.run(params.values(), data.samples, drawn, outputs);
  if (!std::isfinite(outputs.back()) ||
      !std::equal(outputs.begin(), outputs.begin() + 10, outputs.begin() + 40960)) {
    fail("resnet20_eval_10000: the same image has other outputs");
  }
}

}  // namespace

int main(int argc, char** argv) try {
  int kept = 1;
  for (int i = 1; i < argc; ++i) {
    constexpr std::string_view flag = "--precision=";
    const std::string_view argument = argv[i];
    bool known = false;
    for (const auto p : {kernels::Precision::float32, kernels::Precision::tf32, kernels::Precision::bf16}) {
      if (argument.starts_with(flag) && argument.substr(flag.size()) == kernels::name_of(p)) {
        kernels::set_device_precision(p);
        known = true;
      }
    }
    if (!known) argv[kept++] = argv[i];
  }
  argc = kept;
  const kernels::DeviceInfo info = kernels::device_info();
  if (!info.found) fail("bench_device: ", info.reason);
  std::cout << info.name << ", " << info.versions << ", " << kernels::name_of(kernels::device_precision())
            << '\n';
  const auto add = [](const std::string& name, const nn::Network& net, int rows) {
    benchmark::RegisterBenchmark(name.c_str(), [=](benchmark::State& s) { time_steps(s, name, net, rows); })
        ->Unit(benchmark::kMillisecond)
        ->UseRealTime();
  };
  add("resnet8_sgd", resnet(1), batch);
  add("resnet20_sgd", resnet(3), batch);
  add("resnet56_sgd", resnet(9), batch);
  add("mlp_sgd", nn::Mlp{.inputs = {784}, .hidden = {512, 512}, .classes = 10}, batch);
  add("tiny_sgd", nn::Mlp{.inputs = {2}, .hidden = {8}, .classes = 10}, 32);
  for (const bool together : {false, true}) {
    benchmark::RegisterBenchmark(together ? "six_resnet8_together" : "six_resnet8_in_turn",
                                 [=](benchmark::State& s) { time_candidates(s, resnet(1), 6, together); })
        ->Unit(benchmark::kMillisecond)
        ->UseRealTime();
  }
  benchmark::RegisterBenchmark("resnet20_eval_10000", time_evaluation)
      ->Unit(benchmark::kMillisecond)
      ->UseRealTime();
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  benchmark::RunSpecifiedBenchmarks();
  return 0;
} catch (const std::exception& error) {
  std::cerr << error.what() << '\n';
  return 2;
}
