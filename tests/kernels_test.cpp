// Every kernel of every backend, and of the simd row for every instruction set this CPU has.
#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <vector>

#include "autodiff/kernels/check.h"
#include "autodiff/kernels/cpu.h"
#include "autodiff/tensor/error.h"
#include "autodiff/tensor/random.h"
#include "tests/catch.h"

using namespace autodiff;
using namespace autodiff::kernels;

namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();
constexpr float not_a_number = std::numeric_limits<float>::quiet_NaN();

std::vector<float> normal(std::size_t n, std::uint64_t stream, double scale = 1) {
  std::vector<float> out(n);
  const Random random{Seed{stream}};
  for (std::size_t i = 0; i < n; ++i) out[i] = static_cast<float>(scale * random.normal(i));
  return out;
}

// The same bits, so that -0 is not 0 and NaN equals itself.
bool same(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() &&
         (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0);
}

// Runs body with the simd row made for each instruction set in turn.
void for_each_target(const std::function<void(const Backend&, const std::string&)>& body) {
  const auto supported = simd_targets();
  const std::string before = simd_target();
  for (const std::string& target : compiled_simd_targets()) {
    if (std::find(supported.begin(), supported.end(), target) == supported.end()) {
      WARN("this CPU lacks " << target << ": not tested");
      continue;
    }
    force_simd_target(target);
    INFO("instruction set " << target);
    REQUIRE(simd_target() == target);
    body(*simd_backend(), target);
  }
  force_simd_target(before);
  if (supported.empty()) WARN("no simd row: nothing tested");
}

void check_all(const Backend& backend) {
  for (const KernelCheck& check : check_kernels(backend)) {
    INFO(check.backend << " " << check.kernel << " " << check.dims);
    INFO("error " << check.error << ", bound " << check.bound);
    CHECK(check.ok);
  }
}

std::vector<float> unary(const Backend& row, Unary kind, const std::vector<float>& x, float constant = 0) {
  std::vector<float> y(x.size());
  row.unary.run({kind, x.size(), constant}, x.data(), y.data());
  return y;
}

// Rows of both backends on the same arrays: matmul (all transposes), binary, reduce, copy.
std::vector<float> everything_exact(const Backend& row) {
  std::vector<float> all;
  for (const auto& [m, n, k] :
       {std::array{1, 1, 1}, {7, 5, 3}, {33, 130, 70}, {65, 2, 129}, {2, 300, 9}, {33, 145, 70}}) {
    const auto a = normal(static_cast<std::size_t>(m * k), 1), b = normal(static_cast<std::size_t>(k * n), 2);
    for (int t = 0; t < 4; ++t) {
      std::vector<float> c(static_cast<std::size_t>(m * n));
      const MatmulDims d{m, n, k, (t & 1) != 0, (t & 2) != 0};
      row.matmul.run(d, a.data(), b.data(), ScratchFor(row.matmul, d), c.data());
      all.insert(all.end(), c.begin(), c.end());
    }
  }
  const auto x = normal(600, 3), y = normal(600, 4);
  for (int kind = 0; kind <= static_cast<int>(Binary::sigmoid_grad); ++kind) {
    for (const BinaryDims& layout : {BinaryDims{Binary::add, 1, {600}, {1}, {1}},
                                     {Binary::add, 2, {60, 10}, {10, 1}, {0, 1}},
                                     {Binary::add, 2, {60, 10}, {1, 0}, {10, 1}}}) {
      BinaryDims d = layout;
      d.kind = static_cast<Binary>(kind);
      std::vector<float> z(600);
      row.binary.run(d, x.data(), y.data(), z.data());
      all.insert(all.end(), z.begin(), z.end());
    }
  }
  for (const Unary kind : {Unary::relu, Unary::sqrt, Unary::square, Unary::scale, Unary::shift}) {
    const auto z = unary(row, kind, unary(*reference_backend(), Unary::exp, x), 0.7f);
    all.insert(all.end(), z.begin(), z.end());
  }
  return all;
}

}  // namespace

