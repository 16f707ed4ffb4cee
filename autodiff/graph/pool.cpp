#include "autodiff/graph/pool.h"

#include "autodiff/graph/op.h"
#include "autodiff/graph/reduce.h"

namespace autodiff {
namespace {

using kernels::PoolDims;

// The dims of the whole batch, of which a chunk has fewer images.
template <class Derived>
class PoolOp : public OpBase<Derived> {
 public:
  explicit PoolOp(const PoolDims& dims) : dims_(dims) {}
  BatchRole role(std::span<const Value> in) const override { return samplewise_role(in); }
  double flops(std::span<const Shape>, const Shape& out) const override {
    return static_cast<double>(out.size()) * dims_.kh * dims_.kw;
  }

 protected:
  PoolDims sized(const Shape& images) const {
    PoolDims d = dims_;
    d.n = images[0];
    return d;
  }
  static Shape small(const PoolDims& d) { return {d.n, d.oh, d.ow, d.c}; }
  static Shape large(const PoolDims& d) { return {d.n, d.h, d.w, d.c}; }
  PoolDims dims_;
};

class MaxPoolGradOp;

// y = v at the maxima of x; d v = dy sent back there, d x = 0.
class MaxPoolOp final : public PoolOp<MaxPoolOp> {
 public:
  using PoolOp::PoolOp;
  std::string name() const override { return "max_pool"; }
  Launch launch(const LaunchArgs& args) const override {
    return choose_launch(args.backends, &kernels::Backend::max_pool, sized(args.inputs[0]));
  }
  std::vector<Value> derivative(const DerivativeArgs& args) const override;
  template <class T>
  void define(const Operands<T>& o) const {
    kernels::max_pool_reference<T>(sized(o.shapes[0]), o.in(0), o.in(1), o.out());
  }
  static Value make(Value x, Value v, const PoolDims& d) {
    return x.graph->add(std::make_shared<MaxPoolOp>(d), {x, v}, small(d));
  }
};

// dv = dy [n, oh, ow, c] sent to the maxima of x [n, h, w, c]; d dy = ddv at the maxima, d x = 0.
class MaxPoolGradOp final : public PoolOp<MaxPoolGradOp> {
 public:
  using PoolOp::PoolOp;
  std::string name() const override { return "max_pool_grad"; }
  Launch launch(const LaunchArgs& args) const override {
    return choose_launch(args.backends, &kernels::Backend::max_pool_grad, sized(args.inputs[0]));
  }
  std::vector<Value> derivative(const DerivativeArgs& args) const override {
    return {{}, MaxPoolOp::make(args.x[0], args.dy, dims_)};
  }
  template <class T>
  void define(const Operands<T>& o) const {
    kernels::max_pool_grad_reference<T>(sized(o.shapes[0]), o.in(0), o.in(1), o.out());
  }
  static Value make(Value x, Value dy, const PoolDims& d) {
    return x.graph->add(std::make_shared<MaxPoolGradOp>(d), {x, dy}, large(d));
  }
};

std::vector<Value> MaxPoolOp::derivative(const DerivativeArgs& args) const {
  return {{}, MaxPoolGradOp::make(args.x[0], args.dy, dims_)};
}

// The mean over windows and its adjoint, each the derivative of the other.
class AvgPoolOp final : public PoolOp<AvgPoolOp> {
 public:
  AvgPoolOp(const PoolDims& dims, bool back) : PoolOp(dims), back_(back) {}
  std::string name() const override { return back_ ? "avg_pool_grad" : "avg_pool"; }
  Launch launch(const LaunchArgs& args) const override {
    const auto entry = back_ ? &kernels::Backend::avg_pool_grad : &kernels::Backend::avg_pool;
    return choose_launch(args.backends, entry, sized(args.inputs[0]));
  }
  std::vector<Value> derivative(const DerivativeArgs& args) const override {
    return {make(args.dy, dims_, !back_)};
  }
  template <class T>
  void define(const Operands<T>& o) const {
    const PoolDims d = sized(o.shapes[0]);
    back_ ? kernels::avg_pool_grad_reference<T>(d, o.in(0), o.out())
          : kernels::avg_pool_reference<T>(d, o.in(0), o.out());
  }
  static Value make(Value x, const PoolDims& d, bool back) {
    return x.graph->add(std::make_shared<AvgPoolOp>(d, back), {x}, back ? large(d) : small(d));
  }

 private:
  bool back_;
};

PoolDims checked(const char* who, Value x, const PoolOptions& o) {
  if (!x.valid()) fail(who, ": got an empty value");
  const Shape& s = x.shape();
  const int stride = o.stride.value_or(o.window);
  if (s.rank() != 4 || x.dtype() != DType::F32) fail(who, ": want float32 images [N, H, W, C], got ", s);
  const Padding& p = o.padding;
  const auto good = [&](int pad) { return pad >= 0 && pad < o.window; };
  const int rows = s[1] + p.top + p.bottom - o.window, columns = s[2] + p.left + p.right - o.window;
  if (o.window < 1 || stride < 1 || !good(p.top) || !good(p.bottom) || !good(p.left) || !good(p.right) ||
      rows < 0 || columns < 0) {
    fail(who,
         ": want a window inside the padded image, a stride of at least 1 and padding below the window, ",
         "got window ", o.window, ", stride ", stride, " and padding ", p.top, ", ", p.bottom, ", ", p.left,
         ", ", p.right, " on ", s);
  }
  return {.n = s[0],
          .h = s[1],
          .w = s[2],
          .c = s[3],
          .kh = o.window,
          .kw = o.window,
          .oh = rows / stride + 1,
          .ow = columns / stride + 1,
          .stride = stride,
          .top = p.top,
          .left = p.left};
}

}  // namespace

Value max_pool(Value x, const PoolOptions& options) {
  const PoolDims d = checked("max_pool", x, options);
  return MaxPoolOp::make(x, x, d);
}

Value avg_pool(Value x, const PoolOptions& options) {
  return AvgPoolOp::make(x, checked("avg_pool", x, options), false);
}

Value global_avg_pool(Value x) {
  if (!x.valid() || x.shape().rank() != 4) {
    fail("global_avg_pool: want images [N, H, W, C], got ", x.valid() ? x.shape().str() : "an empty value");
  }
  return mean(x, {.axes = {1, 2}});
}

}  // namespace autodiff
