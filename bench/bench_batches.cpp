// What a batch of 128 CIFAR images costs: bytes to numbers, with and without crops and flips, against copying
// floats. Validated before it is timed: every batch is read twice, the second time in another order.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <iostream>
#include <memory>

#include "autodiff/tensor/error.h"
#include "datasets/sample_reader.h"
#include "datasets/stream.h"

namespace {

using namespace datasets;

constexpr int images = 10000, batch = 128;

std::shared_ptr<const Dataset> bytes() {
  Dataset data{.name = "noise",
               .labels = autodiff::Labels(autodiff::Shape{images}),
               .classes = 1,
               .pixels = Pixels({images, 32, 32, 3}),
               .scaling = cifar10_scaling()};
  std::uint32_t state = 1;
  for (std::uint8_t& pixel : data.pixels)
    pixel = static_cast<std::uint8_t>((state = state * 1664525 + 1013904223) >> 24);
  return std::make_shared<const Dataset>(std::move(data));
}

std::shared_ptr<const Dataset> floats() {
  const auto from = bytes();
  Dataset data{
      .name = "noise", .features = autodiff::Tensor(from->shape()), .labels = from->labels, .classes = 1};
  const SampleReader reader(*from);
  for (std::size_t i = 0; i < images; ++i) reader.read(i, data.features.data() + i * 3072);
  return std::make_shared<const Dataset>(std::move(data));
}

void read(benchmark::State& state, const std::shared_ptr<const Dataset>& data,
          const Augmentation& augmentation) {
  const Stream stream(data, {.batch = batch, .seed = 1, .augmentation = augmentation});
  const Batch first = stream[0];
  Batch buffer = stream[1];
  stream.read(0, buffer);
  if (!std::equal(first.features.begin(), first.features.end(), buffer.features.begin())) {
    autodiff::fail("batch 0 is not the same when it is read again");
  }
  std::int64_t k = 0;
  for (auto _ : state) {
    stream.read(k++ % 1000, buffer);
    benchmark::DoNotOptimize(buffer.features.data());
  }
  state.SetBytesProcessed(state.iterations() *
                          static_cast<std::int64_t>(buffer.features.size() * sizeof(float)));
}

void bytes_as_they_are(benchmark::State& state) { read(state, bytes(), {}); }
void bytes_cropped_and_flipped(benchmark::State& state) { read(state, bytes(), {.pad = 4, .flip = true}); }
void floats_as_they_are(benchmark::State& state) { read(state, floats(), {}); }

BENCHMARK(bytes_as_they_are)->Unit(benchmark::kMicrosecond);
BENCHMARK(bytes_cropped_and_flipped)->Unit(benchmark::kMicrosecond);
BENCHMARK(floats_as_they_are)->Unit(benchmark::kMicrosecond);

}  // namespace

int main(int argc, char** argv) try {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  benchmark::RunSpecifiedBenchmarks();
  return 0;
} catch (const autodiff::Error& error) {
  std::cerr << error.what() << '\n';
  return 2;
}
