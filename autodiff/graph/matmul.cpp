// Products of matrices and of stacks of them. A long file: a product is cut into parts for threads, and into
// panels for a few rows, by the same sizes.
#include "autodiff/graph/matmul.h"

#include <algorithm>
#include <array>
#include <functional>
#include <limits>
#include <numeric>

#include "autodiff/graph/movement.h"
#include "autodiff/graph/op.h"

namespace autodiff {
namespace {

bool is_stack(const Shape& s) { return s.rank() > 2; }

// Matrices of a stack: the product of its leading axes.
std::ptrdiff_t matrices(const Shape& s) {
  return std::accumulate(s.begin(), s.end() - 2, std::ptrdiff_t{1}, std::multiplies<>());
}

// How an op calls the kernel: `count` times for the sizes `each`, with operands that many elements apart from
// call to call.
struct Calls {
  std::ptrdiff_t count = 1;
  kernels::MatmulDims each = {};
  std::ptrdiff_t a = 0, b = 0, c = 0;
};

// The call with operands that begin so many elements further on; `updates`: of a launch_update.
Launch further_on(Launch one, std::ptrdiff_t a, std::ptrdiff_t b, std::ptrdiff_t c, bool updates = false) {
  if (!one.run) return one;
  const std::size_t scratch_bytes = one.scratch_bytes;
  return {one.backend,
          [a, b, c, updates, run = std::move(one.run)](const void* const* in, void* out) {
            const std::array<const void*, 3> inputs{static_cast<const float*>(in[0]) + a,
                                                    static_cast<const float*>(in[1]) + b, in[2]};
            if (!updates) return run(inputs.data(), static_cast<float*>(out) + c);
            kernels::ParameterUpdate update = *static_cast<const kernels::ParameterUpdate*>(out);
            update.arrays = update.arrays.at(static_cast<std::size_t>(c));
            run(inputs.data(), &update);
          },
          scratch_bytes};
}

// By the backend that forms the product anyway, so that the bits are the same; without `run` where it cannot.
Launch choose_update(const kernels::Backends& backends, const kernels::MatmulDims& d) {
  const kernels::Backend& backend = choose(backends, &kernels::Backend::matmul, d);
  const auto& entry = backend.matmul_update;
  if (!entry.run || !entry.supports(d)) return {};
  return launch_of(backend, &kernels::Backend::matmul_update, d);
}

// Into how many parts a product is worth cutting, if there are so many. A few rows only wait for the memory
// of b: 10 operations in the time of a float.
int parts_for(const kernels::MatmulDims& d, int most) {
  const double floats = 1.0 * d.n * d.k, operations = std::max(kernels::flops(d), 10 * floats);
  return static_cast<int>(std::min({operations / operations_per_part, 1.0 * most, 4096.0}));
}

// Columns of b [k, n] by panels: [k, panel], one after the other, the last one narrower. Where a row or a few
// meet a large b, reading it is all that takes time, and whoever reads some columns of long rows is handed
// those of others, too, by the CPU: two threads with a half each, which their second-level caches hold,
// took 28 us for 2.7 MB on an Emerald Rapids, and 11 by panels.
constexpr int panel = 128;
constexpr int panels(int n) { return (n + panel - 1) / panel; }

class PackColumnsOp final : public OpBase<PackColumnsOp> {
 public:
  PackColumnsOp(const kernels::Backend& backend, const kernels::MatmulDims& dims)
      : backend_(&backend), dims_(dims) {}
  std::string name() const override { return "pack_columns"; }
  BatchRole role(std::span<const Value>) const override { return BatchRole::whole; }
  Launch launch(const LaunchArgs&) const override {
    return {backend_->name, [d = dims_](const void* const* in, void* out) {
              float* to = static_cast<float*>(out);
              for (int first = 0; first < d.n; first += panel) {
                const float* from = static_cast<const float*>(in[0]) + first;
                const int width = std::min(panel, d.n - first);
                for (int p = 0; p < d.k; ++p, from += d.n) to = std::copy_n(from, width, to);
              }
            }};
  }
  double flops(std::span<const Shape>, const Shape&) const override { return 0; }
  template <class T>
  void define(const Operands<T>&) const {
    fail("pack_columns: its result is for a program only");
  }

