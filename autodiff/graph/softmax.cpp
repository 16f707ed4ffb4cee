#include "autodiff/graph/softmax.h"

#include "autodiff/graph/elementwise.h"
#include "autodiff/graph/op.h"
#include "autodiff/graph/reduce.h"

namespace autodiff {
namespace {

class SoftmaxOp final : public OpBase<SoftmaxOp> {
 public:
  explicit SoftmaxOp(bool log) : log_(log) {}
  std::string name() const override { return log_ ? "log_softmax" : "softmax"; }
  BatchRole role(std::span<const Value> in) const override {
    return in[0].batched() && in[0].shape().rank() > 1 ? BatchRole::map : BatchRole::whole;
  }
  Launch launch(const LaunchArgs& args) const override {
    return choose_launch(args.backends, &kernels::Backend::softmax, dims(args.output));
  }
  double flops(std::span<const Shape>, const Shape& out) const override {
    return 4.0 * static_cast<double>(out.size());
  }
  std::vector<Value> derivative(const DerivativeArgs& args) const override {
    const Value y = args.y, dy = args.dy;
    if (log_) {  // dx = dy - exp(y) sum_c dy_c
      return {dy - exp(y) * sum(dy, {.axes = {-1}, .keep_axes = true})};
    }
    // dx = y (dy - sum_c y_c dy_c)
    return {y * (dy - sum(y * dy, {.axes = {-1}, .keep_axes = true}))};
  }
  template <class T>
  void define(const Operands<T>& o) const {
    kernels::softmax_reference<T>(dims(o.output_shape), o.in(0), o.out());
  }

 private:
  kernels::SoftmaxDims dims(const Shape& x) const {
    const auto cols = static_cast<std::size_t>(x[-1]);
    return {x.size() / cols, cols, log_};
  }
  bool log_;
};

Value make(Value x, bool log) {
  const char* who = log ? "log_softmax" : "softmax";
  if (!x.valid()) fail(who, ": got an empty value");
  if (x.shape().rank() == 0 || x.shape()[-1] == 0 || x.dtype() != DType::F32) {
    fail(who, ": want float32 [..., classes] with at least one class, got ", x.shape());
  }
  return x.graph->add(std::make_shared<SoftmaxOp>(log), {x}, x.shape());
}

}  // namespace

Value softmax(Value x) { return make(x, false); }
Value log_softmax(Value x) { return make(x, true); }

}  // namespace autodiff
