#include "autodiff/graph/moments.h"

#include "autodiff/graph/elementwise.h"
#include "autodiff/graph/movement.h"
#include "autodiff/graph/op.h"

namespace autodiff {
namespace {

class MomentsOp final : public OpBase<MomentsOp> {
 public:
  std::string name() const override { return "moments"; }
  BatchRole role(std::span<const Value> in) const override {
    return in[0].batched() && in[0].shape().rank() > 1 ? BatchRole::reduce : BatchRole::whole;
  }
  Launch launch(const LaunchArgs& args) const override {
    return choose_launch(args.backends, &kernels::Backend::moments, dims(args.inputs[0]));
  }
  Combine combine(const Shape& output) const override {
    return [channels = static_cast<std::size_t>(output[1])](std::span<const double> weights,
                                                            const float* const* partials, float* out) {
      kernels::combine_moments(channels, weights.size(), weights.data(), partials, out);
    };
  }
  double flops(std::span<const Shape> in, const Shape&) const override {
    return 4.0 * static_cast<double>(in[0].size());
  }
  // With N elements a channel:   dx = dmean / N + dvar 2 (x - mean) / N
  std::vector<Value> derivative(const DerivativeArgs& args) const override {
    const Value x = args.x[0];
    const int channels = x.shape()[-1];
    const auto row = [&](Value m, int i) { return reshape(slice(m, 0, i, i + 1), {channels}); };
    const auto n = static_cast<float>(x.shape().size() / static_cast<std::size_t>(channels));
    const Value all = x.graph->constant(n), half = x.graph->constant(n / 2);
    return {(x - row(args.y, 0)) * (row(args.dy, 1) / half) + row(args.dy, 0) / all};
  }
  template <class T>
  void define(const Operands<T>& o) const {
    kernels::moments_reference<T>(dims(o.shapes[0]), o.in(0), o.out());
  }

 private:
  static kernels::MomentsDims dims(const Shape& x) {
    const auto channels = static_cast<std::size_t>(x[-1]);
    return {x.size() / channels, channels};
  }
};

}  // namespace

Value moments(Value x) {
  if (!x.valid()) fail("moments: got an empty value");
  if (x.shape().rank() == 0 || x.shape().size() == 0 || x.dtype() != DType::F32) {
    fail("moments: want float32 [n, ..., channels] with at least one element, got ", x.shape());
  }
  return x.graph->add(std::make_shared<MomentsOp>(), {x}, {2, x.shape()[-1]});
}

}  // namespace autodiff