TEST_CASE("every kernel stays within its bound and inside its arrays") {
  for (const Backend* row : enabled_backends()) check_all(*row);
  for_each_target([](const Backend& row, const std::string&) { check_all(row); });
}

TEST_CASE("Winograd's convolution within its bound, for every instruction set") {
  for_each_target([](const Backend&, const std::string&) { check_all(*winograd_backend()); });
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
    std::vector<float> scratch(winograd_backend()->conv2d.scratch_bytes(d) / sizeof(float));
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
    winograd_backend()->conv2d.run(d, x.data(), w.data(), {scratch.data()}, y.data());
    winograd_backend()->conv2d_filter_grad.run(d, x.data(), dy.data(), {scratch.data()}, dw.data());
    INFO(channels << " channels: " << error(y, y_want) << ", direct " << error(y_direct, y_want)
                  << "; filters " << error(dw, dw_want) << ", direct " << error(dw_direct, dw_want));
    CHECK(error(y, y_want) < 2e-6);
    CHECK(error(y, y_want) < 6 * error(y_direct, y_want));
    CHECK(error(dw, dw_want) < 2e-6);
    CHECK(error(dw, dw_want) < 6 * error(dw_direct, dw_want));
  }
}

TEST_CASE("a check notices wrong values and writes outside the output") {
  Backend wrong{.name = "wrong"};
  wrong.unary = {[](const UnaryDims& d, const float* x, float* y) {
    unary_reference(d, x, y);
    if (d.kind == Unary::tanh && d.n == 67) y[66] += 1e-4f;  // an error in the last element
    if (d.kind == Unary::relu) y[d.n] = 0;                   // one too many
  }};
  int failed = 0;
  for (const KernelCheck& check : check_kernels(wrong)) {
    CHECK(check.ok == !(check.kernel == "relu" || (check.kernel == "tanh" && check.dims == "[67]")));
    failed += !check.ok;
  }
  CHECK(failed == 7);
}

TEST_CASE("the portable kernels give the bits of the reference") {
  CHECK(same(everything_exact(*portable_backend()), everything_exact(*reference_backend())));
  for (const auto& [outer, reduced, inner] :
       {std::array<std::size_t, 3>{3, 50, 70}, {2, 33, 1}, {1, 9, 10}}) {
    const auto x = normal(outer * reduced * inner, 5);
    for (const Reduce kind : {Reduce::sum, Reduce::max}) {
      std::vector<float> a(outer * inner), b(outer * inner);
      const ReduceDims d{kind, outer, reduced, inner, 7};
      portable_backend()->reduce.run(d, x.data(), a.data());
      reference_backend()->reduce.run(d, x.data(), b.data());
      CHECK(same(a, b));
    }
  }
}

TEST_CASE("the simd kernels without rounding choices give the bits of the portable ones") {
  for_each_target([](const Backend& row, const std::string& target) {
    Backend exact = row;
    if (target != "SSE4" && target != "SSE2")
      exact.matmul = portable_backend()->matmul;  // fused multiply-add
    CHECK(same(everything_exact(exact), everything_exact(*portable_backend())));
  });
}

