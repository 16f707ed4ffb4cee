// Programs on a CUDA device against the CPU; where there is none: what is refused, and how.
#include <cstring>
#include <iostream>

#include "autodiff/graph/ops.h"
#include "autodiff/kernels/check.h"
#include "autodiff/kernels/cuda/chain_patterns.h"
#include "autodiff/kernels/device.h"
#include "nn/resnet.h"
#include "nn/training.h"
#include "tests/catch.h"
#include "tests/device.h"
#include "tests/error_bound.h"
#include "tests/op_graph.h"

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

TEST_CASE("a device that has no room says what was wanted and what is free") {
  if (no_device("memory")) return;
  CHECK_THROWS_WITH(kernels::DeviceMemory(std::size_t{1} << 44, "a test"),
                    ContainsSubstring("for a test") && ContainsSubstring("free"));
}
