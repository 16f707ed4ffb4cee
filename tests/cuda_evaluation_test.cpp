// Convolutions and the chains after them, and evaluations, on a device.
#include <cstring>

#include "autodiff/graph/ops.h"
#include "autodiff/kernels/cuda/epilogue.h"
#include "autodiff/program/program.h"
#include "nn/device_training.h"
#include "nn/evaluate.h"
#include "tests/catch.h"
#include "tests/device.h"

using namespace autodiff;
using namespace tests;

TEST_CASE("a convolution and a chain at once give the bits of one after the other") {
  if (no_device("convolutions with chains")) return;
  const kernels::Conv2dDims three{
      .n = 2, .h = 9, .w = 7, .in = 16, .kh = 3, .kw = 3, .oh = 9, .ow = 7, .out = 32, .top = 1, .left = 1};
  std::vector<kernels::Conv2dDims> cases(7, three);
  cases[1].in = 3, cases[1].out = 16;  // the first one
  cases[2].stride = 2, cases[2].oh = 5, cases[2].ow = 4, cases[2].in = 32;
  cases[3].kh = cases[3].kw = 1, cases[3].top = cases[3].left = 0, cases[3].out = 16;
  cases[4].in = 64, cases[4].out = 48;
  cases[5] = cases[3], cases[5].in = 32;
  cases[6] = cases[2], cases[6].in = 16;
  // Devices before compute capability 8.0 have other kernels for most of them.
  const bool has_tensor_cores = kernels::device_info().versions.find("capability 7.") == std::string::npos;
  using kernels::Binary;
  const auto add = [](int a, int b, int y) {
    return kernels::PointwiseStep{.is_binary = true, .binary = Binary::add, .a = a, .b = b, .y = y};
  };
  const auto relu = [](int a, int y) {
    return kernels::PointwiseStep{.unary = kernels::Unary::relu, .a = a, .y = y};
  };
  // Arrays: the result of the convolution, another one, and the chain's; then two rows.
  const std::vector<std::vector<kernels::PointwiseStep>> chains{
      {add(0, 3, 2)},
      {add(0, 3, 5), relu(5, 2)},
      {add(0, 3, 5), add(5, 1, 5), relu(5, 2)},
      {add(0, 3, 5), add(1, 4, 6), add(6, 5, 5), relu(5, 2)},
      {add(0, 3, 5), add(1, 5, 2)},
      {add(0, 1, 5), add(5, 3, 2)}};  // another order of sums: not at once
  const kernels::Backend& row = *kernels::cuda_backend();
  for (const kernels::Conv2dDims& d : cases) {
    kernels::DeviceStream work;
    const std::size_t y_bytes = d.y_size() * 4, rows = d.y_size() / static_cast<std::size_t>(d.out);
    kernels::DeviceMemory x(d.x_size() * 4), w(d.w_size() * 4), y(y_bytes), z(y_bytes), out(y_bytes),
        biases(static_cast<std::size_t>(d.out) * 8);
    const auto fill = [&](const kernels::DeviceMemory& to, std::uint64_t seed) {
      const std::vector<float> from = random_floats(to.size() / 4, seed);
      work.to_device(to.data(), from.data(), to.size());
      work.wait();
    };
    fill(x, 1), fill(w, 2), fill(z, 3), fill(biases, 4);
    const auto floats = [](const kernels::DeviceMemory& memory) {
      return reinterpret_cast<float*>(memory.data());
    };
    float* const operands[] = {floats(y), floats(z), floats(out), floats(biases), floats(biases) + d.out};
    for (std::size_t k = 0; k < chains.size(); ++k) {
      INFO("chain " << k << ", " << d.in << " to " << d.out);
      kernels::PointwiseDims chain{.columns = static_cast<std::size_t>(d.out),
                                   .full = 3,
                                   .repeated = 2,
                                   .local = 2,
                                   .steps = chains[k]};
      std::vector<float> results[2], unwritten(d.y_size(), 7.0f), left(d.y_size());
      for (const bool at_once : {false, true}) {
        chain.spent = at_once ? 0 : -1;
        work.to_device(y.data(), unwritten.data(), y_bytes);
        work.enqueue([&] {
          row.conv2d.run(d, floats(x), floats(w), {}, floats(y));
          row.pointwise(chain, rows, operands);
        });
        results[at_once].resize(d.y_size());
        work.to_host(results[at_once].data(), out.data(), y_bytes);
      }
      work.to_host(left.data(), y.data(), y_bytes);
      if (has_tensor_cores) CHECK((left == unwritten) == (k < 5));
      CHECK(std::memcmp(results[0].data(), results[1].data(), y_bytes) == 0);
    }
  }
}

