#include "autodiff/graph/elementwise.h"

#include "autodiff/graph/movement.h"
#include "autodiff/graph/op.h"
#include "autodiff/graph/reduce.h"

namespace autodiff {
namespace {

using kernels::Binary;
using kernels::BinaryDims;
using kernels::Unary;

Value binary(Binary kind, Value a, Value b);

const char* name_of(Unary kind) {
  constexpr const char* names[] = {"relu", "tanh",   "sigmoid", "exp",  "log",
                                   "sqrt", "square", "scale",   "shift"};
  return names[static_cast<int>(kind)];
}

const char* name_of(Binary kind) {
  constexpr const char* names[] = {"add",   "sub",       "mul",       "div",
                                   "equal", "relu_grad", "tanh_grad", "sigmoid_grad"};
  return names[static_cast<int>(kind)];
}

class UnaryOp final : public OpBase<UnaryOp> {
 public:
  UnaryOp(Unary kind, float constant) : kind_(kind), constant_(constant) {}
  std::string name() const override { return name_of(kind_); }
  BatchRole role(std::span<const Value> in) const override { return samplewise_role(in); }
  Launch launch(const LaunchArgs& a) const override {
    return choose_launch(a.backends, &kernels::Backend::unary, {kind_, a.output.size(), constant_});
  }
  bool pointwise(kernels::PointwiseStep& step) const override {
    step.unary = kind_;
    step.constant = constant_;
    return true;
  }
  bool equals(const Op& other) const override {
    const auto* o = dynamic_cast<const UnaryOp*>(&other);
    return o && kind_ == o->kind_ && constant_ == o->constant_;
  }
  bool cheap() const override {
    return kind_ == Unary::relu || kind_ == Unary::square || kind_ == Unary::scale || kind_ == Unary::shift;
  }
  std::vector<Value> derivative(const DerivativeArgs& args) const override {
    const Value x = args.x[0], y = args.y, dy = args.dy;
    switch (kind_) {
      case Unary::relu:
        return {binary(Binary::relu_grad, y, dy)};  // dx = [y > 0] dy
      case Unary::tanh:
        return {binary(Binary::tanh_grad, y, dy)};  // dx = (1 - y^2) dy
      case Unary::sigmoid:
        return {binary(Binary::sigmoid_grad, y, dy)};  // dx = y (1 - y) dy
      case Unary::exp:
        return {y * dy};  // dx = y dy
      case Unary::log:
        return {dy / x};  // dx = dy / x
      case Unary::sqrt:
        return {dy * 0.5f / y};  // dx = dy / 2y
      case Unary::square:
        return {x * dy * 2.0f};  // dx = 2 x dy
      case Unary::scale:
        return {scale(dy, constant_)};  // dx = c dy
      case Unary::shift:
        return {dy};  // dx = dy
    }
    return {};
  }
  template <class T>
  void define(const Operands<T>& o) const {
    kernels::unary_reference<T>({kind_, o.output_shape.size(), constant_}, o.in(0), o.out());
  }

