// Time of single kernels by backend and size. Every case is first compared with the double reference; a wrong
// kernel is reported instead of timed. Compare the rows of one run only, with --benchmark_repetitions and
// --benchmark_enable_random_interleaving on a shared machine.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <initializer_list>
#include <string>
#include <utility>
#include <vector>

#include "bench/kernel_rows.h"

using namespace autodiff;
using namespace autodiff::kernels;
using namespace bench;

namespace {

void matmul(benchmark::State& state, const Backend& row, const MatmulDims& d) {
  const auto size = [](int rows, int cols) {
    return static_cast<std::size_t>(rows) * static_cast<std::size_t>(cols);
  };
  const auto a = normal(size(d.m, d.k), 1), b = normal(size(d.k, d.n), 2);
  AlignedBuffer<float> c(size(d.m, d.n));
  ScratchFor scratch(row.matmul, d);
  row.matmul.run(d, a.data(), b.data(), scratch, c.data());
  std::vector<double> want(c.size());
  matmul_reference(d, doubles(a).data(), doubles(b).data(), want.data());
  if (wrong(state, c, want)) return;
  time_operations(state, flops(d), [&] { row.matmul.run(d, a.data(), b.data(), scratch, c.data()); });
}

void unary(benchmark::State& state, const Backend& row, const UnaryDims& d) {
  const auto x = normal(d.n, 3);
  AlignedBuffer<float> y(d.n);
  row.unary.run(d, x.data(), y.data());
  std::vector<double> want(d.n);
  unary_reference(d, doubles(x).data(), want.data());
  if (wrong(state, y, want)) return;
  for (auto _ : state) {
    row.unary.run(d, x.data(), y.data());
    benchmark::ClobberMemory();
  }
  bytes_per_second(state, 2 * d.n);
}

// y [rows, cols] = a [rows, cols] + b, b being [rows, cols] or, with `bias`, [cols].
void add(benchmark::State& state, const Backend& row, int rows, int cols, bool bias) {
  const auto n = static_cast<std::size_t>(rows) * static_cast<std::size_t>(cols);
  const BinaryDims d = bias ? BinaryDims{Binary::add, 2, {rows, cols}, {cols, 1}, {0, 1}}
                            : BinaryDims{Binary::add, 1, {rows * cols}, {1}, {1}};
  const auto a = normal(n, 4), b = normal(n, 5);
  AlignedBuffer<float> y(n);
  row.binary.run(d, a.data(), b.data(), y.data());
  std::vector<double> want(n);
  binary_reference(d, doubles(a).data(), doubles(b).data(), want.data());
  if (wrong(state, y, want)) return;
  for (auto _ : state) {
    row.binary.run(d, a.data(), b.data(), y.data());
    benchmark::ClobberMemory();
  }
  bytes_per_second(state, (bias ? 2 : 3) * n);
}

void sum(benchmark::State& state, const Backend& row, const ReduceDims& d) {
  const auto x = normal(d.outer * d.reduced * d.inner, 6);
  AlignedBuffer<float> y(d.outer * d.inner);
  row.reduce.run(d, x.data(), y.data());
  std::vector<double> want(y.size());
  reduce_reference(d, doubles(x).data(), want.data());
  if (wrong(state, y, want)) return;
  for (auto _ : state) {
    row.reduce.run(d, x.data(), y.data());
    benchmark::ClobberMemory();
  }
  bytes_per_second(state, x.size());
}

void softmax(benchmark::State& state, const Backend& row, const SoftmaxDims& d) {
  const auto x = normal(d.rows * d.cols, 7);
  AlignedBuffer<float> y(x.size());
  row.softmax.run(d, x.data(), y.data());
  std::vector<double> want(x.size());
  softmax_reference(d, doubles(x).data(), want.data());
  if (wrong(state, y, want)) return;
  for (auto _ : state) {
    row.softmax.run(d, x.data(), y.data());
    benchmark::ClobberMemory();
  }
  bytes_per_second(state, 2 * x.size());
}

void cross_entropy(benchmark::State& state, const Backend& row, const CrossEntropyDims& d, bool grad) {
  const auto z = normal(d.rows * d.cols, 7), dloss = normal(d.rows, 8);
  std::vector<std::int32_t> labels(d.rows);
  for (std::size_t r = 0; r < d.rows; ++r) labels[r] = static_cast<std::int32_t>(r % d.cols);
  AlignedBuffer<float> y(grad ? z.size() : d.rows);
  std::vector<double> want(y.size());
  const auto run = [&] {
    grad ? row.cross_entropy_grad.run(d, z.data(), labels.data(), dloss.data(), y.data())
         : row.cross_entropy.run(d, z.data(), labels.data(), y.data());
  };
  run();
  if (grad) {
    cross_entropy_grad_reference(d, doubles(z).data(), labels.data(), doubles(dloss).data(), want.data());
  } else {
    cross_entropy_reference(d, doubles(z).data(), labels.data(), want.data());
  }
  if (wrong(state, y, want)) return;
  for (auto _ : state) {
    run();
    benchmark::ClobberMemory();
  }
  bytes_per_second(state, (grad ? 2 : 1) * z.size());
}

void argmax(benchmark::State& state, const Backend& row, const IndexDims& d) {
  const auto x = normal(d.rows * d.cols, 7);
  std::vector<std::int32_t> best(d.rows), want(d.rows);
  row.argmax.run(d, x.data(), best.data());
  argmax_reference(d, x.data(), want.data());
  if (best != want) return state.SkipWithError("wrong");
  for (auto _ : state) {
    row.argmax.run(d, x.data(), best.data());
    benchmark::ClobberMemory();
  }
  bytes_per_second(state, x.size());
}

std::string join(std::initializer_list<std::size_t> sizes) {
  std::string out;
  for (const std::size_t s : sizes) {
    if (!out.empty()) out += 'x';
    out += std::to_string(s);
  }
  return out;
}

void register_all(const Backend& row) {
  if (row.matmul.run) {
    // Of networks 2-8-2 and 64-64-10, batch 32; 784-512-512-10, batch 128 and 1; and squares.
    for (const MatmulDims& d : {MatmulDims{32, 8, 2},
                                {32, 2, 8},
                                {32, 8, 2, false, true},
                                {8, 2, 32, true},
                                {2, 8, 32, true},
                                {32, 64, 64},
                                {32, 10, 64},
                                {32, 64, 10, false, true},
                                {64, 10, 32, true},
                                {64, 64, 32, true},
                                {1, 512, 784},
                                {1, 10, 512},
                                {128, 512, 784},
                                {128, 512, 512},
                                {128, 10, 512},
                                {128, 512, 10, false, true},
                                {128, 512, 512, false, true},
                                {512, 10, 128, true},
                                {512, 512, 128, true},
                                {784, 512, 128, true},
                                {512, 512, 512},
                                {1024, 1024, 1024}}) {
      const auto u = [](int x) { return static_cast<std::size_t>(x); };
      const std::string transposes{d.transpose_a ? 'T' : 'N', d.transpose_b ? 'T' : 'N'};
      add_row("matmul " + transposes + "/" + join({u(d.m), u(d.n), u(d.k)}), row, matmul, d);
    }
  }
  if (row.unary.run) {
    for (const std::size_t n : {256u, 65536u}) {
      for (const auto& [kind, name] : {std::pair{Unary::relu, "relu"},
                                       {Unary::exp, "exp"},
                                       {Unary::tanh, "tanh"},
                                       {Unary::sigmoid, "sigmoid"}}) {
        add_row(text(name, "/", n), row, unary, UnaryDims{kind, n});
      }
    }
  }
  if (row.binary.run) {
    for (const auto& [rows, cols] : {std::pair{32, 2}, {32, 8}, {128, 10}, {128, 512}}) {
      const std::string size = join({static_cast<std::size_t>(rows), static_cast<std::size_t>(cols)});
      add_row("add/" + size, row, add, rows, cols, false);
      add_row("add bias/" + size, row, add, rows, cols, true);
    }
  }
  if (row.reduce.run) {
    for (const ReduceDims& d : {ReduceDims{Reduce::sum, 1, 32, 1},
                                {Reduce::sum, 1, 32, 2},
                                {Reduce::sum, 1, 32, 8},
                                {Reduce::sum, 1, 128, 10},
                                {Reduce::sum, 1, 128, 512},
                                {Reduce::sum, 128, 512, 1}}) {
      add_row("sum/" + join({d.outer, d.reduced, d.inner}), row, sum, d);
    }
  }
  for (const auto& [rows, cols] : {std::pair<std::size_t, std::size_t>{32, 2}, {128, 10}, {128, 100}}) {
    const std::string size = join({rows, cols});
    if (row.softmax.run) add_row("softmax/" + size, row, softmax, SoftmaxDims{rows, cols});
    if (row.softmax.run) add_row("log_softmax/" + size, row, softmax, SoftmaxDims{rows, cols, true});
    const CrossEntropyDims d{rows, cols};
    if (row.cross_entropy.run) add_row("cross_entropy/" + size, row, cross_entropy, d, false);
    if (row.cross_entropy_grad.run) add_row("cross_entropy_grad/" + size, row, cross_entropy, d, true);
    if (row.argmax.run) add_row("argmax/" + size, row, argmax, IndexDims{rows, cols});
  }
}

}  // namespace

int main(int argc, char** argv) {
  return run_rows(argc, argv, [] {
    for (const Backend* row : enabled_backends()) {
      if (row != reference_backend()) register_all(*row);
    }
  });
}
