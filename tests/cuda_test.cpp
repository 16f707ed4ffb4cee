// Programs and training on a CUDA device against the CPU; where there is none: what is refused, and how.
// Somewhat long: one file, so that what wants a device can be run by one command.
#include <cstring>
#include <iostream>

#include "autodiff/graph/ops.h"
#include "autodiff/kernels/check.h"
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
#include "tests/error_bound.h"
#include "tests/files.h"
#include "tests/op_graph.h"
#include "tests/synthetic_batches.h"

using namespace autodiff;
using namespace tests;

TEST_CASE("without a device every way to use one says what is missing") {
  const kernels::DeviceInfo info = kernels::device_info();
  std::cout << "CUDA: " << (info.found ? info.name + ", " + info.versions : "none, " + info.reason) << '\n';
  if (info.found) return;
  CHECK(!info.reason.empty());
  CHECK(kernels::cuda_backend() == nullptr);
  CHECK_THROWS_WITH(kernels::set_default_device(kernels::Device::cuda),
                    ContainsSubstring(info.reason) && ContainsSubstring("use cpu"));
  CHECK(kernels::default_device() == kernels::Device::cpu);
  Graph g;
  const Value y = relu(g.input({3}, "x"));
  CHECK_THROWS_WITH(compile(g, {y}, {.device = kernels::Device::cuda}), ContainsSubstring(info.reason));
  CHECK_THROWS_WITH(kernels::DeviceMemory(8), ContainsSubstring(info.reason));
  CHECK_THROWS_AS(kernels::DeviceStream(), Error);
  CHECK(kernels::DeviceMemory(0).data() == nullptr);
}