TEST_CASE("simd matmul adds in the order of p, fused where the CPU can") {
  for_each_target([](const Backend& row, const std::string& target) {
    if (target == "SSE4" || target == "SSE2") return;
    for (const auto& [m, n, k] :
         {std::array{32, 2, 8}, {5, 61, 300}, {70, 3, 600}, {1, 100, 17}, {37, 150, 500}}) {
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

TEST_CASE("a short row's result does not depend on its batch") {
  for_each_target([](const Backend& row, const std::string&) {
    constexpr std::size_t rows = 37;
    for (const std::size_t cols : {2u, 10u, 31u, 40u}) {
      const auto z = normal(rows * cols, 1, 5);
      const std::vector<std::int32_t> labels(rows, 1);
      std::vector<float> whole(rows * cols), single(rows * cols), loss(rows), alone(rows);
      row.softmax.run({rows, cols}, z.data(), whole.data());
      row.cross_entropy.run({rows, cols}, z.data(), labels.data(), loss.data());
      for (std::size_t r = 0; r < rows; ++r) {
        row.softmax.run({1, cols}, z.data() + r * cols, single.data() + r * cols);
        row.cross_entropy.run({1, cols}, z.data() + r * cols, labels.data(), alone.data() + r);
      }
      CHECK(same(whole, single));
      CHECK(same(loss, alone));
    }
  });
}

TEST_CASE("exp, log, tanh and sigmoid over all floats") {
  const struct {
    Unary kind;
    const char* name;
    double ulps;
  } functions[] = {{Unary::exp, "exp", 1.5},
                   {Unary::log, "log", 1.5},
                   {Unary::tanh, "tanh", 2.5},
                   {Unary::sigmoid, "sigmoid", 2.5}};
  std::vector<float> x;
  for (std::uint64_t bits = 0; bits < (std::uint64_t{1} << 32); bits += 9973) {
    x.push_back(std::bit_cast<float>(static_cast<std::uint32_t>(bits)));
  }
  for (int i = -110000; i <= 110000; ++i) x.push_back(static_cast<float>(i) * 1e-3f);  // where they bend
  for_each_target([&](const Backend& row, const std::string&) {
    for (const auto& f : functions) {
      const auto y = unary(row, f.kind, x);
      double worst = 0;
      float at = 0;
      for (std::size_t i = 0; i < x.size(); ++i) {
        const double want = unary_reference(f.kind, static_cast<double>(x[i]), 0);
        const double got = static_cast<double>(y[i]);
        const bool special = std::isnan(want) || std::isinf(static_cast<float>(want));
        double error = 0;
        if (special) {
          const bool right = std::isnan(want) ? std::isnan(got) : y[i] == static_cast<float>(want);
          error = right ? 0 : 1e9;
        } else {
          const int exponent = std::max(std::ilogb(want), -126);
          error = want == 0 ? std::abs(got) * 0x1p149 : std::abs(got - want) / std::ldexp(1.0, exponent - 23);
        }
        if (!(error <= worst)) worst = error, at = x[i];
      }
      INFO(f.name << ": " << worst << " ulp at " << at);
      CHECK(worst <= f.ulps);
    }
  });
}

TEST_CASE("special values of elementwise kernels") {
  const std::vector<float> x{0.0f, -0.0f, infinity, -infinity, not_a_number, -1.0f};
  for (const Backend* row : enabled_backends()) {
    if (!row->unary.run) continue;
    INFO(row->name);
    const auto exp = unary(*row, Unary::exp, x), log = unary(*row, Unary::log, x);
    CHECK(same({exp[0], exp[1], exp[2], exp[3]}, {1, 1, infinity, 0}));
    CHECK((std::isnan(exp[4]) && std::isnan(log[4]) && std::isnan(log[3]) && std::isnan(log[5])));
    CHECK(same({log[0], log[1], log[2]}, {-infinity, -infinity, infinity}));
    const auto tanh = unary(*row, Unary::tanh, x), sigmoid = unary(*row, Unary::sigmoid, x);
    CHECK(same({tanh[0], tanh[1], tanh[2], tanh[3]}, {0.0f, -0.0f, 1, -1}));
    CHECK(same({sigmoid[0], sigmoid[2], sigmoid[3]}, {0.5f, 1, 0}));
    CHECK((std::isnan(tanh[4]) && std::isnan(sigmoid[4])));
    CHECK(same(unary(*row, Unary::relu, x), {0, 0, infinity, 0, 0, 0}));
  }
}

TEST_CASE("softmax and cross entropy of extreme logits") {
  for (const Backend* row : enabled_backends()) {
    if (!row->softmax.run) continue;
    INFO(row->name);
    for (const std::size_t cols : {2u, 50u}) {
      // A masked, an enormous and a confident row; one with NaN, which must not stay unseen.
      std::vector<float> z(4 * cols, 0.0f), p(4 * cols), loss(4);
      z[0] = -infinity;
      z[cols] = 3e38f;
      for (std::size_t c = 0; c < cols; ++c) z[2 * cols + c] = c == 0 ? 20.0f : 0.0f;
      z[3 * cols + 1] = not_a_number;
      const std::vector<std::int32_t> labels(4, 0);
      row->softmax.run({4, cols}, z.data(), p.data());
      row->cross_entropy.run({4, cols}, z.data(), labels.data(), loss.data());
      const double others = static_cast<double>(cols - 1);
      CHECK(p[0] == 0);
      CHECK(p[1] == Approx(1 / others));
      CHECK(p[cols] == 1);
      CHECK(p[cols + 1] == 0);
      CHECK(loss[0] == infinity);
      CHECK(loss[1] == 0);
      CHECK(loss[2] == Approx(others * std::exp(-20.0)).epsilon(1e-6));  // not rounded to 0
      CHECK((std::isnan(p[3 * cols]) && std::isnan(p[3 * cols + 1]) && std::isnan(loss[3])));
    }
  }
}

TEST_CASE("AdamW has the bits of its definition, for every instruction set") {
  for_each_target([](const Backend& row, const std::string&) {
    const AdamwDims d{.n = 83,
                      .learning_rate = 0.01f,
                      .b1 = 0.9f,
                      .b2 = 0.999f,
                      .epsilon = 1e-8f,
                      .weight_decay = 0.1f,
                      .to_m = 3.7f,
                      .to_v = 330};
    const auto g = normal(d.n, 1), from = normal(d.n, 2);
    auto m = normal(d.n, 3), v = unary(*reference_backend(), Unary::square, m), p = normal(d.n, 4);
    auto m_want = m, v_want = v, p_want = p;
    adamw_reference(d, g.data(), from.data(), m_want.data(), v_want.data(), p_want.data());
    row.adamw(d, g.data(), from.data(), m.data(), v.data(), p.data());
    CHECK((same(m, m_want) && same(v, v_want) && same(p, p_want)));
    row.adamw(d, g.data(), p.data(), m.data(), v.data(), p.data());  // its own parameters decay
    adamw_reference(d, g.data(), p_want.data(), m_want.data(), v_want.data(), p_want.data());
    CHECK((same(m, m_want) && same(v, v_want) && same(p, p_want)));
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

TEST_CASE("instruction sets can be chosen by name") {
  CHECK_THROWS_WITH(force_simd_target("SSE9"), ContainsSubstring("SSE9"));
  const std::string before = simd_target();
  force_simd_target("none");
  CHECK(simd_target() == "none");
  CHECK_FALSE(simd_backend());
  CHECK_FALSE(winograd_backend());
  CHECK_NOTHROW(force_simd_target("best"));
  const auto supported = simd_targets();
  CHECK(simd_target() == (supported.empty() ? "none" : supported.front()));
  force_simd_target(before);
  CHECK((simd_backend() != nullptr) == !supported.empty());
  CHECK(!cpu_name().empty());
  CHECK(!cpu_features().empty());
}

TEST_CASE("an OpenBLAS that takes the CPU for an older one is not trusted") {
  CHECK(is_older_core("Prescott", "SSE4.2 AVX AVX2 FMA AVX-512"));
  CHECK(is_older_core("Haswell", "SSE4.2 AVX AVX2 FMA AVX-512"));
  CHECK(is_older_core("Sandybridge", "SSE4.2 AVX AVX2 FMA"));
  CHECK_FALSE(is_older_core("SkylakeX", "SSE4.2 AVX AVX2 FMA AVX-512"));
  CHECK_FALSE(is_older_core("Zen", "SSE4.2 AVX AVX2 FMA"));
  CHECK_FALSE(is_older_core("Nehalem", "SSE4.2"));
  CHECK_FALSE(is_older_core("neoversen1", "NEON"));
  const BlasInfo info = blas_info();
  CHECK(info.older_than_cpu == !info.warning.empty());
  if (blas_backend()) {
    CHECK(info.threads == 1);
    if (info.older_than_cpu) {
      CHECK_THAT(info.warning, ContainsSubstring("OPENBLAS_CORETYPE"));
      CHECK_FALSE(blas_backend()->matmul.supports({512, 512, 512}));
    }
  } else {
    CHECK(info.core == "none");
  }
}
