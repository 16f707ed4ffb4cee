// A convolution with 3 x 3 filters, rung by rung: the definition, plain C++, the matrix product of OpenBLAS
// on patches that are laid out first, vectors in registers, and Winograd's way with fewer products.
//
//     ladder_conv [N SIZE CHANNELS]          N images of SIZE x SIZE, as many channels out as in; 8 16 32
//     unless told
//                                            otherwise
#include <iostream>

#include "autodiff/kernels/backend.h"
#include "autodiff/tensor/buffer.h"
#include "bench/ladder.h"

using namespace autodiff::kernels;

namespace {

// to [positions, 9 channels]: what lies under the window at each position.
void lay_out_patches(const Conv2dDims& d, const float* x, float* to) {
  for (int n = 0; n < d.n; ++n) {
    for (int i = 0; i < d.oh; ++i) {
      for (int j = 0; j < d.ow; ++j) {
        for (int a = 0; a < d.kh; ++a) {
          for (int b = 0; b < d.kw; ++b, to += d.in) {
            const int row = d.source_row(i, a), column = d.source_column(j, b);
            if (row < 0 || column < 0) {
              std::fill_n(to, d.in, 0.0f);
            } else {
              std::copy_n(x + (std::ptrdiff_t{n} * d.h + row) * d.w * d.in + std::ptrdiff_t{column} * d.in,
                          d.in, to);
            }
          }
        }
      }
    }
  }
}

}  // namespace

int main(int argc, char** argv) try {
  const auto size = bench::sizes(argc, argv, {8, 16, 32}, "N SIZE CHANNELS");
  const Conv2dDims d{.n = size[0],
                     .h = size[1],
                     .w = size[1],
                     .in = size[2],
                     .kh = 3,
                     .kw = 3,
                     .oh = size[1],
                     .ow = size[1],
                     .out = size[2],
                     .top = 1,
                     .left = 1};
  const auto x = bench::normal(d.x_size(), 1), w = bench::normal(d.w_size(), 2);
  std::vector<double> want(d.y_size());
  conv2d_reference(d, std::vector<double>(x.begin(), x.end()).data(),
                   std::vector<double>(w.begin(), w.end()).data(), want.data());
  bench::Ladder ladder(autodiff::text("[", d.n, ", ", d.h, ", ", d.w, ", ", d.in, "] with 3 x 3 filters to ",
                                      d.out, " channels"),
                       flops(d), std::move(want), 1e-5);
  const auto rung = [&](const Backend* row, const char* note) {
    if (!row || !row->conv2d.run || (row->conv2d.supports && !row->conv2d.supports(d))) return;
    ScratchFor scratch(row->conv2d, d);
    ladder.rung(
        std::string(row->name), [&](float* y) { row->conv2d.run(d, x.data(), w.data(), scratch, y); }, note);
  };
  rung(reference_backend(), "the definition");
  rung(portable_backend(), "output channels innermost");
  if (blas_backend()) {
    std::vector<float> patches(d.x_size() * 9);
    ladder.rung(
        "blas",
        [&](float* y) {
          lay_out_patches(d, x.data(), patches.data());
          blas_backend()->matmul.run({d.n * d.oh * d.ow, d.out, 9 * d.in}, patches.data(), w.data(), {}, y);
        },
        "a matrix product of patches laid out before");
  }
  rung(simd_backend(), "a tile of the result stays in registers");
  rung(winograd_backend(), "36 products for 16 results instead of 144");
  return 0;
} catch (const autodiff::Error& error) {
  std::cerr << "ladder_conv: " << error.what() << '\n';
  return 2;
}
