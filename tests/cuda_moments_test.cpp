// Convolutions on a device that form the moments of their results: mean and variance of each filter.
#include <cmath>
#include <cstring>

#include "autodiff/kernels/backend.h"
#include "autodiff/kernels/device.h"
#include "nn/training.h"
#include "tests/catch.h"
#include "tests/device.h"
#include "tests/device_convolutions.h"

using namespace autodiff;
using namespace tests;

namespace {

float* floats(const kernels::DeviceMemory& memory) { return reinterpret_cast<float*>(memory.data()); }

std::vector<float> back(kernels::DeviceStream& work, const kernels::DeviceMemory& from) {
  std::vector<float> out(from.size() / sizeof(float));
  work.to_host(out.data(), from.data(), from.size());
  return out;
}

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

// How far m is from the moments of y, relative to what it may be: a rounding to float32, and as many
// roundings in double of sums of y and of y^2 as one number goes through, which are not 128.
double moments_error(const std::vector<float>& y, const std::vector<float>& m) {
  const std::size_t filters = m.size() / 2, rows = y.size() / filters;
  const std::vector<double> exact(y.begin(), y.end());
  std::vector<double> want(m.size());
  kernels::moments_reference(kernels::MomentsDims{rows, filters}, exact.data(), want.data());
  double worst = 0;
  for (std::size_t c = 0; c < filters; ++c) {
    double size = 0;
    for (std::size_t r = 0; r < rows; ++r) size += std::abs(exact[r * filters + c]);
    size /= static_cast<double>(rows);
    const double squares = want[filters + c] + want[c] * want[c];
    const double allowed[] = {0x1p-24 * std::abs(want[c]) + 0x1p-46 * size,
                              0x1p-24 * want[filters + c] + 0x1p-45 * squares};
    for (const std::size_t k : {std::size_t{0}, std::size_t{1}}) {
      const std::size_t at = k * filters + c;
      if (!std::isfinite(m[at])) return INFINITY;
      worst = std::max(worst, std::abs(static_cast<double>(m[at]) - want[at]) / allowed[k]);
    }
  }
  return worst;
}

}  // namespace

