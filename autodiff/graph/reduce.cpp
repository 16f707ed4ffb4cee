#include "autodiff/graph/reduce.h"

#include <algorithm>
#include <array>
#include <numeric>

#include "autodiff/graph/elementwise.h"
#include "autodiff/graph/movement.h"
#include "autodiff/graph/op.h"

namespace autodiff {
namespace {

using kernels::Reduce;

// Reduces the neighbouring axes [first, last); they disappear.
class ReduceOp final : public OpBase<ReduceOp> {
 public:
  ReduceOp(Reduce kind, int first, int last, double divisor)
      : kind_(kind), first_(first), last_(last), divisor_(divisor) {}

  std::string name() const override { return kind_ == Reduce::max ? "max" : divisor_ == 1 ? "sum" : "mean"; }
  BatchRole role(std::span<const Value> in) const override {
    if (!in[0].batched()) return BatchRole::whole;
    if (first_ > 0) return BatchRole::map;
    return kind_ == Reduce::sum ? BatchRole::reduce : BatchRole::whole;
  }
  Launch launch(const LaunchArgs& args) const override {
    return choose_launch(args.backends, &kernels::Backend::reduce, dims(args.inputs[0]));
  }
  bool equals(const Op& other) const override {
    const auto* o = dynamic_cast<const ReduceOp*>(&other);
    return o && kind_ == o->kind_ && first_ == o->first_ && last_ == o->last_ && divisor_ == o->divisor_;
  }
  bool adds_rows(const Shape& in, double& divisor) const override {
    divisor = divisor_;
    return kind_ == Reduce::sum && first_ == 0 && last_ == in.rank() - 1;
  }
  double flops(std::span<const Shape> in, const Shape&) const override {
    return static_cast<double>(in[0].size());
  }
  std::vector<Value> derivative(const DerivativeArgs& args) const override {
    const Value x = args.x[0];
    Shape kept = x.shape();
    for (int axis = first_; axis < last_; ++axis) kept = kept.with(axis, 1);
    const Value dy = reshape(args.dy, kept);
    if (kind_ == Reduce::sum) {  // dx = dy / divisor, repeated
      return {broadcast_like(divisor_ == 1 ? dy : dy / x.graph->constant(static_cast<float>(divisor_)), x)};
    }
    // dx = dy [x = y] / (number of elements equal to y)
    const Value ties = equal(x, reshape(args.y, kept));
    std::vector<int> axes;
    for (int axis = first_; axis < last_; ++axis) axes.push_back(axis);
    return {ties * (dy / sum(ties, {.axes = axes, .keep_axes = true}))};
  }
  template <class T>
  void define(const Operands<T>& o) const {
    kernels::reduce_reference<T>(dims(o.shapes[0]), o.in(0), o.out());
  }

 private:
  kernels::ReduceDims dims(const Shape& x) const {
    kernels::ReduceDims d{kind_, 1, 1, 1, divisor_};
    for (int axis = 0; axis < x.rank(); ++axis) {
      (axis < first_ ? d.outer : axis < last_ ? d.reduced : d.inner) *= static_cast<std::size_t>(x[axis]);
    }
    return d;
  }
  Reduce kind_;
  int first_, last_;
  double divisor_;
};

using Axes = std::array<bool, Shape::max_rank>;

// Moves the chosen axes behind the first of them.
Value make_neighbours(Value x, Axes& chosen) {
  const auto first = std::find(chosen.begin(), chosen.end(), true) - chosen.begin();
  std::vector<int> order(static_cast<std::size_t>(x.shape().rank()));
  std::iota(order.begin(), order.end(), 0);
  const auto end = std::stable_partition(order.begin() + first, order.end(),
                                         [&](int axis) { return chosen[static_cast<std::size_t>(axis)]; });
  if (std::is_sorted(order.begin(), order.end())) return x;
  chosen.fill(false);
  std::fill(chosen.begin() + first, chosen.begin() + (end - order.begin()), true);
  return transpose(x, order);
}

Value reduce(const char* who, Reduce kind, Value x, const ReduceOptions& options, bool average) {
  want_floats(who, x);
  const Shape shape = x.shape();
  Axes chosen{};
  for (int axis : options.axes) {
    const int k = axis < 0 ? axis + shape.rank() : axis;
    if (k < 0 || k >= shape.rank() || chosen[static_cast<std::size_t>(k)]) {
      fail(who, ": want different axes of ", shape, ", got axis ", axis);
    }
    chosen[static_cast<std::size_t>(k)] = true;
  }
  if (options.axes.empty()) chosen.fill(true);
  double count = 1;
  Shape kept = shape;
  for (int axis = 0; axis < shape.rank(); ++axis) {
    if (!chosen[static_cast<std::size_t>(axis)]) continue;
    count *= shape[axis];
    kept = kept.with(axis, 1);
  }
  // A maximum is one op, so that its derivative is shared among all elements that attain it.
  if (kind == Reduce::max && shape.rank() > 0) x = make_neighbours(x, chosen);
  // One op for each run of neighbouring axes, from the last one; the divisor goes with the last op.
  for (int last = shape.rank(); last > 0;) {
    if (!chosen[static_cast<std::size_t>(last - 1)]) {
      --last;
      continue;
    }
    int first = last - 1;
    while (first > 0 && chosen[static_cast<std::size_t>(first - 1)]) --first;
    bool final_run = true;
    for (int axis = 0; axis < first; ++axis) final_run = final_run && !chosen[static_cast<std::size_t>(axis)];
    std::vector<int> dims;
    for (int axis = 0; axis < x.shape().rank(); ++axis) {
      if (axis < first || axis >= last) dims.push_back(x.shape()[axis]);
    }
    const double divisor = average && final_run ? count : 1;
    x = x.graph->add(std::make_shared<ReduceOp>(kind, first, last, divisor), {x}, Shape(dims));
    last = first;
  }
  return options.keep_axes ? reshape(x, kept) : x;
}

}  // namespace

Value sum(Value x, const ReduceOptions& options) { return reduce("sum", Reduce::sum, x, options, false); }
Value mean(Value x, const ReduceOptions& options) { return reduce("mean", Reduce::sum, x, options, true); }
Value max(Value x, const ReduceOptions& options) { return reduce("max", Reduce::max, x, options, false); }

Value sum_to(Value x, Value like) {
  if (!x.valid() || !like.valid()) fail("sum_to: got an empty value");
  const Shape &from = x.shape(), &to = like.shape();
  if (x.dtype() != DType::F32 || broadcast(to, from, "sum_to") != from) {
    fail("sum_to: want float32 of a shape to which ", to, " can be repeated, got ", from);
  }
  if (from == to) return x;
  std::vector<int> axes;
  for (int axis = 0; axis < from.rank(); ++axis) {
    const int own = axis - (from.rank() - to.rank());
    if (own < 0 || (to[own] == 1 && from[axis] != 1)) axes.push_back(axis);
  }
  return reshape(axes.empty() ? x : sum(x, {.axes = axes}), to);
}

}  // namespace autodiff