 private:
  const kernels::Backend* backend_;
  kernels::MatmulDims dims_;
};

// The product with such panels, each by a call of its own.
class PackedMatmulOp final : public OpBase<PackedMatmulOp> {
 public:
  PackedMatmulOp(const kernels::Backend& backend, const kernels::MatmulDims& dims)
      : backend_(&backend), dims_(dims) {}
  std::string name() const override { return "matmul"; }
  BatchRole role(std::span<const Value>) const override { return BatchRole::map; }
  int parts(const LaunchArgs& args) const override { return parts_for(sized(args.inputs), panels(dims_.n)); }
  Launch launch(const LaunchArgs& args) const override {
    const kernels::MatmulDims whole = sized(args.inputs);
    const auto bound = [&](int part) { return panels(whole.n) * part / args.parts * panel; };
    Launch out{.backend = backend_->name, .run = {}};
    std::vector<Launch> calls;
    for (int first = bound(args.part); first < std::min(whole.n, bound(args.part + 1)); first += panel) {
      kernels::MatmulDims d = whole;
      d.n = std::min(panel, whole.n - first);
      d.ldc = whole.n;
      calls.push_back(further_on(launch_of(*backend_, &kernels::Backend::matmul, d), 0,
                                 std::ptrdiff_t{first} * d.k, first));
      out.scratch_bytes = std::max(out.scratch_bytes, calls.back().scratch_bytes);
    }
    out.run = [calls = std::move(calls)](const void* const* in, void* c) {
      for (const Launch& call : calls) call.run(in, c);
    };
    return out;
  }
  double flops(std::span<const Shape> in, const Shape&) const override { return kernels::flops(sized(in)); }
  template <class T>
  void define(const Operands<T>&) const {
    fail("matmul with packed columns: for a program only");
  }

 private:
  // For as many rows as there are.
  kernels::MatmulDims sized(std::span<const Shape> in) const {
    kernels::MatmulDims d = dims_;
    d.m = static_cast<int>(in[0].size() / static_cast<std::size_t>(d.k));
    return d;
  }
  const kernels::Backend* backend_;
  kernels::MatmulDims dims_;
};

class MatmulOp final : public OpBase<MatmulOp> {
 public:
  explicit MatmulOp(const MatmulOptions& options) : options_(options) {}

  std::string name() const override {
    return std::string("matmul") + (options_.sum_stack     ? " sum"
                                    : options_.transpose_a ? options_.transpose_b ? " TT" : " TN"
                                    : options_.transpose_b ? " NT"
                                                           : "");
  }
  BatchRole role(std::span<const Value> in) const override {
    const bool a = in[0].batched(), b = in[1].batched();
    if (options_.sum_stack) return a && b ? BatchRole::reduce : BatchRole::whole;  // a stack has its samples
    if (is_stack(in[0].shape()) || is_stack(in[1].shape())) return samplewise_role(in);
    if (a && !b && !options_.transpose_a) return BatchRole::map;  // rows of a are samples
    if (a && b && options_.transpose_a && !options_.transpose_b)
      return BatchRole::reduce;  // k counts samples
    return BatchRole::whole;
  }
  Launch launch(const LaunchArgs& args) const override {
    const Calls calls = calls_for(args.inputs);
    if (args.parts > 1) return launch_part(calls.each, args, false);
    Launch one = choose_launch(args.backends, &kernels::Backend::matmul, calls.each);
    if (calls.count == 1) return one;
    return {one.backend,
            [calls, run = std::move(one.run)](const void* const* in, void* out) {
              walk(calls, static_cast<const float*>(in[0]), static_cast<const float*>(in[1]),
                   static_cast<float*>(out), [&](const float* a, const float* b, float* c) {
                     const std::array<const void*, 3> inputs{a, b, in[2]};
                     run(inputs.data(), c);
                   });
            },
            one.scratch_bytes};
  }
  Launch launch_update(const LaunchArgs& args) const override {
    const Calls calls = calls_for(args.inputs);
    if (calls.count > 1) return {};
    return args.parts > 1 ? launch_part(calls.each, args, true) : choose_update(args.backends, calls.each);
  }
  int parts(const LaunchArgs& args) const override {
    const Calls calls = calls_for(args.inputs);
    if (calls.count > 1 || !choose(args.backends, &kernels::Backend::matmul, calls.each).matmul_by_element) {
      return 1;
    }
    return parts_for(calls.each, std::max(calls.each.m, calls.each.n) / least);
  }
  std::optional<Packing> packing(const LaunchArgs& args) const override {
    constexpr int few = 8;
    constexpr std::size_t large = 64 << 10;  // floats
    const Calls calls = calls_for(args.inputs);
    const kernels::MatmulDims& d = calls.each;
    const bool plain = calls.count == 1 && !is_stack(args.inputs[1]) && !d.transpose_a && !d.transpose_b;
    if (!plain || d.m > few || args.inputs[1].size() < large || panels(d.n) == 1) return {};
    const kernels::Backend& backend = choose(args.backends, &kernels::Backend::matmul, d);
    if (!backend.matmul_by_element) return {};
    return Packing{.pack = std::make_shared<PackColumnsOp>(backend, d),
                   .rest = std::make_shared<PackedMatmulOp>(backend, d),
                   .input = 1,
                   .shape = args.inputs[1],
                   .once = true};
  }
  bool prefers_whole(std::span<const Value> in, const Shape& out) const override {
    constexpr std::size_t large = 512 << 10, few = 1024;  // bytes: half of a second-level cache; samples
    if (is_stack(in[0].shape()) || is_stack(in[1].shape())) return false;
    const bool sums = in[0].batched() && in[1].batched();
    const std::size_t shared = sums ? out.size() : in[1].shape().size();
    return shared * sizeof(float) >= large && static_cast<std::size_t>(in[0].shape()[0]) <= few;
  }
  double flops(std::span<const Shape> in, const Shape&) const override {
    const Calls calls = calls_for(in);
    return static_cast<double>(calls.count) * kernels::flops(calls.each);
  }

