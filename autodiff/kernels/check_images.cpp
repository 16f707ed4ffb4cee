// Checks of convolutions, their gradients, pools and moments, for every backend and for a device. A long
// file: a third of it lists sizes.
#include "autodiff/kernels/check_arrays.h"
#include "autodiff/tensor/error.h"

namespace autodiff::kernels::detail {
namespace {

class ImageChecker : public Checks {
 public:
  using Checks::Checks;

  void conv2d() {
    const Conv2dDims cases[] = {
        {.n = 2, .h = 5, .w = 7, .in = 3, .kh = 3, .kw = 3, .oh = 5, .ow = 7, .out = 16, .top = 1, .left = 1},
        {.n = 1, .h = 8, .w = 8, .in = 16, .kh = 3, .kw = 3, .oh = 4, .ow = 4, .out = 32, .stride = 2},
        {.n = 2,
         .h = 4,
         .w = 4,
         .in = 32,
         .kh = 3,
         .kw = 3,
         .oh = 8,
         .ow = 8,
         .out = 16,
         .up = 2,
         .top = 2,
         .left = 2},
        {.n = 2,
         .h = 6,
         .w = 19,
         .in = 16,
         .kh = 3,
         .kw = 3,
         .oh = 6,
         .ow = 19,
         .out = 16,
         .top = 1,
         .left = 1},
        {.n = 1,
         .h = 5,
         .w = 6,
         .in = 64,
         .kh = 3,
         .kw = 3,
         .oh = 5,
         .ow = 6,
         .out = 64,
         .top = 1,
         .left = 1},
        {.n = 3, .h = 4, .w = 4, .in = 5, .oh = 2, .ow = 2, .out = 7, .stride = 2},
        {.n = 1,
         .h = 9,
         .w = 9,
         .in = 2,
         .kh = 3,
         .kw = 3,
         .oh = 9,
         .ow = 9,
         .out = 3,
         .dilation = 2,
         .top = 2,
         .left = 2},
        {.n = 2,
         .h = 6,
         .w = 6,
         .in = 6,
         .kh = 3,
         .kw = 3,
         .oh = 6,
         .ow = 6,
         .out = 6,
         .top = 1,
         .left = 1,
         .groups = 6},
        {.n = 2, .h = 3, .w = 5, .in = 4, .kh = 2, .kw = 3, .oh = 2, .ow = 3, .out = 6, .groups = 2},
        {.n = 1,
         .h = 2,
         .w = 2,
         .in = 1,
         .kh = 7,
         .kw = 7,
         .oh = 1,
         .ow = 1,
         .out = 1,
         .stride = 2,
         .top = 3,
         .left = 3},
        {.n = 9,
         .h = 8,
         .w = 8,
         .in = 24,
         .kh = 3,
         .kw = 3,
         .oh = 8,
         .ow = 8,
         .out = 40,
         .top = 1,
         .left = 1},
        {.n = 2, .h = 9, .w = 12, .in = 19, .kh = 3, .kw = 3, .oh = 7, .ow = 10, .out = 13},
        // whole tiles of a device's kernels
        {.n = 4,
         .h = 8,
         .w = 8,
         .in = 16,
         .kh = 3,
         .kw = 3,
         .oh = 8,
         .ow = 8,
         .out = 16,
         .top = 1,
         .left = 1},
        {.n = 1,
         .h = 16,
         .w = 16,
         .in = 32,
         .kh = 3,
         .kw = 3,
         .oh = 16,
         .ow = 16,
         .out = 48,
         .top = 1,
         .left = 1},
        {.n = 1, .h = 16, .w = 16, .in = 16, .kh = 3, .kw = 3, .oh = 8, .ow = 8, .out = 32, .stride = 2},
        {.n = 2,
         .h = 8,
         .w = 8,
         .in = 32,
         .kh = 3,
         .kw = 3,
         .oh = 16,
         .ow = 16,
         .out = 16,
         .up = 2,
         .top = 2,
         .left = 2},
        {.n = 2,
         .h = 8,
         .w = 8,
         .in = 16,
         .kh = 3,
         .kw = 3,
         .oh = 16,
         .ow = 16,
         .out = 16,
         .up = 2,
         .top = 1,
         .left = 1},
        // slices of channels in all ways that a device has them, tiles that end beyond the image
        {.n = 3,
         .h = 8,
         .w = 8,
         .in = 128,
         .kh = 3,
         .kw = 3,
         .oh = 8,
         .ow = 8,
         .out = 32,
         .top = 1,
         .left = 1},
        {.n = 1,
         .h = 9,
         .w = 33,
         .in = 48,
         .kh = 3,
         .kw = 3,
         .oh = 9,
         .ow = 33,
         .out = 16,
         .top = 1,
         .left = 1},
        {.n = 3,
         .h = 15,
         .w = 17,
         .in = 64,
         .kh = 3,
         .kw = 3,
         .oh = 8,
         .ow = 9,
         .out = 32,
         .stride = 2,
         .top = 1,
         .left = 1},
        {.n = 3,
         .h = 4,
         .w = 9,
         .in = 64,
         .kh = 3,
         .kw = 3,
         .oh = 7,
         .ow = 17,
         .out = 32,
         .up = 2,
         .top = 1,
         .left = 1},
        {.n = 3,
         .h = 4,
         .w = 4,
         .in = 64,
         .kh = 3,
         .kw = 3,
         .oh = 8,
         .ow = 8,
         .out = 32,
         .up = 2,
         .top = 2,
         .left = 2},
        {.n = 2, .h = 16, .w = 18, .in = 16, .oh = 8, .ow = 9, .out = 32, .stride = 2},
        {.n = 3, .h = 5, .w = 8, .in = 64, .oh = 5, .ow = 8, .out = 48},
        {.n = 3, .h = 8, .w = 4, .in = 32, .oh = 16, .ow = 8, .out = 16, .up = 2},
        {.n = 2,
         .h = 7,
         .w = 35,
         .in = 1,
         .kh = 3,
         .kw = 3,
         .oh = 7,
         .ow = 35,
         .out = 20,
         .top = 1,
         .left = 1},
        {.n = 1, .h = 9, .w = 34, .in = 3, .kh = 3, .kw = 3, .oh = 7, .ow = 32, .out = 32},
        {.n = 1, .h = 1, .w = 1, .in = 1, .oh = 1, .ow = 1, .out = 1},
        {.n = 0, .h = 3, .w = 3, .in = 2, .oh = 3, .ow = 3, .out = 2}};
    const bool is_winograd = &row_ == winograd_backend();
    constexpr int transforms = 24;  // roundings on the way to a product and back
    for (const Conv2dDims& d : cases) {
      const std::string dims =
          text("[", d.n, ", ", d.h, ", ", d.w, ", ", d.in, "] ", d.kh, " x ", d.kw, " to ", d.out,
               d.stride > 1 ? text(", stride ", d.stride) : "", d.up > 1 ? text(", up ", d.up) : "",
               d.dilation > 1 ? text(", dilation ", d.dilation) : "",
               d.groups > 1 ? text(", groups ", d.groups) : "");
      auto x = normal(d.x_size(), 1), w = normal(d.w_size(), 2), dy = normal(d.y_size(), 3);
      const auto able = [&d](const auto& entry) {
        return entry.run && (!entry.supports || entry.supports(d));
      };
      if (able(row_.conv2d)) {
        Output<float> y(d.y_size());
        auto scratch = scratch_for(row_.conv2d, d);
        call([&] { row_.conv2d.run(d, x.data(), w.data(), {scratch.data()}, y.data()); });
        std::vector<double> want(y.size()), bound(y.size());
        conv2d_reference(d, x.doubles().data(), w.doubles().data(), want.data());
        if (is_winograd) {
          bound = winograd_magnitudes(d, x.doubles(true), w.doubles(true));
          for (double& b : bound) b *= gamma(d.in + transforms);
        } else {
          conv2d_reference(d, x.doubles(true).data(), w.doubles(true).data(), bound.data());
          for (double& b : bound) b *= gamma(d.kh * d.kw * d.in / d.groups);
        }
        add("conv2d", dims, y, want, bound, scratch.intact());
      }
      if (able(row_.conv2d_filter_grad)) {
        Output<float> dw(d.w_size());
        auto scratch = scratch_for(row_.conv2d_filter_grad, d);
        call([&] { row_.conv2d_filter_grad.run(d, x.data(), dy.data(), {scratch.data()}, dw.data()); });
        std::vector<double> want(dw.size()), bound(dw.size());
        conv2d_filter_grad_reference(d, x.doubles().data(), dy.doubles().data(), want.data());
        if (is_winograd) {
          bound = winograd_filter_grad_magnitudes(d, x.doubles(true), dy.doubles(true));
          for (double& b : bound) b *= gamma(d.n * ((d.oh + 3) / 4) * ((d.ow + 3) / 4) + transforms);
        } else {
          conv2d_filter_grad_reference(d, x.doubles(true).data(), dy.doubles(true).data(), bound.data());
          for (double& b : bound) b *= gamma(d.n * d.oh * d.ow);
        }
        add("conv2d_filter_grad", dims, dw, want, bound, scratch.intact());
      }
    }
  }