TEST_CASE(
    "in an evaluation the convolutions of a residual net go with the chains after them, but before "
    "shortcuts") {
  if (no_device("evaluation")) return;
  for (const int blocks : {1, 2}) {
    nn::ResNet net = small_resnet;
    net.blocks = {blocks, blocks, blocks};
    const nn::Parameters params = nn::initialize(nn::Network(net), {3});
    const std::vector<float> images = random_floats(4 * 192, 5);
    nn::Evaluator on_cpu(net, 4), on_device(net, 4, {.device = kernels::Device::cuda});
    on_cpu.load(params.values());
    on_device.load(params.values());
    CHECK(distance(on_device(images), on_cpu(images)) < 1e-4);
    CHECK(distance(on_device(images), on_cpu(images)) < 1e-4);  // recorded
    const Plan& plan = on_device.program().plan();
    CHECK(plan.fixed_stages == 1);
    std::size_t convolutions = 0, alone = 0, chains = 0;
    for (const Stage& stage : plan.stages) {
      for (const Step& step : stage.steps) {
        convolutions += step.row.op == "conv2d";
        alone += step.row.op == "conv2d" && !step.leads_group;
        if (!step.group.run) continue;
        float none[kernels::most_pointwise_operands] = {};
        std::vector<float*> operands;
        for (float& v : none) operands.push_back(&v);
        chains += kernels::cuda::epilogue_of(step.group.dims, operands.data()).has_value();
      }
    }
    CHECK(convolutions == static_cast<std::size_t>(1 + 6 * blocks + 2));
    CHECK(alone == 2);  // before convolutions of shortcuts, whose chains take them in
    CHECK(chains == convolutions - alone);
  }
}

// What reads the result y of a convolution decides whether a chain may take it.
TEST_CASE("a chain takes the result of a convolution only where nobody else reads it") {
  if (no_device("results of convolutions")) return;
  struct Case {
    const char* what;
    int leads;
    std::vector<Value> (*outputs)(Value x, Value w, Value b, Value y);
  };
  const Case cases[] = {
      {"a chain", 1, [](Value, Value, Value b, Value y) -> std::vector<Value> { return {relu(y + b)}; }},
      {"an output, too", 0,
       [](Value, Value, Value b, Value y) -> std::vector<Value> {
         return {relu(y + b), y};
       }},
      {"pooled, too", 0,
       [](Value, Value w, Value b, Value y) -> std::vector<Value> {
         return {conv2d(relu(y + b), w), max_pool(y, {})};
       }},
      {"seen as another shape", 0,
       [](Value, Value, Value b, Value y) -> std::vector<Value> {
         return {relu(y + b), reshape(y, {3, 8 * 8 * 16})};
       }},
      {"summed, too", 0,
       [](Value, Value, Value b, Value y) -> std::vector<Value> {
         return {sum(y, {.axes = {0, 1, 2}}), relu(y + b)};
       }},
      {"read twice", 1,
       [](Value, Value, Value b, Value y) -> std::vector<Value> { return {relu((y + b) + y)}; }},
      {"with a shortcut, twice", 2,
       [](Value x, Value w, Value b, Value y) -> std::vector<Value> {
         const Value z = relu((y + b) + x);
         return {relu((conv2d(z, w) + b) + z)};
       }},
  };
  for (const Case& c : cases) {
    INFO(c.what);
    std::vector<std::vector<float>> results[2];
    for (const bool on_device : {false, true}) {
      Graph graph;
      const Value x = graph.input(Shape{8, 8, 16}.batched(3), "x"), w = graph.parameter("w", {3, 3, 16, 16}),
                  b = graph.parameter("b", {16});
      const std::vector<Value> outputs = c.outputs(x, w, b, conv2d(x, w));
      Program program =
          compile(graph, outputs, {.device = on_device ? kernels::Device::cuda : kernels::Device::cpu});
      const std::vector<float> images = random_floats(std::size_t{3} * 8 * 8 * 16, 1),
                               filters = random_floats(std::size_t{9} * 16 * 16, 2),
                               biases = random_floats(16, 3);
      program.bind(x, images);
      program.bind(w, filters);
      program.bind(b, biases);
      for (int k = 0; k < 2; ++k) program.run();  // the second one is recorded
      int leads = 0;
      for (const Stage& stage : program.plan().stages) {
        for (const Step& step : stage.steps) leads += step.leads_group;
      }
      if (on_device) CHECK(leads == c.leads);
      for (const Value& v : outputs) {
        const View<const float> view = program.value(v);
        results[on_device].emplace_back(view.data, view.data + view.shape.size());
      }
    }
    for (std::size_t k = 0; k < results[0].size(); ++k) CHECK(distance(results[1][k], results[0][k]) < 1e-5);
  }
}