  // y = a b:      da = dy b^T, db = a^T dy
  // y = a^T b:    da = b dy^T, db = a dy
  // y = a b^T:    da = dy b,   db = dy^T a
  // y = a^T b^T:  da = b^T dy^T, db = dy^T a^T
  // matrix by matrix of a stack; where one matrix met them all, its derivative is the sum over the stack.
  std::vector<Value> derivative(const DerivativeArgs& args) const override {
    const Value a = args.x[0], b = args.x[1], dy = args.dy;
    const bool ta = options_.transpose_a, tb = options_.transpose_b;
    const auto met_all = [&](Value x) { return !is_stack(x.shape()) && is_stack(dy.shape()); };
    Value da, db;
    if (args.wanted[0]) {
      da = ta ? matmul(b, dy, {.transpose_a = tb, .transpose_b = true, .sum_stack = met_all(a)})
              : matmul(dy, b, {.transpose_a = false, .transpose_b = !tb, .sum_stack = met_all(a)});
    }
    if (args.wanted[1]) {
      db = tb ? matmul(dy, a, {.transpose_a = true, .transpose_b = ta, .sum_stack = met_all(b)})
              : matmul(a, dy, {.transpose_a = !ta, .transpose_b = false, .sum_stack = met_all(b)});
    }
    return {da, db};
  }
  template <class T>
  void define(const Operands<T>& o) const {
    const Calls calls = calls_for(o.shapes);
    walk(calls, o.in(0), o.in(1), o.out(),
         [&](const T* a, const T* b, T* c) { kernels::matmul_reference<T>(calls.each, a, b, c); });
  }

 private:
  // Rows or columns of a part. It begins where tiles of the kernels can, which is not at multiples of all of
  // a tile's columns: the parts would differ too much.
  static constexpr int least = 48, row_grain = 8, column_grain = 16;

