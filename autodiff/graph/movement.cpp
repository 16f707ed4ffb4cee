// Long, because six ops that are one strided copy each are easier to compare side by side than in six files.
#include "autodiff/graph/movement.h"

#include <algorithm>
#include <numeric>

#include "autodiff/graph/op.h"
#include "autodiff/graph/reduce.h"

namespace autodiff {
namespace {

using kernels::CopyDims;

// An op that is one strided copy, or one per input. Derived says which: `CopyDims plan(i, input shapes,
// output shape)`.
template <class Derived>
class CopyOp : public OpBase<Derived> {
 public:
  Launch launch(const LaunchArgs& args) const final {
    if (args.inputs.size() == 1) {
      return choose_launch(args.backends, &kernels::Backend::copy, self().plan(0, args.inputs, args.output));
    }
    std::vector<Launch> parts;
    for (std::size_t i = 0; i < args.inputs.size(); ++i) {
      parts.push_back(
          choose_launch(args.backends, &kernels::Backend::copy, self().plan(i, args.inputs, args.output)));
    }
    const std::string_view backend = parts.front().backend;
    return {backend, [parts = std::move(parts)](const void* const* in, void* out) {
              for (std::size_t i = 0; i < parts.size(); ++i) parts[i].run(in + i, out);
            }};
  }
  double flops(std::span<const Shape>, const Shape&) const final { return 0; }
  template <class T>
  void define(const Operands<T>& o) const {
    for (std::size_t i = 0; i < o.inputs.size(); ++i) {
      kernels::copy_reference<T>(self().plan(i, o.shapes, o.output_shape), o.in(i), o.out());
    }
  }

 private:
  const Derived& self() const { return static_cast<const Derived&>(*this); }
};

CopyDims copy_dims(const Shape& size, const Strides& in, const Strides& out) {
  CopyDims d{.rank = size.rank(), .in_stride = in, .out_stride = out};
  std::copy(size.begin(), size.end(), d.size.begin());
  return d;
}

BatchRole role_by_axis(const Value& x, bool keeps_samples) {
  return x.batched() && keeps_samples ? BatchRole::map : BatchRole::whole;
}

class ReshapeOp final : public OpBase<ReshapeOp> {
 public:
  explicit ReshapeOp(bool keeps_samples, bool stop) : keeps_samples_(keeps_samples), stop_(stop) {}
  std::string name() const override { return stop_ ? "stop_gradient" : "reshape"; }
  BatchRole role(std::span<const Value> in) const override { return role_by_axis(in[0], keeps_samples_); }
  bool alias() const override { return true; }
  Launch launch(const LaunchArgs& args) const override {
    const int n = static_cast<int>(args.output.size());
    return choose_launch(args.backends, &kernels::Backend::copy, copy_dims({n}, {1}, {1}));
  }
  double flops(std::span<const Shape>, const Shape&) const override { return 0; }
  std::vector<Value> derivative(const DerivativeArgs& args) const override {
    return {stop_ ? Value{} : reshape(args.dy, args.x[0].shape())};
  }
  template <class T>
  void define(const Operands<T>& o) const {
    std::copy_n(o.in(0), o.output_shape.size(), o.out());
  }

 private:
  bool keeps_samples_, stop_;
};

class TransposeOp final : public CopyOp<TransposeOp> {
 public:
  explicit TransposeOp(std::vector<int> axes) : axes_(std::move(axes)) {}
  std::string name() const override { return "transpose"; }
  BatchRole role(std::span<const Value> in) const override {
    return role_by_axis(in[0], axes_.empty() || axes_[0] == 0);
  }
  CopyDims plan(std::size_t, std::span<const Shape> in, const Shape& out) const {
    const Strides own = row_major(in[0]);
    Strides strides{};
    for (std::size_t i = 0; i < axes_.size(); ++i) strides[i] = own[static_cast<std::size_t>(axes_[i])];
    return copy_dims(out, strides, row_major(out));
  }
  std::vector<Value> derivative(const DerivativeArgs& args) const override {
    std::vector<int> inverse(axes_.size());
    for (std::size_t i = 0; i < axes_.size(); ++i) {
      inverse[static_cast<std::size_t>(axes_[i])] = static_cast<int>(i);
    }
    return {transpose(args.dy, inverse)};
  }

