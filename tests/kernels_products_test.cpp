// Kernels that multiply: matrices, in one piece and in parts, and convolutions by Winograd's way.
#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "tests/kernel_rows.h"

using namespace tests;

TEST_CASE("simd matmul adds in the order of p, fused where the CPU can") {
  for_each_target([](const Backend& row, const std::string& target) {
    if (target == "SSE4" || target == "SSE2") return;
    for (const auto& [m, n, k] : {std::array{32, 2, 8},
                                  {5, 61, 300},
                                  {70, 3, 600},
                                  {1, 100, 17},
                                  {1, 135, 9},
                                  {1, 700, 40},
                                  {37, 150, 500}}) {
      const auto a = normal(static_cast<std::size_t>(m * k), 1),
                 b = normal(static_cast<std::size_t>(k * n), 2);
      std::vector<float> c(static_cast<std::size_t>(m * n)), want;
      row.matmul.run({m, n, k}, a.data(), b.data(), ScratchFor(row.matmul, {m, n, k}), c.data());
      for (int i = 0; i < m; ++i) {
        for (int j = 0; j < n; ++j) {
          float sum = 0;
          for (int p = 0; p < k; ++p) {
            sum =
                std::fma(a[static_cast<std::size_t>(i * k + p)], b[static_cast<std::size_t>(p * n + j)], sum);
          }
          want.push_back(sum);
        }
      }
      CHECK(same(c, want));
    }
  });
}

// Long ones are cut into strips and blocks, with rows packed or not; a few rows at a time are not.
TEST_CASE("a large product has the bits of a few rows at a time") {
  for_each_target([](const Backend& row, const std::string& target) {
    for (const auto& [m, n, k, lda] : {std::array{300, 1100, 430, 430},
                                       {264, 1024, 430, 1024},
                                       {259, 1100, 430, 430},
                                       {263, 1030, 410, 410},
                                       {64, 304, 520, 512},
                                       {41, 145, 64, 64}}) {
      for (int t = 0; t < 4; ++t) {
        INFO(target << ' ' << m << ' ' << n << ' ' << k << ' ' << t);
        MatmulDims d{m, n, k, (t & 1) != 0, (t & 2) != 0};
        d.lda = std::max(d.row_of_a(), lda);
        const auto a = normal(static_cast<std::size_t>((d.transpose_a ? k : m) * d.lda), 1),
                   b = normal(static_cast<std::size_t>(k * n), 2);
        std::vector<float> c(static_cast<std::size_t>(m * n), 7), want = c;
        row.matmul.run(d, a.data(), b.data(), ScratchFor(row.matmul, d), c.data());
        for (int first = 0; first < m; first += 7) {
          MatmulDims few = d;
          few.m = std::min(7, m - first);
          const float* rows = a.data() + std::ptrdiff_t{first} * (d.transpose_a ? 1 : d.lda);
          row.matmul.run(few, rows, b.data(), ScratchFor(row.matmul, few),
                         want.data() + std::ptrdiff_t{first} * n);
        }
        CHECK(same(c, want));
      }
    }
  });
}

TEST_CASE("parts of larger matrices are multiplied in their place") {
  for (const Backend* row : enabled_backends()) {
    if (!row->matmul.run) continue;
    for (const auto& [m, n, k] : {std::array{37, 150, 70}, {9, 3, 5}, {130, 2, 7}, {2, 50, 0}}) {
      for (int t = 0; t < 4; ++t) {
        INFO(row->name << ' ' << m << ' ' << n << ' ' << k << ' ' << t);
        const MatmulDims dense{m, n, k, (t & 1) != 0, (t & 2) != 0};
        MatmulDims d = dense;
        d.lda = d.row_of_a() + 3;
        d.ldb = d.row_of_b() + 5;
        d.ldc = d.row_of_c() + 7;
        const auto size = [](int rows, int row_length) {
          return static_cast<std::size_t>(rows * row_length);
        };
        const auto a = normal(size(d.transpose_a ? k : m, d.lda), 1),
                   b = normal(size(d.transpose_b ? n : k, d.ldb), 2);
        const auto cut = [&](const std::vector<float>& from, int rows, int columns, int row_length) {
          std::vector<float> out;
          for (int i = 0; i < rows; ++i) {
            const auto first = from.begin() + std::ptrdiff_t{i} * row_length;
            out.insert(out.end(), first, first + columns);
          }
          return out;
        };
        const auto a_dense = cut(a, d.transpose_a ? k : m, d.transpose_a ? m : k, d.lda);
        const auto b_dense = cut(b, d.transpose_b ? n : k, d.transpose_b ? k : n, d.ldb);
        std::vector<float> c(size(m, d.ldc), 7), want(size(m, n));
        row->matmul.run(d, a.data(), b.data(), ScratchFor(row->matmul, d), c.data());
        row->matmul.run(dense, a_dense.data(), b_dense.data(), ScratchFor(row->matmul, dense), want.data());
        CHECK(same(cut(c, m, n, d.ldc), want));
        bool untouched = true;
        for (std::size_t i = 0; i < c.size(); ++i) {
          if (i % static_cast<std::size_t>(d.ldc) >= static_cast<std::size_t>(n)) untouched &= c[i] == 7;
        }
        CHECK(untouched);
      }
    }
  }
}