// A mean far from zero comes from a channel that is constant, of which the window's middle is a thousand.
TEST_CASE("a convolution that forms the moments of its result gives those of the result, by one kernel") {
  if (no_device("moments of convolutions")) return;
  const kernels::Conv2dDims cases[] = {
      centred(3, 9, 7, 16, 16, 3),     // cells beyond the edges
      centred(40, 8, 8, 16, 16, 3),    // several blocks
      centred(5, 13, 11, 32, 32, 3),   // warps that take turns with channels
      centred(5, 8, 8, 64, 64, 3),     // and two tiles of filters
      centred(1, 1, 1, 16, 16, 3),     // one pixel: no variance
      centred(3, 9, 7, 16, 32, 3, 2),  // stride 2
      centred(7, 16, 15, 32, 64, 3, 2),
      centred(3, 9, 9, 16, 48, 1, 2),  // 1 x 1
      centred(2, 10, 7, 32, 64, 1),
      centred(2, 8, 8, 16, 272, 1),    // more filters than a block has threads
      centred(1040, 2, 2, 16, 64, 1),  // so many blocks that they add up in two rounds
      centred(3, 32, 33, 3, 16, 3),    // images of few channels
      centred(2, 7, 5, 1, 20, 3),      // with half a tile of filters
      centred(140, 5, 5, 1, 20, 3),    // in two rounds
      centred(2, 4, 5, 3, 132, 3),
      centred(5, 2, 2, 3, 16, 3)};
  // Devices before compute capability 8.0 have other kernels for most of them.
  const bool has_tensor_cores = kernels::device_info().versions.find("capability 7.") == std::string::npos;
  const kernels::Backend& row = *kernels::cuda_backend();
  for (const kernels::Conv2dDims& d : cases) {
    const auto in = static_cast<std::size_t>(d.in), filters = static_cast<std::size_t>(d.out);
    const kernels::MomentsDims dims{d.y_size() / filters, filters};
    kernels::DeviceStream work;
    kernels::DeviceMemory x(d.x_size() * 4), w(d.w_size() * 4), y(d.y_size() * 4), m(filters * 8),
        deviations(filters * 4), deviations_below(filters * 4), twice(d.y_size() * 4);
    for (const bool is_far : {false, true}) {
      INFO(d.n << " x " << d.h << " x " << d.w << " x " << d.in << " to " << d.out << ", window " << d.kh
               << ", stride " << d.stride << (is_far ? ", far from zero" : ""));
      if (is_far && (d.in == 1 || d.n > 100)) continue;
      std::vector<float> images = random_floats(d.x_size(), 1), weights = random_floats(d.w_size(), 2);
      const auto products = static_cast<float>(d.kh * d.kw * d.in);
      for (float& v : weights) v /= std::sqrt(products);
      if (is_far) {
        for (std::size_t i = in - 1; i < images.size(); i += in) images[i] = 1;
        const std::size_t taps = weights.size() / in / filters;
        for (std::size_t tap = 0; tap < taps; ++tap) {
          for (std::size_t o = 0; o < filters; ++o)
            weights[(tap * in + in - 1) * filters + o] = tap == taps / 2 ? 1000.0f : 0.0f;
        }
      }
      work.to_device(x.data(), images.data(), x.size());
      work.to_device(w.data(), weights.data(), w.size());
      const auto conv2d = [&] { row.conv2d.run(d, floats(x), floats(w), {}, floats(y)); };
      const auto moments = [&] { row.moments.run(dims, floats(y), floats(m)); };
      const auto root = [&](const float* from, const kernels::DeviceMemory& to) {
        row.unary.run({kernels::Unary::sqrt, filters}, from, floats(to));
      };
      const auto clear = [&] {
        const std::vector<float> sevens(std::max(d.y_size(), filters * 2), 7);
        for (const kernels::DeviceMemory* to : {&y, &m, &deviations, &deviations_below, &twice})
          work.to_device(to->data(), sevens.data(), to->size());
      };

      work.enqueue(conv2d);
      const std::vector<float> alone = back(work, y);
      clear();
      work.enqueue(conv2d);
      work.enqueue(moments);
      CHECK(moments_error(alone, back(work, m)) < 1);

      // At once, and small functions after it: of the variance, of what they give, and of the result itself
      // where that is small enough. Twice: on an emulated device blocks end in another order then.
      std::vector<float> first;
      for (int turn = 0; turn < 2; ++turn) {
        clear();
        work.enqueue([&] {
          conv2d();
          moments();
          root(floats(m) + filters, deviations);
          root(floats(deviations), deviations_below);
          row.unary.run({kernels::Unary::scale, d.y_size(), 2.0f}, floats(y), floats(twice));
        });
        const std::vector<float> got = back(work, m), roots = back(work, deviations),
                                 roots_below = back(work, deviations_below), doubled = back(work, twice);
        CHECK(same_bits(back(work, y), alone));
        CHECK(moments_error(alone, got) < 1);
        if (turn == 0) first = got;
        CHECK(same_bits(got, first));
        std::size_t wrong = 0;
        for (std::size_t c = 0; c < filters; ++c)
          wrong += roots[c] != std::sqrt(got[filters + c]) || roots_below[c] != std::sqrt(roots[c]);
        for (std::size_t i = 0; i < alone.size(); ++i) wrong += doubled[i] != 2 * alone[i];
        CHECK(wrong == 0);
      }

      // When the moments were called, the convolution had not been launched: it meets what comes to x later.
      work.enqueue([&] {
        conv2d();
        moments();
        work.zero(x.data(), x.size());
      });
      const bool at_once = has_tensor_cores || d.in < 16;
      CHECK((back(work, y) == std::vector<float>(d.y_size())) == at_once);
      if (at_once) CHECK(back(work, m) == std::vector<float>(2 * filters));
    }
  }
}

