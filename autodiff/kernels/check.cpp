// Somewhat long: a case list and a bound for every entry of the table.
#include "autodiff/kernels/check_arrays.h"
#include "autodiff/tensor/error.h"

namespace autodiff::kernels {
namespace {

using namespace detail;

Input<std::int32_t> some_labels(std::size_t n, std::size_t classes) {
  Input<std::int32_t> out(n);
  const Random random{Seed{n}};
  for (std::size_t i = 0; i < n; ++i) out.data()[i] = static_cast<std::int32_t>(random.below(i, classes));
  return out;
}

class Checker : public Checks {
 public:
  using Checks::Checks;

  void matmul() {
    constexpr int sizes[][3] = {{1, 1, 1},      {3, 2, 5},    {32, 2, 8},   {2, 8, 32},   {8, 2, 32},
                                {7, 5, 3},      {33, 10, 64}, {1, 37, 300}, {65, 97, 17}, {19, 100, 2},
                                {130, 3, 9},    {0, 3, 2},    {3, 0, 2},    {2, 3, 0},    {50, 70, 520},
                                {45, 150, 400}, {64, 144, 64}};
    for (const auto& s : sizes) {
      for (int t = 0; t < 4; ++t) {
        const MatmulDims d{s[0], s[1], s[2], (t & 1) != 0, (t & 2) != 0};
        auto a = normal(size(d.m, d.k), 1), b = normal(size(d.k, d.n), 2);
        Output<float> c(size(d.m, d.n));
        auto scratch = scratch_for(row_.matmul, d);
        call([&] {
          row_.matmul.run(d, a.data(), b.data(), {scratch.size() ? scratch.data() : nullptr}, c.data());
        });
        std::vector<double> want(c.size()), bound(c.size());
        matmul_reference(d, a.doubles().data(), b.doubles().data(), want.data());
        matmul_reference(d, a.doubles(true).data(), b.doubles(true).data(), bound.data());
        for (double& x : bound) x *= gamma(d.k);
        add("matmul",
            text("[", d.m, ", ", d.k, "] [", d.k, ", ", d.n, "]", d.transpose_a ? " a^T" : "",
                 d.transpose_b ? " b^T" : ""),
            c, want, bound, scratch.intact());
      }
    }
  }

  void unary() {
    struct Case {
      Unary kind;
      const char* name;
      double ulps;  // of the result
    };
    constexpr Case cases[] = {
        {Unary::relu, "relu", 0},       {Unary::tanh, "tanh", 3},     {Unary::sigmoid, "sigmoid", 3},
        {Unary::exp, "exp", 2},         {Unary::log, "log", 2},       {Unary::sqrt, "sqrt", 0.5},
        {Unary::square, "square", 0.5}, {Unary::scale, "scale", 0.5}, {Unary::shift, "shift", 0.5}};
    for (const Case& c : cases) {
      for (const std::size_t n : {0u, 1u, 7u, 16u, 67u, 1000u}) {
        const UnaryDims d{c.kind, n, 0.3f};
        auto x = normal(n, 3, 20);
        if (c.kind == Unary::log || c.kind == Unary::sqrt) {
          for (std::size_t i = 0; i < n; ++i) x.data()[i] = std::exp(x.data()[i]);
        }
        Output<float> y(n);
        call([&] { row_.unary.run(d, x.data(), y.data()); });
        std::vector<double> want(n), bound(n);
        unary_reference(d, x.doubles().data(), want.data());
        for (std::size_t i = 0; i < n; ++i) bound[i] = c.ulps * (ulp * std::abs(want[i]) + tiniest);
        add(c.name, text("[", n, "]"), y, want, bound);
      }
    }
  }