TEST_CASE("programs for the CPU refuse what is for a device only") {
  Graph g;
  const Value x = g.input({3}, "x"), y = relu(x);
  Program program = compile(g, {y}, {.device = kernels::Device::cpu});
  float memory[3] = {};
  CHECK_THROWS_WITH(program.bind_on_device(x, memory), ContainsSubstring("for a device"));
  CHECK_THROWS_WITH(program.write_on_device(y, memory), ContainsSubstring("for a device"));
  CHECK_THROWS_WITH(program.on_device(y), ContainsSubstring("for a device"));
  CHECK_THROWS_WITH(program.enqueue(), ContainsSubstring("for a device"));
}

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
      using Kind = kernels::UpdateDims::Kind;
      for (std::size_t i = 0; i < n; ++i) {
        switch (d.kind) {
          case Kind::sgd:
            kernels::sgd_element(s.learning_rate, g[i], q[i]);
            break;
          case Kind::momentum:
            kernels::momentum_element(s.learning_rate, d.momentum, g[i], m[i], q[i]);
            break;
          case Kind::nesterov:
            kernels::nesterov_element(s.learning_rate, d.momentum, g[i], m[i], q[i]);
            break;
          case Kind::adamw:
            kernels::adamw_element(
                {n, s.learning_rate, d.b1, d.b2, d.epsilon, d.weight_decay, s.to_m, s.to_v}, g[i], q[i], m[i],
                v[i], q[i]);
            break;
          case Kind::rmsprop:
            kernels::sgd_element(s.learning_rate, kernels::rmsprop_element(d.decay, d.epsilon, g[i], m[i]),
                                 q[i]);
            break;
          case Kind::rmsprop_momentum:
            kernels::momentum_element(s.learning_rate, d.momentum,
                                      kernels::rmsprop_element(d.decay, d.epsilon, g[i], m[i]), v[i], q[i]);
            break;
        }
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

TEST_CASE("every kernel of the device is within its bound") {
  if (no_device("kernels")) return;
  for (const kernels::KernelCheck& c : kernels::check_kernels(*kernels::cuda_backend())) {
    INFO(c.kernel << " " << c.dims << ": error " << c.error << ", bound " << c.bound);
    CHECK(c.ok);
  }
}

// Enough pixels that many blocks form a sum, whose parts are added in two rounds.
TEST_CASE(
    "filter gradients that many blocks add up are those of their definition, twice with the same bits") {
  if (no_device("filter gradients")) return;
  const kernels::Conv2dDims same{.n = 4,
                                 .h = 16,
                                 .w = 16,
                                 .in = 16,
                                 .kh = 3,
                                 .kw = 3,
                                 .oh = 16,
                                 .ow = 16,
                                 .out = 16,
                                 .top = 1,
                                 .left = 1};
  std::vector<kernels::Conv2dDims> cases(7, same);
  cases[0].n = 7, cases[0].h = cases[0].oh = 32;
  cases[1].in = cases[1].out = 32;
  cases[2].h = 32, cases[2].w = 33, cases[2].stride = 2, cases[2].top = 0;
  cases[3].h = cases[3].w = 32, cases[3].stride = 2, cases[3].out = 48, cases[3].left = 0;
  cases[4].h = cases[4].w = 31, cases[4].stride = 2, cases[4].kh = cases[4].kw = 1,
  cases[4].top = cases[4].left = 0, cases[4].n = 8;
  cases[5].in = 3, cases[5].n = 9, cases[5].out = 32;
  cases[6].kh = cases[6].kw = 1, cases[6].top = cases[6].left = 0, cases[6].out = 32;
  for (const int in : {1, 4}) {
    kernels::Conv2dDims d = same;
    d.in = in, d.h = d.w = 33, d.stride = 2, d.kh = in == 1 ? 7 : 4, d.kw = 4, d.dilation = in == 1 ? 1 : 3;
    cases.push_back(d);
  }
  for (const kernels::Conv2dDims& d : cases) {
    INFO(d.n << " x " << d.h << " x " << d.w << " x " << d.in << ", " << d.kh << " x " << d.kw << " to "
             << d.out << ", stride " << d.stride);
    const std::vector<float> x = random_floats(d.x_size(), 1), dy = random_floats(d.y_size(), 2);
    std::vector<double> want(d.w_size()), bound(d.w_size());
    const auto doubles = [](const std::vector<float>& from, bool absolute) {
      std::vector<double> out(from.begin(), from.end());
      for (double& v : out) v = absolute ? std::abs(v) : v;
      return out;
    };
    kernels::conv2d_filter_grad_reference(d, doubles(x, false).data(), doubles(dy, false).data(),
                                          want.data());
    kernels::conv2d_filter_grad_reference(d, doubles(x, true).data(), doubles(dy, true).data(), bound.data());
    const auto& entry = kernels::cuda_backend()->conv2d_filter_grad;
    kernels::DeviceStream work;
    kernels::DeviceMemory x_there(d.x_size() * 4), dy_there(d.y_size() * 4), dw_there(d.w_size() * 4),
        scratch(entry.scratch_bytes(d));
    const auto floats = [](const kernels::DeviceMemory& memory) {
      return reinterpret_cast<float*>(memory.data());
    };
    work.to_device(x_there.data(), x.data(), x_there.size());
    work.to_device(dy_there.data(), dy.data(), dy_there.size());
    std::vector<float> first;
    for (int k = 0; k < 3; ++k) {
      work.enqueue(
          [&] { entry.run(d, floats(x_there), floats(dy_there), {floats(scratch)}, floats(dw_there)); });
      std::vector<float> got(d.w_size());
      work.to_host(got.data(), dw_there.data(), dw_there.size());
      if (k == 0) first = got;
      CHECK(std::memcmp(got.data(), first.data(), got.size() * sizeof(float)) == 0);
      double worst = 0;
      for (std::size_t i = 0; i < got.size(); ++i)
        worst = std::max(worst, std::abs(static_cast<double>(got[i]) - want[i]) / bound[i]);
      CHECK(worst < 128 * 0x1p-24);  // steps of a warp, and of the sums of warps and blocks
    }
  }
}

TEST_CASE("every op and its gradient on the device is within its rounding error, twice with the same bits") {
  if (no_device("ops")) return;
  for (const OpCase& c : op_cases()) {
    CaseGraph built(c);
    const std::vector<Value>& outputs = built.outputs;
    const auto want = interpret_bounded(built.graph, outputs, built.filled.feeds<double>());
    Program program = built.compile({.device = kernels::Device::cuda});
    program.run();
    std::vector<std::vector<float>> first;
    for (std::size_t i = 0; i < want.size(); ++i) {
      first.push_back(case_output(program, outputs[i]));
      INFO(c.op << " " << c.sizes << (i > 0 ? ", gradient" : ""));
      CHECK(beyond_bound<float>(first[i], want[i]) == "");
    }
    program.run();
    for (std::size_t i = 0; i < want.size(); ++i) {
      const std::vector<float> again = case_output(program, outputs[i]);
      INFO(c.op << " " << c.sizes);
      CHECK((again.empty() || std::memcmp(again.data(), first[i].data(), again.size() * sizeof(float)) == 0));
    }
  }
}

TEST_CASE("the gradient of a residual net on the device is that of the CPU") {
  if (no_device("gradients")) return;
  const int batch = 16;
  const nn::Parameters params = nn::initialize(nn::Network(small_resnet), {1});
  const std::vector<float> x = random_floats(static_cast<std::size_t>(batch) * 192, 2);
  std::vector<std::int32_t> labels(batch);
  for (int i = 0; i < batch; ++i) labels[static_cast<std::size_t>(i)] = i % 10;
  const auto gradient = [&](kernels::Device device) {
    nn::LossGradient of(small_resnet, nn::CrossEntropy{}, batch, {.compile = {.device = device}});
    std::vector<float> g(params.size());
    of(params.values(), x, std::span<const std::int32_t>(labels), g);
    return g;
  };
  CHECK(distance(gradient(kernels::Device::cuda), gradient(kernels::Device::cpu)) < 1e-4);
}

TEST_CASE("the gradient of a residual net on the device has the kernels that were made for it") {
  if (no_device("kernels of a residual net")) return;
  const nn::LossGradient of(small_resnet, nn::CrossEntropy{}, 16,
                            {.compile = {.device = kernels::Device::cuda}});
  std::size_t norms = 0, sums = 0, differences = 0;
  for (const Stage& stage : of.program().plan().stages) {
    for (const Step& step : stage.steps) {
      norms += step.row.op == "moments";
      differences += step.row.op == "sub" && step.row.shape.rank() == 4;
      if (!step.group.run) continue;
      INFO(step.row.op << " " << step.row.shape);
      CHECK(kernels::cuda::pattern_of(kernels::cuda::table_of(step.group.dims)) >= 0);
      sums += step.group.dims.sums.size();
    }
  }
  CHECK(norms == 9);
  CHECK(differences == norms);   // from the mean; its gradient forms them anew, which is the same
  CHECK(sums == 2 * norms - 2);  // two norms that are added share one
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
      samples(drawn.size() * sizeof(drawn[0])), step(sizeof(int)), out(std::size_t{16} * 90 * 4);
  work.to_device(pixels.data(), bytes.pixels.data(), pixels.size());
  work.to_device(values.data(), table.data(), values.size());
  work.to_device(samples.data(), drawn.data(), samples.size());
  for (int k = 0; k < 3; ++k) {
    work.to_device(step.data(), &k, sizeof k);
    work.enqueue([&] {
      kernels::device::gather_images({.pixels = reinterpret_cast<const unsigned char*>(pixels.data()),
                                      .table = reinterpret_cast<const float*>(values.data()),
                                      .height = 6,
                                      .width = 5,
                                      .channels = 3},
                                     reinterpret_cast<const kernels::device::Sample*>(samples.data()),
                                     reinterpret_cast<const int*>(step.data()), 16,
                                     reinterpret_cast<float*>(out.data()));
    });
    std::vector<float> got(std::size_t{16} * 90);
    work.to_host(got.data(), out.data(), out.size());
    const datasets::Batch want = stream[k];
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
      ev3::Explorer explorer(losses, optimizers, {.trajectory_length = 40, .clip_norm = 1.0});
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
                             {.trajectory_length = 6, .weight_decay_from = ev3::WeightDecayFrom::start}, {},
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

TEST_CASE("a device that has no room says what was wanted and what is free") {
  if (no_device("memory")) return;
  CHECK_THROWS_WITH(kernels::DeviceMemory(std::size_t{1} << 44, "a test"),
                    ContainsSubstring("for a test") && ContainsSubstring("free"));
}
