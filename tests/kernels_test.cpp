// Every kernel of every backend, and of the simd row for every instruction set this CPU has.
#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>
#include <vector>

#include "tests/kernel_rows.h"

using namespace tests;

namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();
constexpr float not_a_number = std::numeric_limits<float>::quiet_NaN();

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

TEST_CASE("updates have the bits of their definitions, for every optimizer and instruction set") {
  using Kind = UpdateDims::Kind;
  const UpdateScalars scalars{.learning_rate = 0.01f, .to_m = 3.7f, .to_v = 330};
  for_each_target([&](const Backend& row, const std::string&) {
    for (const Kind kind :
         {Kind::sgd, Kind::momentum, Kind::nesterov, Kind::adamw, Kind::rmsprop, Kind::rmsprop_momentum}) {
      CAPTURE(static_cast<int>(kind));
      UpdateDims d{.kind = kind,
                   .n = 83,
                   .b1 = 0.9f,
                   .b2 = 0.999f,
                   .epsilon = 1e-8f,
                   .weight_decay = 0.1f,
                   .momentum = 0.9f,
                   .decay = 0.99f};
      const auto g = normal(d.n, 1), from = normal(d.n, 2);
      const bool one = kind == Kind::momentum || kind == Kind::nesterov || kind == Kind::rmsprop;
      auto m = unary(*reference_backend(), Unary::square, normal(d.n, 3)), p = normal(d.n, 4);
      auto v = unary(*reference_backend(), Unary::square, m);
      auto m_want = m, v_want = v, p_want = p;
      const auto check = [&](const float* decays, const float* decays_want) {
        row.update.run(d, scalars, g.data(), {decays, m.data(), one ? nullptr : v.data(), p.data()});
        update_reference(d, scalars, g.data(), {decays_want, m_want.data(), v_want.data(), p_want.data()});
        CHECK((same(m, m_want) && same(v, v_want) && same(p, p_want)));
      };
      check(from.data(), from.data());
      check(p.data(), p_want.data());  // its own parameters decay
      d.n = 19;                        // a part of some rows
      d.rows = 3;
      d.row = 31;
      d.gradient_row = 20;
      check(from.data(), from.data());
    }
  });
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
  CHECK((simd_backend() != nullptr) == (before != "none"));
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