  void binary() {
    constexpr const char* names[] = {"add",   "sub",       "mul",       "div",
                                     "equal", "relu_grad", "tanh_grad", "sigmoid_grad"};
    // size, strides of a, strides of b
    constexpr BinaryDims layouts[] = {{Binary::add, 1, {101}, {1}, {1}},
                                      {Binary::add, 1, {0}, {1}, {1}},
                                      {Binary::add, 1, {35}, {1}, {0}},
                                      {Binary::add, 1, {35}, {0}, {1}},
                                      {Binary::add, 2, {32, 2}, {2, 1}, {0, 1}},
                                      {Binary::add, 2, {9, 10}, {0, 1}, {10, 1}},
                                      {Binary::add, 2, {5, 200}, {200, 1}, {0, 1}},
                                      {Binary::add, 2, {13, 3}, {3, 1}, {1, 0}},
                                      {Binary::add, 2, {3, 21}, {1, 0}, {0, 1}},
                                      {Binary::add, 3, {3, 4, 5}, {20, 0, 1}, {0, 5, 1}}};
    for (BinaryDims d : layouts) {
      std::size_t n = 1, na = 1, nb = 1;
      std::string shape;
      for (std::size_t k = 0; k < static_cast<std::size_t>(d.rank); ++k) {
        const auto s = static_cast<std::size_t>(d.size[k]);
        n *= s;
        na += (std::max<std::size_t>(s, 1) - 1) * static_cast<std::size_t>(d.a_stride[k]);
        nb += (std::max<std::size_t>(s, 1) - 1) * static_cast<std::size_t>(d.b_stride[k]);
        shape += text(k ? ", " : "[", s, d.a_stride[k] ? "" : " (a repeated)",
                      d.b_stride[k] ? "" : " (b repeated)");
      }
      for (int kind = 0; kind <= static_cast<int>(Binary::sigmoid_grad); ++kind) {
        d.kind = static_cast<Binary>(kind);
        auto a = normal(na, 4), b = normal(nb, 5);
        Output<float> y(n);
        call([&] { row_.binary.run(d, a.data(), b.data(), y.data()); });
        std::vector<double> want(n), bound(n);
        binary_reference(d, a.doubles().data(), b.doubles().data(), want.data());
        BinaryDims magnitude = d;  // of the terms, where 1 - a cancels: at most |b| (1 + |a|)^2
        if (d.kind == Binary::tanh_grad || d.kind == Binary::sigmoid_grad) {
          magnitude.kind = Binary::mul;
          std::vector<double> ab(n);
          auto squares = a.doubles(true), bs = b.doubles(true);
          for (double& v : squares) v = (1 + v) * (1 + v);
          binary_reference(magnitude, squares.data(), bs.data(), ab.data());
          for (std::size_t i = 0; i < n; ++i) bound[i] = gamma(3) * ab[i];
        } else {
          for (std::size_t i = 0; i < n; ++i) bound[i] = unit * std::abs(want[i]);
        }
        add(names[kind], shape + "]", y, want, bound);
      }
    }
  }

  void reduce() {
    constexpr std::size_t sizes[][3] = {{1, 1, 1},   {1, 32, 2}, {1, 32, 8}, {1, 1000, 1},
                                        {5, 37, 1},  {40, 2, 1}, {2, 9, 10}, {1, 33, 64},
                                        {3, 5, 150}, {2, 0, 3},  {0, 4, 4},  {4, 7, 16}};
    for (const auto& s : sizes) {
      for (const Reduce kind : {Reduce::sum, Reduce::max}) {
        const ReduceDims d{kind, s[0], s[1], s[2], kind == Reduce::sum ? 7.0 : 1.0};
        auto x = normal(d.outer * d.reduced * d.inner, 6);
        Output<float> y(d.outer * d.inner);
        call([&] { row_.reduce.run(d, x.data(), y.data()); });
        std::vector<double> want(y.size()), bound(y.size());
        if (kind == Reduce::sum) reduce_reference(d, x.doubles(true).data(), bound.data());
        reduce_reference(d, x.doubles().data(), want.data());
        for (std::size_t i = 0; i < bound.size() && kind == Reduce::sum; ++i) {
          bound[i] = unit * std::abs(want[i]) + 0x1p-53 * static_cast<double>(d.reduced) * bound[i];
        }
        add(kind == Reduce::sum ? "sum" : "max", text("[", s[0], ", ", s[1], ", ", s[2], "] over 1"), y, want,
            bound);
      }
    }
  }