TEST_CASE("Winograd's convolution within its bound, for every instruction set") {
  for_each_target([](const Backend&, const std::string&) { check_all(*winograd_backend()); });
}

TEST_CASE("packed filters, and some output channels at a time, give the bits of the whole") {
  for_each_target([](const Backend&, const std::string&) {
    const Backend& row = *winograd_backend();
    for (const auto& [in, out] : {std::array{16, 16}, {8, 72}, {40, 33}}) {
      INFO(in << " to " << out);
      const Conv2dDims d{.n = 2,
                         .h = 9,
                         .w = 14,
                         .in = in,
                         .kh = 3,
                         .kw = 3,
                         .oh = 9,
                         .ow = 14,
                         .out = out,
                         .top = 1,
                         .left = 1};
      const auto x = normal(d.x_size(), 1), w = normal(d.w_size(), 2);
      std::vector<float> packed(row.conv2d_packed_floats(d)), want(d.y_size());
      row.conv2d.run(d, x.data(), w.data(), ScratchFor(row.conv2d, d), want.data());
      row.conv2d_pack.run(d, w.data(), packed.data());
      for (const int step : {16, 48, 1000}) {
        std::vector<float> y(d.y_size(), 7);
        for (int first = 0; first < out; first += step) {
          const PackedConv2dDims part{d, first, std::min(step, out - first)};
          row.conv2d_packed.run(part, x.data(), packed.data(), ScratchFor(row.conv2d_packed, part), y.data());
        }
        CHECK(same(y, want));
      }
    }
  });
}

TEST_CASE("Winograd's convolution is off by a few times what direct sums in float are") {
  if (!winograd_backend()) {
    WARN("no row winograd: nothing tested");
    return;
  }
  for (const int channels : {16, 32, 64}) {
    const Conv2dDims d{.n = 2,
                       .h = 16,
                       .w = 16,
                       .in = channels,
                       .kh = 3,
                       .kw = 3,
                       .oh = 16,
                       .ow = 16,
                       .out = channels,
                       .top = 1,
                       .left = 1};
    auto x = normal(d.x_size(), 1);
    for (float& v : x) v = std::max(v, 0.0f);
    const auto w = normal(d.w_size(), 2, 1 / std::sqrt(4.5 * channels)), dy = normal(d.y_size(), 3);
    const std::vector<double> xd(x.begin(), x.end()), wd(w.begin(), w.end()), dyd(dy.begin(), dy.end());
    ScratchFor scratch(winograd_backend()->conv2d, d);
    // The greatest error over the greatest element.
    const auto error = [](const std::vector<float>& got, const std::vector<double>& want) {
      double off = 0, top = 0;
      for (std::size_t i = 0; i < got.size(); ++i) {
        off = std::max(off, std::abs(static_cast<double>(got[i]) - want[i]));
        top = std::max(top, std::abs(want[i]));
      }
      return off / top;
    };
    std::vector<double> y_want(d.y_size()), dw_want(d.w_size());
    std::vector<float> y(d.y_size()), y_direct(d.y_size()), dw(d.w_size()), dw_direct(d.w_size());
    conv2d_reference(d, xd.data(), wd.data(), y_want.data());
    conv2d_reference(d, x.data(), w.data(), y_direct.data());
    conv2d_filter_grad_reference(d, xd.data(), dyd.data(), dw_want.data());
    conv2d_filter_grad_reference(d, x.data(), dy.data(), dw_direct.data());
    winograd_backend()->conv2d.run(d, x.data(), w.data(), scratch, y.data());
    winograd_backend()->conv2d_filter_grad.run(d, x.data(), dy.data(), scratch, dw.data());
    INFO(channels << " channels: " << error(y, y_want) << ", direct " << error(y_direct, y_want)
                  << "; filters " << error(dw, dw_want) << ", direct " << error(dw_direct, dw_want));
    CHECK(error(y, y_want) < 2e-6);
    CHECK(error(y, y_want) < 6 * error(y_direct, y_want));
    CHECK(error(dw, dw_want) < 2e-6);
    CHECK(error(dw, dw_want) < 6 * error(dw_direct, dw_want));
  }
}