// Large batches go through the device in smaller slices of channels.
TEST_CASE("a convolution on the device gives an image the same bits in batches of any size") {
  if (no_device("convolutions of large batches")) return;
  const kernels::Backend& row = *kernels::cuda_backend();
  const int all = 2 * kernels::device_info().multiprocessors + 8, few = 3;
  kernels::Conv2dDims d{.n = all,
                        .h = 8,
                        .w = 8,
                        .in = 64,
                        .kh = 3,
                        .kw = 3,
                        .oh = 8,
                        .ow = 8,
                        .out = 64,
                        .stride = 1,
                        .top = 1,
                        .left = 1};
  const std::vector<float> images = random_floats(d.x_size(), 1), filters = random_floats(d.w_size(), 2);
  kernels::DeviceStream work;
  const kernels::DeviceMemory x(d.x_size() * 4), w(d.w_size() * 4), y(d.y_size() * 4);
  work.to_device(x.data(), images.data(), x.size());
  work.to_device(w.data(), filters.data(), w.size());
  std::vector<float> results[2];
  for (const int n : {all, few}) {
    d.n = n;
    work.enqueue([&] {
      row.conv2d.run(d, reinterpret_cast<const float*>(x.data()), reinterpret_cast<const float*>(w.data()),
                     {}, reinterpret_cast<float*>(y.data()));
    });
    std::vector<float>& result = results[n == few];
    result.resize(d.y_size());
    work.to_host(result.data(), y.data(), result.size() * 4);
  }
  results[0].resize(results[1].size());
  CHECK((results[0] == results[1]));
  CHECK(distance(results[0], std::vector<float>(results[0].size())) > 1);
}

TEST_CASE("an evaluator on the device follows parameters and samples that change") {
  if (no_device("evaluators")) return;
  const nn::Network net = small_resnet;
  constexpr int batch = 4, count = 8;
  std::vector<std::uint8_t> pixels(std::size_t{2} * count * 192);
  const Random random{Seed{7}};
  for (std::size_t i = 0; i < pixels.size(); ++i) pixels[i] = static_cast<std::uint8_t>(random.below(i, 256));
  std::vector<float> table;
  for (int v = 0; v < 3 * 256; ++v) table.push_back(static_cast<float>(v % 256) / 255);
  const std::vector<std::int32_t> classes(count);
  const std::span<const std::uint8_t> all(pixels);
  const nn::DeviceSamples first(all.first(std::size_t{count} * 192), {8, 8, 3}, table, classes),
      second(all.last(std::size_t{count} * 192), {8, 8, 3}, table, classes);
  std::vector<kernels::device::Sample> drawn;
  for (int i = 0; i < count; ++i) drawn.push_back({.index = count - 1 - i});
  nn::DeviceEvaluator evaluate(net, batch);
  nn::Evaluator on_cpu(net, count);
  for (const auto& [seed, samples] : {std::pair{1, 0}, {2, 0}, {1, 0}, {2, 1}, {1, 1}}) {
    INFO("parameters " << seed << ", samples " << samples);
    const nn::Parameters params = nn::initialize(net, {static_cast<std::uint64_t>(seed)});
    std::vector<float> got(std::size_t{count} * 10), images;
    evaluate.run(params.values(), samples ? second : first, drawn, got);
    for (const auto& s : drawn) {
      const auto from = (static_cast<std::size_t>(s.index) + static_cast<std::size_t>(samples) * count) * 192;
      for (std::size_t k = 0; k < 192; ++k) images.push_back(table[pixels[from + k]]);
    }
    on_cpu.load(params.values());
    CHECK(distance(got, on_cpu(images)) < 1e-4);
  }
}

TEST_CASE("wide residual nets have gradients on the device: chains with sums of more than 64 filters") {
  if (no_device("wide nets")) return;
  const nn::ResNet wide{.inputs = {8, 8, 3}, .filters = 32, .blocks = {1, 1, 1}, .classes = 10};
  const nn::Parameters params = nn::initialize(nn::Network(wide), {1});
  const std::vector<float> x = random_floats(2 * 192, 2);
  const std::vector<std::int32_t> labels{3, 7};
  const auto gradient = [&](kernels::Device device) {
    nn::LossGradient of(wide, nn::CrossEntropy{}, 2, {.compile = {.device = device}});
    std::vector<float> g(params.size());
    of(params.values(), x, std::span<const std::int32_t>(labels), g);
    return g;
  };
  CHECK(distance(gradient(kernels::Device::cuda), gradient(kernels::Device::cpu)) < 1e-4);
}