  // softmax, cross_entropy and their kin, and what deals with labels
  void rows() {
    constexpr std::size_t sizes[][2] = {{32, 2}, {1, 1},  {5, 2},   {33, 3}, {17, 10},
                                        {3, 32}, {2, 33}, {4, 200}, {0, 3},  {100, 7}};
    for (const auto& s : sizes) {
      const std::size_t rows = s[0], cols = s[1];
      const std::string dims = text("[", rows, ", ", cols, "]");
      auto z = normal(rows * cols, 7, 5), dloss = normal(rows, 8);
      auto label = some_labels(rows, cols);
      // A logit less the maximum is off by unit |z - m|; so is, relatively, its exponential, to which two ulp
      // are added; sums of those likewise.
      std::vector<double> spread(rows, 0);
      for (std::size_t i = 0; i < rows * cols; ++i) {
        const float m = row_max(z.data() + i / cols * cols, cols);
        spread[i / cols] = std::max(spread[i / cols], static_cast<double>(m - z.data()[i]));
      }
      for (const bool log : {false, true}) {
        if (!row_.softmax.run) break;
        Output<float> y(rows * cols);
        call([&] { row_.softmax.run({rows, cols, log}, z.data(), y.data()); });
        std::vector<double> want(y.size()), bound(y.size());
        softmax_reference({rows, cols, log}, z.doubles().data(), want.data());
        for (std::size_t i = 0; i < want.size(); ++i) {
          const double relative = 2 * ulp * 2 + 2 * unit * spread[i / cols];
          bound[i] = log ? relative + 3 * unit * (spread[i / cols] + std::abs(want[i]))
                         : (relative + 3 * unit) * want[i] + 0x1p-126;
        }
        add(log ? "log_softmax" : "softmax", dims, y, want, bound);
      }
      if (row_.cross_entropy.run) {
        Output<float> loss(rows);
        call([&] { row_.cross_entropy.run({rows, cols}, z.data(), label.data(), loss.data()); });
        std::vector<double> want(rows), bound(rows);
        cross_entropy_reference({rows, cols}, z.doubles().data(), label.data(), want.data());
        for (std::size_t r = 0; r < rows; ++r) bound[r] = 2 * ulp + 3 * unit * (2 * spread[r] + want[r]);
        add("cross_entropy", dims, loss, want, bound);
      }
      if (row_.cross_entropy_grad.run) {
        Output<float> dz(rows * cols);
        call([&] {
          row_.cross_entropy_grad.run({rows, cols}, z.data(), label.data(), dloss.data(), dz.data());
        });
        std::vector<double> want(dz.size()), bound(dz.size());
        const auto dl = dloss.doubles();
        cross_entropy_grad_reference({rows, cols}, z.doubles().data(), label.data(), dl.data(), want.data());
        for (std::size_t i = 0; i < want.size(); ++i) {
          bound[i] = std::abs(dl[i / cols]) * (4 * ulp + 2 * unit * spread[i / cols] + 4 * unit);
        }
        add("cross_entropy_grad", dims, dz, want, bound);
      }
      labels(rows, cols, dims, z, label, dloss);
    }
  }

  void copy() {
    CopyDims transpose{.rank = 2, .size = {5, 7}, .in_stride = {1, 5}, .out_stride = {7, 1}};
    CopyDims slice{.rank = 2, .size = {3, 4}, .in_stride = {9, 1}, .out_stride = {4, 1}, .in_offset = 11};
    CopyDims pad{
        .rank = 1, .size = {3}, .in_stride = {1}, .out_stride = {2}, .out_offset = 1, .zero_first = 9};
    CopyDims none{.rank = 1, .size = {0}, .in_stride = {1}, .out_stride = {1}};
    const struct {
      const CopyDims& dims;
      const char* name;
      std::size_t in, out;
    } cases[] = {{transpose, "transpose [7, 5]", 35, 35},
                 {slice, "slice [3, 4]", 33, 12},
                 {pad, "pad [3]", 3, 9},
                 {none, "[0]", 0, 0}};
    for (const auto& c : cases) {
      auto x = normal(c.in, 9);
      Output<float> y(c.out);
      call([&] { row_.copy.run(c.dims, x.data(), y.data()); });
      std::vector<double> want(c.out);
      copy_reference(c.dims, x.doubles().data(), want.data());
      add("copy", c.name, y, want, std::vector<double>(c.out));
    }
  }