  // Some rows of c, or some columns, whichever there are more of; rows where parameters are updated, whose
  // kernel wants many columns.
  static Launch launch_part(kernels::MatmulDims d, const LaunchArgs& args, bool updates) {
    d.lda = d.row_of_a();
    d.ldb = d.row_of_b();
    d.ldc = d.row_of_c();
    const bool columns = d.n >= d.m && !updates;
    int& size = columns ? d.n : d.m;
    const auto bound = [whole = size, grain = columns ? column_grain : row_grain, &args](int part) {
      const std::ptrdiff_t grains = (whole + grain - 1) / grain;
      return std::min(whole, static_cast<int>(grains * part / args.parts) * grain);
    };
    const std::ptrdiff_t first = bound(args.part);
    size = bound(args.part + 1) - bound(args.part);
    const std::ptrdiff_t a = columns ? 0 : d.transpose_a ? first : first * d.lda;
    const std::ptrdiff_t b = !columns ? 0 : d.transpose_b ? first * d.ldb : first;
    const std::ptrdiff_t c = columns ? first : first * d.ldc;
    Launch one = updates ? choose_update(args.backends, d)
                         : choose_launch(args.backends, &kernels::Backend::matmul, d);
    return further_on(std::move(one), a, b, c, updates);
  }
  // One call where a stack is one long matrix: its rows, where they meet the same b, and the k of a sum over
  // the stack, which is always of a^T b. Else one call for each matrix.
  Calls calls_for(std::span<const Shape> in) const {
    const Shape &sa = in[0], &sb = in[1];
    const bool ta = options_.transpose_a, tb = options_.transpose_b;
    const std::ptrdiff_t stack = matrices(is_stack(sa) ? sa : sb);
    const int m = sa[ta ? -1 : -2], k = sa[ta ? -2 : -1], n = sb[tb ? -2 : -1];
    if (options_.sum_stack) return {.each = {m, n, static_cast<int>(k * stack), ta, tb}};
    if (!is_stack(sb) && !ta) return {.each = {static_cast<int>(m * stack), n, k, ta, tb}};
    const std::ptrdiff_t rows = m, inner = k;
    return {.count = stack,
            .each = {m, n, k, ta, tb},
            .a = is_stack(sa) ? rows * inner : 0,
            .b = is_stack(sb) ? inner * n : 0,
            .c = rows * n};
  }
  template <class T, class Call>
  static void walk(const Calls& calls, const T* a, const T* b, T* c, Call call) {
    for (std::ptrdiff_t i = 0; i < calls.count; ++i) {
      call(a + i * calls.a, b + i * calls.b, c + i * calls.c);
    }
  }
  MatmulOptions options_;
};

[[noreturn]] void refuse(const Shape& a, const Shape& b, const MatmulOptions& options) {
  const bool stacks = is_stack(a) || is_stack(b) || options.sum_stack;
  const std::string before = stacks ? "[..., " : "[";
  fail("matmul: want a ", before, options.transpose_a ? "k, m]" : "m, k]", " and b ", before,
       options.transpose_b ? "n, k]" : "k, n]",
       options.sum_stack ? " with equal leading axes, at least one, to sum over"
       : stacks          ? " with equal leading axes, or one of them a matrix"
                         : "",
       ", got a ", a, " and b ", b);
}

Value with_last_axes_swapped(Value x) {
  std::vector<int> axes(static_cast<std::size_t>(x.shape().rank()));
  std::iota(axes.begin(), axes.end(), 0);
  std::iter_swap(axes.end() - 1, axes.end() - 2);
  return transpose(x, axes);
}

}  // namespace

Value matmul(Value a, Value b, const MatmulOptions& options) {
  if (!a.valid() || !b.valid()) fail("matmul: got an empty value");
  auto [ta, tb, sum] = options;
  const Shape sa = a.shape(), sb = b.shape();
  const bool floats = a.dtype() == DType::F32 && b.dtype() == DType::F32;
  if (!floats || sa.rank() < 2 || sb.rank() < 2 || sa[ta ? -2 : -1] != sb[tb ? -1 : -2]) {
    refuse(sa, sb, options);
  }
  const auto leading = [](const Shape& s) { return s.dims().first(static_cast<std::size_t>(s.rank() - 2)); };
  const bool both = is_stack(sa) && is_stack(sb);
  if ((both && !std::ranges::equal(leading(sa), leading(sb))) || (sum && !both)) refuse(sa, sb, options);
  const auto longest = [](const Shape& s) { return matrices(s) * std::max(s[-2], s[-1]); };
  if (std::max(longest(sa), longest(sb)) > std::numeric_limits<int>::max()) {  // kernels take int sizes
    fail("matmul: want stacks of at most 2^31 - 1 rows and columns, got a ", sa, " and b ", sb);
  }
  if (sum) {  // as a^T b: one product over all rows of both stacks
    if (!ta) a = with_last_axes_swapped(a);
    if (tb) b = with_last_axes_swapped(b);
    return a.graph->add(std::make_shared<MatmulOp>(MatmulOptions{.transpose_a = true, .sum_stack = true}),
                        {a, b}, {sa[ta ? -1 : -2], sb[tb ? -2 : -1]});
  }
  const Shape& stack = is_stack(sa) ? sa : sb;
  const int last = stack.rank() - 1;
  return a.graph->add(std::make_shared<MatmulOp>(options), {a, b},
                      stack.with(last - 1, sa[ta ? -1 : -2]).with(last, sb[tb ? -2 : -1]));
}

}  // namespace autodiff
