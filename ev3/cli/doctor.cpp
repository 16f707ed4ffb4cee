// ev3 doctor: what this machine has, what was built in, and whether every kernel computes what it should.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <iostream>
#include <vector>

#include "autodiff/kernels/backend.h"
#include "autodiff/kernels/check.h"
#include "autodiff/kernels/cpu.h"
#include "autodiff/kernels/device.h"
#include "autodiff/kernels/parallel.h"
#include "autodiff/tensor/random.h"
#include "ev3/cli/build_info.h"
#include "ev3/cli/commands.h"
#include "ev3/cli/text_table.h"

namespace ev3::cli {
namespace {

namespace kernels = autodiff::kernels;
using kernels::Backend;

std::string joined(const std::vector<std::string>& words) {
  std::string out;
  for (const std::string& word : words) out += (out.empty() ? "" : " ") + word;
  return out.empty() ? "none" : out;
}

std::string machine_table() {
  const kernels::BlasInfo blas = kernels::blas_info();
  TextTable table("ll");
  table.row({"CPU", kernels::cpu_name()});
  table.row({"features", kernels::cpu_features()});
  table.row({"vector target",
             kernels::simd_target() + "  (this CPU runs: " + joined(kernels::simd_targets()) + ")"});
  table.row({"BLAS", blas.core == "none" ? "none" : "kernels for " + blas.core + ", " + blas.config});
  table.row({"threads", std::to_string(kernels::threads())});
  table.row({"built", fmt::format("{}, {}: {}", compiler, build_type, compile_flags)});
  table.row({"with", packages});
  const kernels::DeviceInfo device = kernels::device_info();
  table.row({"CUDA", !device.found ? "none: " + device.reason
                                   : fmt::format("{}, {}, {} multiprocessors, {:.1f} of {:.1f} GiB free",
                                                 device.name, device.versions, device.multiprocessors,
                                                 static_cast<double>(device.free_bytes) / 0x1p30,
                                                 static_cast<double>(device.bytes) / 0x1p30)});
  table.row({"backends", kernels::describe(kernels::default_backends()) + "  (asked in this order)"});
  return table.str() + (blas.warning.empty() ? "" : "warning: " + blas.warning + '\n');
}

kernels::Backends with_device() {
  kernels::Backends all = kernels::enabled_backends();
  if (kernels::cuda_backend()) all.push_back(kernels::cuda_backend());
  return all;
}

/// How the table of backends says that a kernel is there.
template <class E>
std::string mark(const E& entry) {
  return !entry.run ? "-" : entry.supports ? "some sizes" : "yes";
}

std::string backend_table() {
  const kernels::Backends all = with_device();
  TextTable table("l" + std::string(all.size(), 'l'));
  std::vector<std::string> head{"kernel"};
  for (const Backend* row : all) head.emplace_back(row->name);
  table.row(head);
  const auto add = [&](const char* name, auto entry) {
    std::vector<std::string> cells{name};
    for (const Backend* row : all) cells.push_back(mark(row->*entry));
    table.row(cells);
  };
  add("matmul", &Backend::matmul);
  add("unary", &Backend::unary);
  add("binary", &Backend::binary);
  add("reduce", &Backend::reduce);
  add("softmax", &Backend::softmax);
  add("cross_entropy", &Backend::cross_entropy);
  add("cross_entropy_grad", &Backend::cross_entropy_grad);
  add("argmax", &Backend::argmax);
  add("gather", &Backend::gather);
  add("scatter", &Backend::scatter);
  add("copy", &Backend::copy);
  add("conv2d", &Backend::conv2d);
  add("conv2d_filter_grad", &Backend::conv2d_filter_grad);
  add("max_pool", &Backend::max_pool);
  add("max_pool_grad", &Backend::max_pool_grad);
  add("avg_pool", &Backend::avg_pool);
  add("avg_pool_grad", &Backend::avg_pool_grad);
  add("moments", &Backend::moments);
  add("dropout", &Backend::dropout);
  return table.str();
}

/// GFLOP/s of a matrix product on one thread: the best of the runs that fit into about 50 ms.
double matmul_speed(const Backend& backend, const kernels::MatmulDims& d) {
  using Clock = std::chrono::steady_clock;
  const auto random_matrix = [](int rows, int cols) {
    const autodiff::Random random(autodiff::Seed{1});
    std::vector<float> values(static_cast<std::size_t>(rows) * static_cast<std::size_t>(cols));
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(random.uniform(i, -1, 1));
    return values;
  };
  const std::vector<float> a = random_matrix(d.m, d.k), b = random_matrix(d.k, d.n);
  std::vector<float> c(static_cast<std::size_t>(d.m) * static_cast<std::size_t>(d.n));
  kernels::ScratchFor scratch(backend.matmul, d);
  const int repeats = static_cast<int>(1 + 1e6 / kernels::flops(d));  // long enough for the clock
  double best = 0;
  const auto end = Clock::now() + std::chrono::milliseconds(50);
  do {
    const auto start = Clock::now();
    for (int i = 0; i < repeats; ++i) backend.matmul.run(d, a.data(), b.data(), scratch, c.data());
    const std::chrono::duration<double> seconds = Clock::now() - start;
    best = std::max(best, kernels::flops(d) * repeats / std::max(seconds.count(), 1e-9) * 1e-9);
  } while (Clock::now() < end);
  return best;
}

std::string speeds() {
  TextTable table("lrr");
  table.row({"matmul, GFLOP/s on one thread", "32x64x32", "256x256x256"});
  for (const Backend* backend : kernels::enabled_backends()) {
    if (!backend->matmul.run) continue;
    table.row({"  " + std::string(backend->name), fmt::format("{:.1f}", matmul_speed(*backend, {32, 64, 32})),
               fmt::format("{:.1f}", matmul_speed(*backend, {256, 256, 256}))});
  }
  return table.str();
}

/// Checks all kernels; true if every one is right.
bool check() {
  TextTable table("lrrl");
  table.row({"self-check", "cases", "error / bound", ""});
  std::string failures;
  bool good = true;
  for (const Backend* backend : with_device()) {
    int cases = 0, failed = 0;
    double worst = 0;
    for (const kernels::KernelCheck& c : kernels::check_kernels(*backend)) {
      ++cases;
      if (c.error > 0 && c.ok) worst = std::max(worst, c.error / c.bound);
      if (c.ok) continue;
      ++failed;
      failures += fmt::format("NOT ok: {} of {}, {}: error {:.3g}, bound {:.3g}\n", c.kernel, c.backend,
                              c.dims, c.error, c.bound);
    }
    table.row({"  " + std::string(backend->name), std::to_string(cases), fmt::format("{:.2f}", worst),
               failed ? fmt::format("{} NOT ok", failed) : "ok"});
    good = good && failed == 0;
  }
  std::cout << table.str() << failures;
  return good;
}

void examine() {
  std::cout << version_text() << "\n\n"
            << machine_table() << '\n'
            << backend_table() << '\n'
            << speeds() << '\n'
            << std::flush;
  if (!check()) throw CLI::RuntimeError(answer_is_no);
}

}  // namespace

void add_doctor(CLI::App& app) {
  CLI::App* command = app.add_subcommand(
      "doctor",
      "Show what this machine has and what was built in; check every kernel against its definition.");
  command->footer(
      "Exit code 1 if a kernel is wrong.\n"
      "Example:\n"
      "  ev3 doctor");
  command->callback(examine);
}

}  // namespace ev3::cli