  void dropout() {
    constexpr std::size_t sizes[][2] = {{1, 1}, {5, 3}, {7, 4}, {3, 65}, {0, 6}, {4, 0}, {33, 10}};
    for (const auto& s : sizes) {
      for (const std::uint32_t threshold : {0u, 1u << 31, ~0u}) {
        const DropoutDims d{s[0], s[1], 3, threshold, 1.7f};
        auto x = normal(s[0] * s[1], 10);
        auto keys = some_labels(s[0], 1u << 31);
        Output<float> y(s[0] * s[1]);
        call([&] { row_.dropout.run(d, x.data(), keys.data(), y.data()); });
        std::vector<double> want(y.size()), bound(y.size());
        dropout_reference(d, x.doubles().data(), keys.data(), want.data());
        for (std::size_t i = 0; i < want.size(); ++i) bound[i] = unit * std::abs(want[i]);
        add("dropout", text("[", s[0], ", ", s[1], "]"), y, want, bound);
      }
    }
  }

 private:
  static std::size_t size(int rows, int cols) {
    return static_cast<std::size_t>(rows) * static_cast<std::size_t>(cols);
  }

  void labels(std::size_t rows, std::size_t cols, const std::string& dims, Input<float>& x,
              Input<std::int32_t>& label, Input<float>& values) {
    const IndexDims d{rows, cols};
    if (row_.argmax.run) {
      Output<std::int32_t> best(rows);
      call([&] { row_.argmax.run(d, x.data(), best.data()); });
      std::vector<std::int32_t> want(rows);
      argmax_reference(d, x.data(), want.data());
      add("argmax", dims, best, {want.begin(), want.end()}, std::vector<double>(rows));
    }
    if (row_.gather.run) {
      Output<float> y(rows);
      call([&] { row_.gather.run(d, x.data(), label.data(), y.data()); });
      std::vector<double> want(rows);
      gather_reference(d, x.doubles().data(), label.data(), want.data());
      add("gather", dims, y, want, std::vector<double>(rows));
    }
    if (row_.scatter.run) {
      Output<float> y(rows * cols);
      call([&] { row_.scatter.run(d, values.data(), label.data(), y.data()); });
      std::vector<double> want(rows * cols);
      scatter_reference(d, values.doubles().data(), label.data(), want.data());
      add("scatter", dims, y, want, std::vector<double>(rows * cols));
    }
  }
};

}  // namespace

namespace {

std::vector<KernelCheck> check_row(const Backend& backend) {
  Checker checker(backend);
  if (backend.matmul.run) checker.matmul();
  if (backend.unary.run) checker.unary();
  if (backend.binary.run) checker.binary();
  if (backend.reduce.run) checker.reduce();
  checker.rows();
  if (backend.copy.run) checker.copy();
  auto images = check_images(backend);
  checker.results.insert(checker.results.end(), std::make_move_iterator(images.begin()),
                         std::make_move_iterator(images.end()));
  if (backend.dropout.run) checker.dropout();
  return std::move(checker.results);
}

}  // namespace

std::vector<KernelCheck> check_kernels(const Backend& backend) {
  std::vector<KernelCheck> all = check_row(backend);
  if (&backend != cuda_backend()) return all;
  margin = 68;
  auto aligned_ones = check_row(backend);
  margin = 67;
  all.insert(all.end(), std::make_move_iterator(aligned_ones.begin()),
             std::make_move_iterator(aligned_ones.end()));
  return all;
}

std::vector<KernelCheck> check_kernels() {
  std::vector<KernelCheck> all;
  Backends rows = enabled_backends();
  if (cuda_backend()) rows.push_back(cuda_backend());
  for (const Backend* backend : rows) {
    auto some = check_kernels(*backend);
    all.insert(all.end(), std::make_move_iterator(some.begin()), std::make_move_iterator(some.end()));
  }
  return all;
}

}  // namespace autodiff::kernels
