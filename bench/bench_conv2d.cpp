// Time of convolutions by backend and size: forward, the gradient of the images, and that of the filters.
// FLOP/s and the share of the peak are those of the nominal operations, padding counted, of which kernels
// that skip padding, or Winograd's, do fewer. Every row is first compared with the double reference.
#include "bench/kernel_rows.h"

using namespace autodiff;
using namespace autodiff::kernels;
using namespace bench;

namespace {

using Kernel = decltype(Backend::conv2d);
using Reference = void (*)(const Conv2dDims& d, const double* a, const double* b, double* y);

// A kernel of two arrays of these sizes, with a result of so many elements.
void product(benchmark::State& state, const Kernel& kernel, Reference reference, const Conv2dDims& d,
             std::size_t a_size, std::size_t b_size, std::size_t y_size) {
  const auto a = normal(a_size, 1), b = normal(b_size, 2);
  AlignedBuffer<float> y(y_size);
  ScratchFor scratch(kernel, d);
  kernel.run(d, a.data(), b.data(), scratch, y.data());
  std::vector<double> want(y.size());
  reference(d, doubles(a).data(), doubles(b).data(), want.data());
  if (wrong(state, y, want)) return;
  time_operations(state, flops(d), [&] { kernel.run(d, a.data(), b.data(), scratch, y.data()); });
}

void forward(benchmark::State& state, const Backend& row, const Conv2dDims& d) {
  product(state, row.conv2d, conv2d_reference<double>, d, d.x_size(), d.w_size(), d.y_size());
}

void filter_grad(benchmark::State& state, const Backend& row, const Conv2dDims& d) {
  product(state, row.conv2d_filter_grad, conv2d_filter_grad_reference<double>, d, d.x_size(), d.y_size(),
          d.w_size());
}

// The convolution that gives the gradient of the images.
Conv2dDims back(const Conv2dDims& d) {
  Conv2dDims b = d;
  b.h = d.oh, b.w = d.ow, b.in = d.out;
  b.oh = d.h, b.ow = d.w, b.out = d.in;
  b.stride = d.up, b.up = d.stride;
  b.top = d.kh - 1 - d.top, b.left = d.kw - 1 - d.left;
  return b;
}

// N images of SIZE x SIZE under WINDOW x WINDOW filters, padded as "SAME".
Conv2dDims convolution(int n, int size, int in, int out, int window, int stride) {
  const int to = (size + stride - 1) / stride, padding = std::max(0, (to - 1) * stride + window - size);
  return {.n = n,
          .h = size,
          .w = size,
          .in = in,
          .kh = window,
          .kw = window,
          .oh = to,
          .ow = to,
          .out = out,
          .stride = stride,
          .top = padding / 2,
          .left = padding / 2};
}

void register_all(const Backend& row, const Conv2dDims& d) {
  const std::string size = text(d.n, "x", d.h, "x", d.w, "x", d.in, " to ", d.out, ", ", d.kh, "x", d.kw,
                                d.stride > 1 ? " / 2" : "");
  const auto takes = [](const auto& entry, const Conv2dDims& dims) {
    return entry.run && (!entry.supports || entry.supports(dims));
  };
  if (takes(row.conv2d, d)) add_row("conv2d/" + size, row, forward, d);
  if (takes(row.conv2d, back(d))) add_row("conv2d_image_grad/" + size, row, forward, back(d));
  if (takes(row.conv2d_filter_grad, d)) add_row("conv2d_filter_grad/" + size, row, filter_grad, d);
}

}  // namespace

int main(int argc, char** argv) {
  return run_rows(argc, argv, [] {
    for (const Backend* row : enabled_backends()) {
      if (row == reference_backend()) continue;
      // Those of ResNets for CIFAR, then images one by one, odd channels, and wide ones.
      for (const Conv2dDims& d : {convolution(8, 32, 3, 16, 3, 1), convolution(8, 32, 16, 16, 3, 1),
                                  convolution(8, 16, 32, 32, 3, 1), convolution(8, 8, 64, 64, 3, 1),
                                  convolution(8, 32, 16, 32, 3, 2), convolution(8, 16, 32, 64, 3, 2),
                                  convolution(8, 32, 16, 32, 1, 2), convolution(1, 32, 16, 16, 3, 1),
                                  convolution(1, 8, 64, 64, 3, 1), convolution(8, 14, 24, 40, 3, 1),
                                  convolution(2, 14, 256, 256, 3, 1)}) {
        register_all(*row, d);
      }
    }
  });
}