 private:
  Unary kind_;
  float constant_;
};

// The index space of an element-wise function of two: axes of size 1 are dropped, neighbouring axes are
// joined where both inputs allow it, so that rows along the last axis are as long as possible.
BinaryDims binary_dims(Binary kind, const Shape& a, const Shape& b, const Shape& y) {
  const Strides sa = broadcast_strides(a, y), sb = broadcast_strides(b, y);
  BinaryDims d{.kind = kind, .rank = 0, .size = {}, .a_stride = {}, .b_stride = {}};
  for (int axis = 0; axis < y.rank(); ++axis) {
    const auto k = static_cast<std::size_t>(axis);
    if (y[axis] == 1) continue;
    if (d.rank > 0) {
      const auto last = static_cast<std::size_t>(d.rank - 1);
      if (d.a_stride[last] == sa[k] * y[axis] && d.b_stride[last] == sb[k] * y[axis]) {
        d.size[last] *= y[axis];
        d.a_stride[last] = sa[k];
        d.b_stride[last] = sb[k];
        continue;
      }
    }
    const auto last = static_cast<std::size_t>(d.rank++);
    d.size[last] = y[axis];
    d.a_stride[last] = sa[k];
    d.b_stride[last] = sb[k];
  }
  if (d.rank == 0) {
    d.rank = 1;
    d.size[0] = 1;
  }
  return d;
}

class BinaryOp final : public OpBase<BinaryOp> {
 public:
  explicit BinaryOp(Binary kind) : kind_(kind) {}
  std::string name() const override { return name_of(kind_); }
  BatchRole role(std::span<const Value> in) const override { return samplewise_role(in); }
  Launch launch(const LaunchArgs& r) const override {
    return choose_launch(r.backends, &kernels::Backend::binary,
                         binary_dims(kind_, r.inputs[0], r.inputs[1], r.output));
  }
  bool pointwise(kernels::PointwiseStep& step) const override {
    step.is_binary = true;
    step.binary = kind_;
    return true;
  }
  bool equals(const Op& other) const override {
    const auto* o = dynamic_cast<const BinaryOp*>(&other);
    return o && kind_ == o->kind_;
  }
  bool cheap() const override { return kind_ != Binary::div; }
  std::vector<Value> derivative(const DerivativeArgs& args) const override {
    const Value a = args.x[0], b = args.x[1], dy = args.dy;
    const bool da = args.wanted[0], db = args.wanted[1];
    // Where an input was repeated, its derivative is summed over the repetitions.
    const auto to_a = [&](auto make) { return da ? sum_to(make(), a) : Value{}; };
    const auto to_b = [&](auto make) { return db ? sum_to(make(), b) : Value{}; };
    switch (kind_) {
      case Binary::add:  // da = dy, db = dy
        return {to_a([&] { return dy; }), to_b([&] { return dy; })};
      case Binary::sub:  // da = dy, db = -dy
        return {to_a([&] { return dy; }), to_b([&] { return -dy; })};
      case Binary::mul:  // da = dy b, db = dy a
        return {to_a([&] { return dy * b; }), to_b([&] { return dy * a; })};
      case Binary::div:  // da = dy / b, db = -dy y / b
        return {to_a([&] { return dy / b; }), to_b([&] { return -(dy * args.y / b); })};
      case Binary::equal:
        return {{}, {}};
      case Binary::relu_grad:  // y = [a > 0] b: da = 0, db = [a > 0] dy
        return {{}, to_b([&] { return binary(kind_, a, dy); })};
      case Binary::tanh_grad:  // y = (1 - a^2) b: da = -2 a b dy, db = (1 - a^2) dy
        return {to_a([&] { return a * b * dy * -2.0f; }), to_b([&] { return binary(kind_, a, dy); })};
      case Binary::sigmoid_grad:  // y = a (1 - a) b: da = (1 - 2 a) b dy, db = a (1 - a) dy
        return {to_a([&] { return (1.0f - a * 2.0f) * b * dy; }), to_b([&] { return binary(kind_, a, dy); })};
    }
    return {};
  }
  template <class T>
  void define(const Operands<T>& o) const {
    kernels::binary_reference<T>(binary_dims(kind_, o.shapes[0], o.shapes[1], o.output_shape), o.in(0),
                                 o.in(1), o.out());
  }

 private:
  Binary kind_;
};

Value unary(Unary kind, Value x, float constant = 0) {
  want_floats(name_of(kind), x);
  return x.graph->add(std::make_shared<UnaryOp>(kind, constant), {x}, x.shape());
}

Value binary(Binary kind, Value a, Value b) {
  want_floats(name_of(kind), a);
  want_floats(name_of(kind), b);
  return a.graph->add(std::make_shared<BinaryOp>(kind), {a, b},
                      broadcast(a.shape(), b.shape(), name_of(kind)));
}

}  // namespace

Value relu(Value x) { return unary(Unary::relu, x); }
Value tanh(Value x) { return unary(Unary::tanh, x); }
Value sigmoid(Value x) { return unary(Unary::sigmoid, x); }
Value exp(Value x) { return unary(Unary::exp, x); }
Value log(Value x) { return unary(Unary::log, x); }
Value sqrt(Value x) { return unary(Unary::sqrt, x); }
Value square(Value x) { return unary(Unary::square, x); }
Value scale(Value x, float factor) { return unary(Unary::scale, x, factor); }
Value shift(Value x, float summand) { return unary(Unary::shift, x, summand); }

Value add(Value a, Value b) { return binary(Binary::add, a, b); }
Value sub(Value a, Value b) { return binary(Binary::sub, a, b); }
Value mul(Value a, Value b) { return binary(Binary::mul, a, b); }
Value div(Value a, Value b) { return binary(Binary::div, a, b); }
Value equal(Value a, Value b) { return binary(Binary::equal, a, b); }

}  // namespace autodiff
