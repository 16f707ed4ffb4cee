#include "autodiff/graph/matmul.h"

#include "autodiff/graph/op.h"

namespace autodiff {
namespace {

class MatmulOp final : public OpBase<MatmulOp> {
 public:
  explicit MatmulOp(const MatmulOptions& options) : options_(options) {}

  std::string name() const override {
    return std::string("matmul") + (options_.transpose_a   ? options_.transpose_b ? " TT" : " TN"
                                    : options_.transpose_b ? " NT"
                                                           : "");
  }
  BatchRole role(std::span<const Value> in) const override {
    const bool a = in[0].batched(), b = in[1].batched();
    if (a && !b && !options_.transpose_a) return BatchRole::map;  // rows of a are samples
    if (a && b && options_.transpose_a && !options_.transpose_b)
      return BatchRole::reduce;  // k counts samples
    return BatchRole::whole;
  }
  Launch launch(const LaunchArgs& args) const override {
    return choose_launch(args.backends, &kernels::Backend::matmul, dims(args.inputs));
  }
  double flops(std::span<const Shape> in, const Shape&) const override { return kernels::flops(dims(in)); }

  // y = a b:      da = dy b^T, db = a^T dy
  // y = a^T b:    da = b dy^T, db = a dy
  // y = a b^T:    da = dy b,   db = dy^T a
  // y = a^T b^T:  da = b^T dy^T, db = dy^T a^T
  std::vector<Value> derivative(const DerivativeArgs& args) const override {
    const Value a = args.x[0], b = args.x[1], dy = args.dy;
    const auto [ta, tb] = options_;
    Value da, db;
    if (args.wanted[0]) {
      da = ta ? matmul(b, dy, {.transpose_a = tb, .transpose_b = true})
              : matmul(dy, b, {.transpose_a = false, .transpose_b = !tb});
    }
    if (args.wanted[1]) {
      db = tb ? matmul(dy, a, {.transpose_a = true, .transpose_b = ta})
              : matmul(a, dy, {.transpose_a = !ta, .transpose_b = false});
    }
    return {da, db};
  }
  template <class T>
  void define(const Operands<T>& o) const {
    kernels::matmul_reference<T>(dims(o.shapes), o.in(0), o.in(1), o.out());
  }

 private:
  kernels::MatmulDims dims(std::span<const Shape> in) const {
    const auto [ta, tb] = options_;
    return {in[0][ta ? 1 : 0], in[1][tb ? 0 : 1], in[0][ta ? 0 : 1], ta, tb};
  }
  MatmulOptions options_;
};

}  // namespace

Value matmul(Value a, Value b, const MatmulOptions& options) {
  if (!a.valid() || !b.valid()) fail("matmul: got an empty value");
  const auto [ta, tb] = options;
  const Shape &sa = a.shape(), &sb = b.shape();
  if (sa.rank() != 2 || sb.rank() != 2 || sa[ta ? 0 : 1] != sb[tb ? 1 : 0] || a.dtype() != DType::F32 ||
      b.dtype() != DType::F32) {
    fail("matmul: want a ", ta ? "[k, m]" : "[m, k]", " and b ", tb ? "[n, k]" : "[k, n]", ", got a ", sa,
         " and b ", sb);
  }
  return a.graph->add(std::make_shared<MatmulOp>(options), {a, b}, {sa[ta ? 1 : 0], sb[tb ? 0 : 1]});
}

}  // namespace autodiff
