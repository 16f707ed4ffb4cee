// The matrix product, rung by rung: the definition, plain C++ in a better order, vectors in registers,
// OpenBLAS.
//
//     ladder_matmul [M N K]          [M, K] times [K, N]; 512 512 512 unless told otherwise
#include <iostream>

#include "autodiff/kernels/backend.h"
#include "bench/ladder.h"

using namespace autodiff::kernels;

int main(int argc, char** argv) try {
  const auto size = bench::sizes(argc, argv, {512, 512, 512}, "M N K");
  const MatmulDims d{size[0], size[1], size[2]};
  const auto count = [](int rows, int columns) {
    return static_cast<std::size_t>(rows) * static_cast<std::size_t>(columns);
  };
  const auto a = bench::normal(count(d.m, d.k), 1), b = bench::normal(count(d.k, d.n), 2);
  std::vector<double> want(count(d.m, d.n));
  matmul_reference(d, std::vector<double>(a.begin(), a.end()).data(),
                   std::vector<double>(b.begin(), b.end()).data(), want.data());
  bench::Ladder ladder(autodiff::text("[", d.m, ", ", d.k, "] [", d.k, ", ", d.n, "]"), flops(d),
                       std::move(want), 1e-5);
  const struct {
    const Backend* row;
    const char* note;
  } rungs[] = {{reference_backend(), "the definition"},
               {portable_backend(), "rows of b instead of columns"},
               {simd_backend(), "a tile of the result stays in registers"},
               {blas_backend(), ""}};
  for (const auto& rung : rungs) {
    const Backend* row = rung.row;
    if (!row || !row->matmul.run) continue;
    const std::string note = row == blas_backend() ? "core " + blas_info().core : rung.note;
    ScratchFor scratch(row->matmul, d);
    ladder.rung(
        std::string(row->name), [&](float* c) { row->matmul.run(d, a.data(), b.data(), scratch, c); },
        note.c_str());
  }
  return 0;
} catch (const autodiff::Error& error) {
  std::cerr << "ladder_matmul: " << error.what() << '\n';
  return 2;
}
