#include "autodiff/graph/index.h"

#include "autodiff/graph/movement.h"
#include "autodiff/graph/op.h"

namespace autodiff {
namespace {

kernels::IndexDims dims_of(const Shape& matrix) {
  return {static_cast<std::size_t>(matrix[0]), static_cast<std::size_t>(matrix[1])};
}

class ArgmaxOp final : public OpBase<ArgmaxOp> {
 public:
  std::string name() const override { return "argmax"; }
  BatchRole role(std::span<const Value> in) const override { return samplewise_role(in); }
  Launch launch(const LaunchArgs& args) const override {
    return choose_launch(args.backends, &kernels::Backend::argmax, dims_of(args.inputs[0]));
  }
  template <class T>
  void define(const Operands<T>& o) const {
    kernels::argmax_reference<T>(dims_of(o.shapes[0]), o.in(0), o.out_labels());
  }
};

// Labels line up with rows; both are batched or the op takes the whole.
BatchRole row_role(std::span<const Value> in) {
  return in[0].batched() && in[1].batched() ? BatchRole::map : BatchRole::whole;
}

class GatherOp final : public OpBase<GatherOp> {
 public:
  std::string name() const override { return "gather"; }
  BatchRole role(std::span<const Value> in) const override { return row_role(in); }
  Launch launch(const LaunchArgs& args) const override {
    return choose_launch(args.backends, &kernels::Backend::gather, dims_of(args.inputs[0]));
  }
  double flops(std::span<const Shape>, const Shape&) const override { return 0; }
  std::vector<Value> derivative(const DerivativeArgs& args) const override {  // dx_rc = dy_r [c = label_r]
    return {scatter(args.dy, args.x[1], args.x[0].shape()[1]), {}};
  }
  template <class T>
  void define(const Operands<T>& o) const {
    kernels::gather_reference<T>(dims_of(o.shapes[0]), o.in(0), o.labels(1), o.out());
  }
};

class ScatterOp final : public OpBase<ScatterOp> {
 public:
  std::string name() const override { return "scatter"; }
  BatchRole role(std::span<const Value> in) const override { return row_role(in); }
  Launch launch(const LaunchArgs& args) const override {
    return choose_launch(args.backends, &kernels::Backend::scatter, dims_of(args.output));
  }
  double flops(std::span<const Shape>, const Shape&) const override { return 0; }
  std::vector<Value> derivative(const DerivativeArgs& args) const override {  // dx_r = dy_r,label
    return {gather(args.dy, args.x[1]), {}};
  }
  template <class T>
  void define(const Operands<T>& o) const {
    kernels::scatter_reference<T>(dims_of(o.output_shape), o.in(0), o.labels(1), o.out());
  }
};

void want_labels(const char* who, Value labels) {
  if (!labels.valid() || labels.dtype() != DType::I32 || labels.shape().rank() != 1) {
    fail(who, ": want labels int32 [n], got ",
         labels.valid() ? text(labels.dtype() == DType::I32 ? "int32 " : "float32 ", labels.shape())
                        : std::string("an empty value"));
  }
}

}  // namespace

Value argmax(Value x) {
  if (!x.valid()) fail("argmax: got an empty value");
  if (x.shape().rank() != 2 || x.shape()[1] == 0 || x.dtype() != DType::F32) {
    fail("argmax: want float32 [n, classes] with at least one class, got ", x.shape());
  }
  return x.graph->add(std::make_shared<ArgmaxOp>(), {x}, {x.shape()[0]}, DType::I32);
}

Value gather(Value x, Value labels) {
  want_labels("gather", labels);
  if (!x.valid() || x.shape().rank() != 2 || x.shape()[0] != labels.shape()[0] || x.dtype() != DType::F32) {
    fail("gather: want x float32 [n, classes] and labels int32 [n], got ", x.valid() ? x.shape() : Shape(),
         " and ", labels.shape());
  }
  return x.graph->add(std::make_shared<GatherOp>(), {x, labels}, {x.shape()[0]});
}

Value scatter(Value x, Value labels, int classes) {
  want_labels("scatter", labels);
  if (!x.valid() || x.shape() != labels.shape() || classes < 1 || x.dtype() != DType::F32) {
    fail("scatter: want x float32 [n], labels int32 [n] and at least one class, got ",
         x.valid() ? x.shape() : Shape(), ", ", labels.shape(), " and ", classes);
  }
  return x.graph->add(std::make_shared<ScatterOp>(), {x, labels}, {x.shape()[0], classes});
}

Value one_hot(Value labels, int classes) {
  want_labels("one_hot", labels);
  return scatter(broadcast_like(labels.graph->constant(1.0f), labels), labels, classes);
}

}  // namespace autodiff
