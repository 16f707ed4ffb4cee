#include "autodiff/graph/loss.h"

#include "autodiff/graph/elementwise.h"
#include "autodiff/graph/index.h"
#include "autodiff/graph/movement.h"
#include "autodiff/graph/op.h"
#include "autodiff/graph/reduce.h"
#include "autodiff/graph/softmax.h"

namespace autodiff {
namespace {

kernels::CrossEntropyDims dims_of(const Shape& logits) {
  return {static_cast<std::size_t>(logits[0]), static_cast<std::size_t>(logits[1])};
}

BatchRole row_role(std::span<const Value> in) {
  for (const Value& v : in) {
    if (!v.batched()) return BatchRole::whole;
  }
  return BatchRole::map;
}

// dz = dloss (softmax(z) - onehot), of (z [n, c], labels [n], dloss [n])
class CrossEntropyGradOp final : public OpBase<CrossEntropyGradOp> {
 public:
  std::string name() const override { return "cross_entropy_grad"; }
  BatchRole role(std::span<const Value> in) const override { return row_role(in); }
  Launch launch(const LaunchArgs& args) const override {
    return choose_launch(args.backends, &kernels::Backend::cross_entropy_grad, dims_of(args.output));
  }
  double flops(std::span<const Shape>, const Shape& out) const override {
    return 6.0 * static_cast<double>(out.size());
  }
  // With s = softmax(z) and the row sums <a, b> = sum_c a_c b_c:
  //   d/dz:     dloss s (dy - <s, dy>)
  //   d/ddloss: <s, dy> - dy_label
  std::vector<Value> derivative(const DerivativeArgs& args) const override {
    const Value z = args.x[0], labels = args.x[1], dloss = args.x[2], dy = args.dy;
    const int n = z.shape()[0];
    const Value s = softmax(z);
    const Value s_dy = sum(s * dy, {.axes = {1}, .keep_axes = true});
    return {reshape(dloss, {n, 1}) * s * (dy - s_dy), {}, reshape(s_dy, {n}) - gather(dy, labels)};
  }
  template <class T>
  void define(const Operands<T>& o) const {
    kernels::cross_entropy_grad_reference<T>(dims_of(o.output_shape), o.in(0), o.labels(1), o.in(2), o.out());
  }
};

// loss_n = log(sum_c exp(z_nc)) - z_n,label
class CrossEntropyOp final : public OpBase<CrossEntropyOp> {
 public:
  std::string name() const override { return "cross_entropy"; }
  BatchRole role(std::span<const Value> in) const override { return row_role(in); }
  Launch launch(const LaunchArgs& args) const override {
    return choose_launch(args.backends, &kernels::Backend::cross_entropy, dims_of(args.inputs[0]));
  }
  double flops(std::span<const Shape> in, const Shape&) const override {
    return 3.0 * static_cast<double>(in[0].size());
  }
  std::vector<Value> derivative(const DerivativeArgs& args) const override {
    const Value z = args.x[0];
    return {z.graph->add(std::make_shared<CrossEntropyGradOp>(), {z, args.x[1], args.dy}, z.shape()), {}};
  }
  template <class T>
  void define(const Operands<T>& o) const {
    kernels::cross_entropy_reference<T>(dims_of(o.shapes[0]), o.in(0), o.labels(1), o.out());
  }
};

void want_matrix(const char* who, Value logits) {
  if (!logits.valid()) fail(who, ": got an empty value");
  if (logits.shape().rank() != 2 || logits.shape()[1] == 0 || logits.dtype() != DType::F32) {
    fail(who, ": want float32 logits [n, classes] with at least one class, got ", logits.shape());
  }
}

}  // namespace

Value cross_entropy(Value logits, Value target) {
  want_matrix("cross_entropy", logits);
  if (!target.valid()) fail("cross_entropy: got an empty value for the labels");
  const Shape& z = logits.shape();
  if (target.dtype() == DType::F32 && target.shape() == z) {
    return -sum(target * log_softmax(logits), {.axes = {1}});
  }
  if (target.dtype() != DType::I32 || target.shape() != Shape{z[0]}) {
    fail("cross_entropy: want logits [n, classes] and labels int32 [n] or probabilities [n, classes], got ",
         z, " and ", target.dtype() == DType::I32 ? "int32 " : "float32 ", target.shape());
  }
  return logits.graph->add(std::make_shared<CrossEntropyOp>(), {logits, target}, {z[0]});
}

Value kl_divergence(Value p, Value q) {
  want_matrix("kl_divergence", p);
  want_matrix("kl_divergence", q);
  if (p.shape() != q.shape()) {
    fail("kl_divergence: want two logits of one shape, got ", p.shape(), " and ", q.shape());
  }
  return sum(softmax(p) * (log_softmax(p) - log_softmax(q)), {.axes = {1}});
}

}  // namespace autodiff