 private:
  std::vector<int> axes_;
};

class BroadcastOp final : public CopyOp<BroadcastOp> {
 public:
  explicit BroadcastOp(bool batched) : batched_(batched) {}
  std::string name() const override { return "broadcast"; }
  BatchRole role(std::span<const Value>) const override {
    return batched_ ? BatchRole::map : BatchRole::whole;
  }
  CopyDims plan(std::size_t, std::span<const Shape> in, const Shape& out) const {
    return copy_dims(out, broadcast_strides(in[0], out), row_major(out));
  }
  std::vector<Value> derivative(const DerivativeArgs& args) const override {
    return {sum_to(args.dy, args.x[0])};
  }

 private:
  bool batched_;
};

class SliceOp final : public CopyOp<SliceOp> {
 public:
  SliceOp(int axis, int begin) : axis_(axis), begin_(begin) {}
  std::string name() const override { return "slice"; }
  BatchRole role(std::span<const Value> in) const override { return role_by_axis(in[0], axis_ != 0); }
  CopyDims plan(std::size_t, std::span<const Shape> in, const Shape& out) const {
    CopyDims d = copy_dims(out, row_major(in[0]), row_major(out));
    d.in_offset = begin_ * d.in_stride[static_cast<std::size_t>(axis_)];
    return d;
  }
  bool equals(const Op& other) const override {
    const auto* o = dynamic_cast<const SliceOp*>(&other);
    return o && axis_ == o->axis_ && begin_ == o->begin_;
  }
  std::vector<Value> derivative(const DerivativeArgs& args) const override {
    const int size = args.y.shape()[axis_];
    return {pad(args.dy, axis_, begin_, args.x[0].shape()[axis_] - begin_ - size)};
  }

 private:
  int axis_, begin_;
};

class PadOp final : public CopyOp<PadOp> {
 public:
  PadOp(int axis, int before) : axis_(axis), before_(before) {}
  std::string name() const override { return "pad"; }
  BatchRole role(std::span<const Value> in) const override { return role_by_axis(in[0], axis_ != 0); }
  CopyDims plan(std::size_t, std::span<const Shape> in, const Shape& out) const {
    CopyDims d = copy_dims(in[0], row_major(in[0]), row_major(out));
    d.out_offset = before_ * d.out_stride[static_cast<std::size_t>(axis_)];
    d.zero_first = out.size();
    return d;
  }
  std::vector<Value> derivative(const DerivativeArgs& args) const override {
    return {slice(args.dy, axis_, before_, before_ + args.x[0].shape()[axis_])};
  }

 private:
  int axis_, before_;
};

class ConcatOp final : public CopyOp<ConcatOp> {
 public:
  explicit ConcatOp(int axis) : axis_(axis) {}
  std::string name() const override { return "concat"; }
  BatchRole role(std::span<const Value> in) const override {
    const bool all = std::all_of(in.begin(), in.end(), [](const Value& v) { return v.batched(); });
    return all && axis_ != 0 ? BatchRole::map : BatchRole::whole;
  }
  CopyDims plan(std::size_t i, std::span<const Shape> in, const Shape& out) const {
    CopyDims d = copy_dims(in[i], row_major(in[i]), row_major(out));
    for (std::size_t k = 0; k < i; ++k) {
      d.out_offset += in[k][axis_] * d.out_stride[static_cast<std::size_t>(axis_)];
    }
    return d;
  }
  std::vector<Value> derivative(const DerivativeArgs& args) const override {
    std::vector<Value> dx;
    int begin = 0;
    for (const Value& x : args.x) {
      const int size = x.shape()[axis_];
      dx.push_back(slice(args.dy, axis_, begin, begin + size));
      begin += size;
    }
    return dx;
  }

