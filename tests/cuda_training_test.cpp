// Training on a CUDA device against the CPU: what a device is told of optimizers and batches, the batches it
// gathers, and trajectories of explore.
#include <cstring>

#include "autodiff/kernels/cuda/chain_patterns.h"
#include "autodiff/kernels/device.h"
#include "datasets/digits.h"
#include "datasets/stream.h"
#include "ev3/device_samples.h"
#include "ev3/explore.h"
#include "nn/device_training.h"
#include "nn/resnet.h"
#include "tests/catch.h"
#include "tests/device.h"
#include "tests/synthetic_batches.h"

using namespace autodiff;
using namespace tests;

// The formulas that both share, with the scalars that a device is sent, on the CPU.
TEST_CASE("what a device is told of an optimizer gives the same bits as the optimizer") {
  const nn::Optimizer all[] = {
      nn::Sgd{.learning_rate = 0.1},
      nn::Sgd{.learning_rate = 0.1, .momentum = 0.9f},
      nn::Sgd{.learning_rate = nn::Cosine{.initial = 0.1, .steps = 5}, .momentum = 0.9f, .nesterov = true},
      nn::Adam{.learning_rate = 0.01},
      nn::AdamW{.learning_rate = 0.01, .weight_decay = 0.1f},
      nn::RmsProp{.learning_rate = 0.01},
      nn::RmsProp{.learning_rate = 0.01, .momentum = 0.5f}};
  constexpr std::size_t n = 37;
  for (const nn::Optimizer& optimizer : all) {
    INFO(nn::describe(optimizer));
    nn::OptimizerState state = nn::initial_state(optimizer, n);
    std::vector<float> p = random_floats(n, 1), q = p, m(n), v(n);
    for (int t = 0; t < 4; ++t) {
      const std::vector<float> g = random_floats(n, static_cast<std::uint64_t>(10 + t));
      const kernels::UpdateDims d = nn::update_dims(optimizer, n);
      const kernels::UpdateScalars s = nn::update_scalars(optimizer, state.step);
      nn::update(optimizer, state, g, p);
      for (std::size_t i = 0; i < n; ++i) {
        kernels::update_element(d, s, i, g.data(), {q.data(), m.data(), v.data(), q.data()});
      }
      CHECK(p == q);
    }
  }
}

TEST_CASE("a stream tells how its batches are drawn") {
  const datasets::Dataset data = datasets::digits();
  const datasets::Stream stream(data, {.batch = 50, .seed = 3, .augmentation = {.pad = 2, .flip = true}});
  for (const std::int64_t k : {0, 40}) {
    const auto draws = stream.draws(k);
    const auto indices = stream.indices(k);
    const datasets::Batch batch = stream[k];
    const datasets::SampleReader reader(data);
    std::vector<float> one(reader.sample().size());
    REQUIRE(draws.size() == 50);
    for (std::size_t i = 0; i < draws.size(); ++i) {
      CHECK(static_cast<int>(draws[i].sample) == indices[i]);
      reader.read(draws[i].sample, draws[i].placed, one.data());
      CHECK(std::memcmp(one.data(), batch.features.data() + i * one.size(), one.size() * sizeof(float)) == 0);
    }
  }
}

TEST_CASE("batches gathered on the device are those of the CPU, bit for bit") {
  if (no_device("batches")) return;
  const datasets::Dataset bytes = [] {
    datasets::Dataset d{.name = "noise", .classes = 4};
    d.pixels = datasets::Pixels(Shape{40, 6, 5, 3});
    d.labels = Labels({40});
    const Random random{Seed{5}};
    for (std::size_t i = 0; i < d.pixels.size(); ++i)
      d.pixels[i] = static_cast<std::uint8_t>(random.below(i, 256));
    for (std::size_t i = 0; i < 40; ++i) d.labels[i] = static_cast<std::int32_t>(i % 4);
    d.scaling = datasets::cifar10_scaling();
    return d;
  }();
  const datasets::Stream stream(bytes, {.batch = 16, .seed = 2, .augmentation = {.pad = 2, .flip = true}});
  std::vector<kernels::device::Sample> drawn;
  ev3::add_draws(stream, 0, 3, drawn);
  const std::vector<float> table = datasets::byte_table(bytes.scaling, 3, bytes.name);
  kernels::DeviceStream work;
  kernels::DeviceMemory pixels(bytes.pixels.size()), values(table.size() * 4),
      samples(drawn.size() * sizeof(drawn[0])), step(sizeof(int)), out(std::size_t{16} * 90 * 4),
      classes(bytes.labels.size() * 4), labels(std::size_t{16} * 4);
  work.to_device(classes.data(), bytes.labels.data(), classes.size());
  work.to_device(pixels.data(), bytes.pixels.data(), pixels.size());
  work.to_device(values.data(), table.data(), values.size());
  work.to_device(samples.data(), drawn.data(), samples.size());
  for (int k = 0; k < 3; ++k) {
    work.to_device(step.data(), &k, sizeof k);
    work.enqueue([&] {
      kernels::device::gather_images(
          {.pixels = reinterpret_cast<const unsigned char*>(pixels.data()),
           .table = reinterpret_cast<const float*>(values.data()),
           .height = 6,
           .width = 5,
           .channels = 3},
          {reinterpret_cast<const kernels::device::Sample*>(samples.data()),
           reinterpret_cast<const int*>(step.data()), 16},
          reinterpret_cast<float*>(out.data()),
          {reinterpret_cast<const int*>(classes.data()), reinterpret_cast<int*>(labels.data())});
    });
    std::vector<float> got(std::size_t{16} * 90);
    work.to_host(got.data(), out.data(), out.size());
    std::vector<std::int32_t> got_labels(16);
    work.to_host(got_labels.data(), labels.data(), labels.size());
    const datasets::Batch want = stream[k];
    CHECK(std::memcmp(got_labels.data(), want.labels.data(), labels.size()) == 0);
    CHECK(std::memcmp(got.data(), want.features.data(), out.size()) == 0);
  }
}