TEST_CASE("moments of something else than the convolution before them are those of that") {
  if (no_device("moments of others")) return;
  const kernels::Conv2dDims d = centred(4, 8, 8, 16, 16, 3);
  const kernels::Backend& row = *kernels::cuda_backend();
  kernels::DeviceStream work;
  kernels::DeviceMemory x(d.x_size() * 4), w(d.w_size() * 4), y(d.y_size() * 4);
  const std::vector<float> images = random_floats(d.x_size(), 1), weights = random_floats(d.w_size(), 2);
  work.to_device(x.data(), images.data(), x.size());
  work.to_device(w.data(), weights.data(), w.size());
  const std::size_t size = d.y_size();
  struct Case {
    const char* what;
    const kernels::DeviceMemory* from;
    std::size_t filters, rows;
  };
  for (const Case& c : {Case{"the image", &x, 16, size / 16},
                        {"twice as wide", &y, 32, size / 32},
                        {"half of it", &y, 16, size / 32},
                        {"half as wide", &y, 8, size / 8}}) {
    INFO(c.what);
    kernels::DeviceMemory m(c.filters * 8);
    work.zero(m.data(), m.size());
    work.enqueue([&] {
      row.conv2d.run(d, floats(x), floats(w), {}, floats(y));
      row.moments.run({c.rows, c.filters}, floats(*c.from), floats(m));
    });
    std::vector<float> of = back(work, *c.from);
    of.resize(c.rows * c.filters);
    CHECK(moments_error(of, back(work, m)) < 1);
  }
}

TEST_CASE("in every precision the moments are those of the result") {
  if (no_device("precisions")) return;
  struct Back {
    kernels::Precision before = kernels::device_precision();
    Back() = default;
    Back(const Back&) = delete;
    Back& operator=(const Back&) = delete;
    ~Back() { kernels::set_device_precision(before); }
  } const at_the_end;
  const kernels::Backend& row = *kernels::cuda_backend();
  using enum kernels::Precision;
  for (const kernels::Precision precision : {float32, tf32, bf16}) {
    kernels::set_device_precision(precision);
    for (const kernels::Conv2dDims& d : {centred(3, 9, 7, 16, 16, 3), centred(3, 9, 7, 64, 32, 3),
                                         centred(3, 9, 7, 32, 32, 3, 2), centred(3, 9, 7, 32, 32, 1)}) {
      INFO(static_cast<int>(precision) << ": " << d.in << " to " << d.out << ", window " << d.kh);
      const auto filters = static_cast<std::size_t>(d.out);
      kernels::DeviceStream work;
      kernels::DeviceMemory x(d.x_size() * 4), w(d.w_size() * 4), y(d.y_size() * 4), m(filters * 8);
      const std::vector<float> images = random_floats(d.x_size(), 1), weights = random_floats(d.w_size(), 2);
      work.to_device(x.data(), images.data(), x.size());
      work.to_device(w.data(), weights.data(), w.size());
      work.enqueue([&] { row.conv2d.run(d, floats(x), floats(w), {}, floats(y)); });
      const std::vector<float> alone = back(work, y);
      work.zero(y.data(), y.size());
      work.enqueue([&] {
        row.conv2d.run(d, floats(x), floats(w), {}, floats(y));
        row.moments.run({d.y_size() / filters, filters}, floats(y), floats(m));
      });
      CHECK(same_bits(back(work, y), alone));
      CHECK(moments_error(alone, back(work, m)) < 1);
    }
  }
}

TEST_CASE("in training, moments follow the convolutions whose results they are of") {
  if (no_device("moments in training")) return;
  const nn::LossGradient of(small_resnet, nn::CrossEntropy{}, 16,
                            {.compile = {.device = kernels::Device::cuda}});
  std::size_t all = 0, after = 0;
  for (const Stage& stage : of.program().plan().stages) {
    for (std::size_t k = 1; k < stage.steps.size(); ++k) {
      const Step &before = stage.steps[k - 1], &step = stage.steps[k];
      if (step.row.op != "moments") continue;
      ++all;
      after += before.row.op == "conv2d" && before.output.base == step.inputs.at(0).base &&
               before.output.offset == step.inputs.at(0).offset;
    }
  }
  CHECK(all == 9);
  CHECK(after == all);
}
