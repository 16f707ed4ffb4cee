#include "autodiff/graph/dropout.h"

#include "autodiff/graph/op.h"

namespace autodiff {
namespace {

class DropoutOp final : public OpBase<DropoutOp> {
 public:
  explicit DropoutOp(const DropoutOptions& options) : options_(options) {}
  std::string name() const override { return "dropout"; }
  BatchRole role(std::span<const Value> in) const override {
    return in[0].batched() && in[1].batched() ? BatchRole::map : BatchRole::whole;
  }
  Launch launch(const LaunchArgs& args) const override {
    return choose_launch(args.backends, &kernels::Backend::dropout, dims(args.output));
  }
  // Ten rounds of eight integer operations for four elements, and the scaling.
  double flops(std::span<const Shape>, const Shape& out) const override {
    return 21.0 * static_cast<double>(out.size());
  }
  // dx = dy with the same elements dropped and the same scale.
  std::vector<Value> derivative(const DerivativeArgs& args) const override {
    return {dropout(args.dy, args.x[1], options_), {}};
  }
  template <class T>
  void define(const Operands<T>& o) const {
    kernels::dropout_reference<T>(dims(o.output_shape), o.in(0), o.labels(1), o.out());
  }

 private:
  kernels::DropoutDims dims(const Shape& x) const {
    return {.samples = static_cast<std::size_t>(x[0]),
            .size = x.sample().size(),
            .layer = static_cast<std::uint32_t>(options_.layer),
            .threshold = static_cast<std::uint32_t>(options_.rate * 0x1p32),
            .scale = static_cast<float>(1 / (1 - options_.rate))};
  }
  DropoutOptions options_;
};

}  // namespace

Value dropout(Value x, Value keys, const DropoutOptions& options) {
  if (!x.valid() || !keys.valid()) fail("dropout: got an empty value");
  const Shape& s = x.shape();
  if (s.rank() == 0 || x.dtype() != DType::F32 || keys.dtype() != DType::I32 || keys.shape() != Shape{s[0]}) {
    fail("dropout: want x float32 [n, ...] and keys int32 [n], got ",
         x.dtype() == DType::I32 ? "int32 " : "float32 ", s, " and ",
         keys.dtype() == DType::I32 ? "int32 " : "float32 ", keys.shape());
  }
  if (!(options.rate >= 0 && options.rate < 1)) {
    fail("dropout: want a rate from 0 to below 1, got ", options.rate);
  }
  if (options.layer < 0) fail("dropout: want a layer number of at least 0, got ", options.layer);
  if (options.rate == 0) return x;
  return x.graph->add(std::make_shared<DropoutOp>(options), {x, keys}, s);
}

}  // namespace autodiff