 private:
  int axis_;
};

int checked_axis(const char* who, const Shape& shape, int axis) {
  const int k = axis < 0 ? axis + shape.rank() : axis;
  if (k < 0 || k >= shape.rank()) fail(who, ": want an axis of ", shape, ", got ", axis);
  return k;
}

}  // namespace

Value reshape(Value x, const Shape& shape) {
  want_floats("reshape", x);
  if (x.shape() == shape) return x;
  if (x.shape().size() != shape.size()) {
    fail("reshape: want a shape of ", x.shape().size(), " elements like ", x.shape(), ", got ", shape);
  }
  const bool keeps_samples = x.shape().rank() > 0 && shape.rank() > 0 && x.shape()[0] == shape[0];
  return x.graph->add(std::make_shared<ReshapeOp>(keeps_samples, false), {x}, shape);
}

Value flatten(Value x) {
  want_floats("flatten", x);
  const Shape& s = x.shape();
  if (s.rank() == 0) fail("flatten: want [n, ...], got a scalar");
  return reshape(x, {s[0], static_cast<int>(s.sample().size())});
}

Value transpose(Value x, std::vector<int> axes) {
  want_floats("transpose", x);
  const Shape& s = x.shape();
  if (axes.empty()) {
    axes.resize(static_cast<std::size_t>(s.rank()));
    std::iota(axes.rbegin(), axes.rend(), 0);
  }
  std::vector<int> sorted = axes, dims;
  std::sort(sorted.begin(), sorted.end());
  bool good = static_cast<int>(axes.size()) == s.rank();
  for (std::size_t i = 0; good && i < sorted.size(); ++i) good = sorted[i] == static_cast<int>(i);
  if (!good) fail("transpose: want each axis of ", s, " once, got ", axes.size(), " axes that are not");
  for (const int axis : axes) dims.push_back(s[axis]);
  return x.graph->add(std::make_shared<TransposeOp>(std::move(axes)), {x}, Shape(dims));
}

Value broadcast_to(Value x, const Shape& shape) {
  want_floats("broadcast_to", x);
  if (broadcast(x.shape(), shape, "broadcast_to") != shape) {
    fail("broadcast_to: want a shape to which ", x.shape(), " can be repeated, got ", shape);
  }
  if (x.shape() == shape) return x;
  const bool batched = x.batched() && x.shape().rank() == shape.rank();
  return x.graph->add(std::make_shared<BroadcastOp>(batched), {x}, shape);
}

Value broadcast_like(Value x, Value like) {
  want_floats("broadcast_like", x);
  if (!like.valid()) fail("broadcast_like: got an empty value to be like");
  const Shape& shape = like.shape();
  if (x.shape() == shape && x.batched() == like.batched()) return x;
  if (broadcast(x.shape(), shape, "broadcast_like") != shape) {
    fail("broadcast_like: want a shape to which ", x.shape(), " can be repeated, got ", shape);
  }
  // Sample n may need no more of x than sample n, if x is batched, or else what is the same for all samples.
  const bool lined_up = x.shape().rank() == shape.rank();
  const bool by_sample = x.batched() ? lined_up && x.shape()[0] == shape[0] : !lined_up || x.shape()[0] == 1;
  return x.graph->add(std::make_shared<BroadcastOp>(like.batched() && by_sample), {x}, shape);
}

Value slice(Value x, int axis, int begin, int end) {
  want_floats("slice", x);
  const Shape& s = x.shape();
  axis = checked_axis("slice", s, axis);
  if (begin < 0 || end < begin || end > s[axis]) {
    fail("slice: want a range inside axis ", axis, " of ", s, ", got [", begin, ", ", end, ")");
  }
  if (begin == 0 && end == s[axis]) return x;
  return x.graph->add(std::make_shared<SliceOp>(axis, begin), {x}, s.with(axis, end - begin));
}

Value pad(Value x, int axis, int before, int after) {
  want_floats("pad", x);
  const Shape& s = x.shape();
  axis = checked_axis("pad", s, axis);
  if (before < 0 || after < 0) fail("pad: want at least 0 zeros, got ", before, " and ", after);
  if (before == 0 && after == 0) return x;
  return x.graph->add(std::make_shared<PadOp>(axis, before), {x}, s.with(axis, s[axis] + before + after));
}

Value concat(std::span<const Value> values, int axis) {
  if (values.empty()) fail("concat: want at least one value, got none");
  if (values.size() > max_inputs) {
    fail("concat: want at most ", max_inputs, " values, got ", values.size(),
         "; concatenate parts of them first");
  }
  for (const Value& v : values) want_floats("concat", v);
  const Shape& first = values[0].shape();
  axis = checked_axis("concat", first, axis);
  int size = 0;
  for (const Value& v : values) {
    const Shape& s = v.shape();
    if (s.rank() != first.rank() || s.with(axis, 0) != first.with(axis, 0)) {
      fail("concat: want shapes that differ only along axis ", axis, ", got ", first, " and ", s);
    }
    size += s[axis];
  }
  return values[0].graph->add(std::make_shared<ConcatOp>(axis), {values.begin(), values.end()},
                              first.with(axis, size));
}

Value stop_gradient(Value x) {
  want_floats("stop_gradient", x);
  return x.graph->add(std::make_shared<ReshapeOp>(true, true), {x}, x.shape());
}

Value zeros_like(Value x) {
  if (!x.valid()) fail("zeros_like: got an empty value");
  return broadcast_like(x.graph->constant(0.0f), x);
}

}  // namespace autodiff