// Trajectories of explore: gathered on the device and read on the host, by the device and by the CPU.
TEST_CASE("trajectories on the device are those of the CPU within rounding, and twice the same bytes") {
  if (no_device("trajectories")) return;
  const std::vector<nn::Loss> losses{nn::CrossEntropy{{0.5f}}, nn::CrossEntropy{{2.0f}}};
  const std::vector<nn::Optimizer> optimizers{nn::Sgd{.learning_rate = 0.05, .momentum = 0.9f},
                                              nn::AdamW{.learning_rate = 0.001}};
  ev3::Model model;
  model.network = nn::Mlp{.inputs = {64}, .hidden = {24}, .classes = 10};
  model.params = model.stable = nn::initialize(model.network, Seed{1});
  const ev3::PoolBatches drawn(datasets::Stream(datasets::digits(), {.batch = 32, .seed = 1}));
  const SyntheticBatches read({.features = 64, .classes = 10, .batch = 32});
  for (const ev3::Batches* batches :
       {static_cast<const ev3::Batches*>(&drawn), static_cast<const ev3::Batches*>(&read)}) {
    const auto explore = [&] {
      ev3::Explorer explorer(losses, optimizers, {.trajectory_length = 20, .clip_norm = 1.0});
      auto first = explorer.explore(model, *batches, 0);
      auto second = explorer.explore(model, *batches, 160);
      first.insert(first.end(), second.begin(), second.end());
      return first;
    };
    const auto cpu = explore();
    const OnDevice guard;
    const auto one = explore(), two = explore();
    REQUIRE(one.size() == cpu.size());
    for (std::size_t c = 0; c < cpu.size(); ++c) {
      INFO("candidate " << c);
      CHECK(distance(one[c].losses, cpu[c].losses) < 1e-4);
      CHECK(distance(one[c].params.values(), cpu[c].params.values()) < 1e-3);
      CHECK(one[c].params == two[c].params);
      CHECK(one[c].losses == two[c].losses);
    }
  }
}

TEST_CASE("residual nets and perceptrons are trained without chains that are interpreted") {
  if (no_device("chains")) return;
  const auto resnet = [](int n) {
    return nn::ResNet{.inputs = {32, 32, 3}, .filters = 16, .blocks = {n, n, n}, .classes = 10};
  };
  const nn::Network networks[] = {resnet(1), resnet(2), resnet(3),
                                  nn::Mlp{.inputs = {784}, .hidden = {64, 64}, .classes = 10}};
  for (const nn::Network& net : networks) {
    const nn::LossGradient gradient(net, nn::CrossEntropy{}, 2,
                                    {.compile = {.device = kernels::Device::cuda}});
    int chains = 0;
    for (const Stage& stage : gradient.program().plan().stages) {
      for (const Step& step : stage.steps) {
        if (!step.group.run) continue;
        ++chains;
        CHECK(kernels::cuda::pattern_of(kernels::cuda::table_of(step.group.dims)) >= 0);
      }
    }
    CHECK(chains > 3);
  }
}

TEST_CASE("a residual net learns on the device as on the CPU: statistics, weight decay from the start") {
  if (no_device("residual nets")) return;
  for (const int filters : {16, 3}) {  // read four by four, and one by one
    INFO(filters << " filters");
    ev3::Model model;
    nn::ResNet network = small_resnet;
    network.filters = filters;
    model.network = network;
    model.params = model.stable = nn::initialize(model.network, Seed{1});
    const SyntheticBatches batches({.features = 192, .classes = 10, .batch = 16});
    const auto explore = [&] {
      ev3::Explorer explorer({nn::CrossEntropy{}}, {nn::AdamW{.learning_rate = 0.001, .weight_decay = 0.1f}},
                             {.trajectory_length = 4, .weight_decay_from = ev3::WeightDecayFrom::start}, {},
                             Seed{9});
      return explorer.explore(model, batches, 0);
    };
    const auto cpu = explore();
    const OnDevice guard;
    const auto one = explore();
    CHECK(distance(one[0].losses, cpu[0].losses) < 1e-3);
    CHECK(distance(one[0].params.values(), cpu[0].params.values()) < 1e-2);
  }
}