  void pool() {
    const PoolDims cases[] = {
        {.n = 2, .h = 4, .w = 6, .c = 3, .kh = 2, .kw = 2, .oh = 2, .ow = 3, .stride = 2},
        {.n = 1,
         .h = 7,
         .w = 5,
         .c = 16,
         .kh = 3,
         .kw = 3,
         .oh = 4,
         .ow = 3,
         .stride = 2,
         .top = 1,
         .left = 1},
        {.n = 1, .h = 5, .w = 5, .c = 33, .kh = 2, .kw = 2, .oh = 2, .ow = 2, .stride = 2},
        {.n = 0, .h = 4, .w = 4, .c = 2, .kh = 2, .kw = 2, .oh = 2, .ow = 2, .stride = 2}};
    for (const PoolDims& d : cases) {
      const std::string dims = text("[", d.n, ", ", d.h, ", ", d.w, ", ", d.c, "] windows of ", d.kh);
      const std::size_t large = pool_at(d, 0, d.n * d.h, 0),
                        small = static_cast<std::size_t>(d.n * d.oh * d.ow * d.c);
      auto x = normal(large, 4), v = normal(large, 5), dy = normal(small, 6);
      const auto compare = [&](const char* name, std::size_t size, auto run, auto reference,
                               double relative) {
        Output<float> got(size);
        call([&] { run(got.data()); });
        std::vector<double> want(size), bound(size);
        reference(false, want.data());
        reference(true, bound.data());
        for (double& b : bound) b *= relative;
        add(name, dims, got, want, bound);
      };
      const double terms = gamma(d.kh * d.kw + 1);
      if (row_.max_pool.run) {
        compare(
            "max_pool", small, [&](float* y) { row_.max_pool.run(d, x.data(), v.data(), y); },
            [&](bool absolute, double* y) {
              max_pool_reference(d, x.doubles().data(), v.doubles(absolute).data(), y);
            },
            0);
      }
      if (row_.max_pool_grad.run) {
        compare(
            "max_pool_grad", large, [&](float* dx) { row_.max_pool_grad.run(d, x.data(), dy.data(), dx); },
            [&](bool absolute, double* dx) {
              max_pool_grad_reference(d, x.doubles().data(), dy.doubles(absolute).data(), dx);
            },
            terms);
      }
      if (row_.avg_pool.run) {
        compare(
            "avg_pool", small, [&](float* y) { row_.avg_pool.run(d, x.data(), y); },
            [&](bool absolute, double* y) { avg_pool_reference(d, x.doubles(absolute).data(), y); }, terms);
      }
      if (row_.avg_pool_grad.run) {
        compare(
            "avg_pool_grad", large, [&](float* dx) { row_.avg_pool_grad.run(d, dy.data(), dx); },
            [&](bool absolute, double* dx) { avg_pool_grad_reference(d, dy.doubles(absolute).data(), dx); },
            terms);
      }
    }
  }

  void moments() {
    constexpr std::size_t sizes[][2] = {{1, 1}, {37, 3}, {100, 16}, {7, 130}, {1000, 5}};
    for (const auto& size : sizes) {
      const std::size_t rows = size[0], channels = size[1];
      auto x = normal(rows * channels, 7);
      for (std::size_t i = 0; i < x.size(); ++i) x.data()[i] += 50;  // a mean far from zero
      Output<float> m(2 * channels);
      call([&] { row_.moments.run({rows, channels}, x.data(), m.data()); });
      std::vector<double> want(m.size()), bound(m.size());
      moments_reference({rows, channels}, x.doubles().data(), want.data());
      for (std::size_t i = 0; i < want.size(); ++i) bound[i] = 2 * unit * want[i] + 0x1p-45;
      add("moments", text("[", rows, ", ", channels, "]"), m, want, bound);
    }
  }
};

}  // namespace

std::vector<KernelCheck> check_images(const Backend& backend) {
  ImageChecker checker(backend);
  checker.conv2d();
  checker.pool();
  if (backend.moments.run) checker.moments();
  return std::move(checker.results);
}

}  // namespace autodiff::kernels::detail
