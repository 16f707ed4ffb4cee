#include "autodiff/graph/conv2d.h"

#include <algorithm>
#include <array>

#include "autodiff/graph/op.h"

namespace autodiff {
namespace {

using kernels::Conv2dDims;

Value convolve(Value x, Value w, const Conv2dDims& d);
Value filter_grad(Value x, Value dy, const Conv2dDims& d);

// Filters [kh, kw, in / groups, out] turned around, inputs and outputs exchanged: [kh, kw, out / groups, in].
// Turning twice changes nothing.
class TurnFiltersOp final : public OpBase<TurnFiltersOp> {
 public:
  explicit TurnFiltersOp(int groups) : groups_(groups) {}
  std::string name() const override { return "turn_filters"; }
  BatchRole role(std::span<const Value>) const override { return BatchRole::whole; }
  Launch launch(const LaunchArgs& args) const override {
    return choose_launch(args.backends, &kernels::Backend::copy, plan(args.inputs[0]));
  }
  double flops(std::span<const Shape>, const Shape&) const override { return 0; }
  std::vector<Value> derivative(const DerivativeArgs& args) const override {
    return {turn(args.dy, groups_)};
  }
  template <class T>
  void define(const Operands<T>& o) const {
    kernels::copy_reference<T>(plan(o.shapes[0]), o.in(0), o.out());
  }
  static Value turn(Value w, int groups) {
    const Shape& s = w.shape();
    return w.graph->add(std::make_shared<TurnFiltersOp>(groups), {w},
                        {s[0], s[1], s[3] / groups, s[2] * groups});
  }

 private:
  // y[a, b, o, g, i] = w[kh - 1 - a, kw - 1 - b, i, g, o], seen as arrays of five axes
  kernels::CopyDims plan(const Shape& w) const {
    const int in = w[2], out = w[3] / groups_;
    kernels::CopyDims d{.rank = 5, .size = {w[0], w[1], out, groups_, in}};
    const std::ptrdiff_t column = std::ptrdiff_t{w[2]} * w[3], row = column * w[1];
    d.in_stride = {-row, -column, 1, out, w[3]};
    d.in_offset = std::max<std::ptrdiff_t>(0, row * w[0] - column);
    const std::ptrdiff_t to = std::ptrdiff_t{in} * groups_;
    d.out_stride = {to * out * w[1], to * out, to, in, 1};
    return d;
  }
  int groups_;
};

// What the two ops below have in common: the dims of the whole batch, of which a chunk has fewer images.
template <class Derived>
class ConvolutionOp : public OpBase<Derived> {
 public:
  explicit ConvolutionOp(const Conv2dDims& dims) : dims_(dims) {}
  double flops(std::span<const Shape> in, const Shape&) const override { return kernels::flops(sized(in)); }

 protected:
  Conv2dDims sized(std::span<const Shape> in) const {
    Conv2dDims d = dims_;
    d.n = in[0][0];
    return d;
  }
  Conv2dDims dims_;
};

// Rows of an image that one kernel call writes: the bits do not depend on where images are cut, and every
// kernel's tiles are whole.
constexpr int row_grain = 4;

// How many threads one image is worth; images of a chunk meet one thread.
int parts_of_image(const Conv2dDims& d, int grains) {
  if (d.n != 1 || d.up != 1) return 1;
  constexpr double operations = 0.4e6;  // some 4 us, where a thread is there within one
  return static_cast<int>(std::min(kernels::flops(d) / operations, 1.0 * grains));
}
int row_grains(const Conv2dDims& d) { return (d.oh + row_grain - 1) / row_grain; }

// The rows of an output image that part `part` of `parts` writes, as a convolution of its own.
struct Rows {
  Conv2dDims dims;
  std::ptrdiff_t x, y;  // where its images begin

  Rows(const Conv2dDims& whole, int part, int parts) : dims(whole) {
    const int first = row_grains(whole) * part / parts * row_grain;
    dims.oh = std::min(whole.oh, row_grains(whole) * (part + 1) / parts * row_grain) - first;
    const int skipped = std::clamp(first * whole.stride - whole.top, 0, whole.h);  // rows of x
    dims.h -= skipped;
    dims.top += skipped - first * whole.stride;
    x = std::ptrdiff_t{skipped} * whole.w * whole.in;
    y = std::ptrdiff_t{first} * whole.ow * whole.out;
  }
  Launch launch(Launch one) const {
    return {one.backend,
            [x = x, y = y, run = std::move(one.run)](const void* const* in, void* out) {
              const std::array<const void*, 3> inputs{static_cast<const float*>(in[0]) + x, in[1], in[2]};
              run(inputs.data(), static_cast<float*>(out) + y);
            },
            one.scratch_bytes, static_cast<std::size_t>(y), dims.y_size()};
  }
};

// Filters in the form that a backend's kernel reads.
class PackFiltersOp final : public OpBase<PackFiltersOp> {
 public:
  PackFiltersOp(const kernels::Backend& backend, const Conv2dDims& dims) : backend_(&backend), dims_(dims) {}
  std::string name() const override { return "pack_filters"; }
  BatchRole role(std::span<const Value>) const override { return BatchRole::whole; }
  Launch launch(const LaunchArgs&) const override {
    return launch_of(*backend_, &kernels::Backend::conv2d_pack, dims_);
  }
  double flops(std::span<const Shape>, const Shape&) const override { return 0; }
  template <class T>
  void define(const Operands<T>&) const {
    fail("pack_filters: its result is for a kernel of ", backend_->name, " only");
  }

 private:
  const kernels::Backend* backend_;
  Conv2dDims dims_;
};

// y = x * w:    dx = dy * turned w, with stride and spread exchanged;    dw = filter_grad(x, dy)
class Conv2dOp final : public ConvolutionOp<Conv2dOp> {
 public:
  using ConvolutionOp::ConvolutionOp;
  std::string name() const override {
    return dims_.up > 1 ? "conv2d_transposed" : dims_.groups > 1 ? "conv2d grouped" : "conv2d";
  }
  BatchRole role(std::span<const Value> in) const override {
    return in[0].batched() && !in[1].batched() ? BatchRole::map : BatchRole::whole;
  }
  Launch launch(const LaunchArgs& args) const override {
    const Conv2dDims d = sized(args.inputs);
    if (args.parts == 1) return choose_launch(args.backends, &kernels::Backend::conv2d, d);
    // The kernel of the whole: another one, for fewer rows, would give other bits.
    const kernels::Backend& row = kernels::choose(args.backends, &kernels::Backend::conv2d, d);
    const Rows rows(d, args.part, args.parts);
    return rows.launch(launch_of(row, &kernels::Backend::conv2d, rows.dims));
  }
  int parts(const LaunchArgs& args) const override {
    const Conv2dDims d = sized(args.inputs);
    return parts_of_image(d, row_grains(d));
  }
  std::optional<Packing> packing(const LaunchArgs& args) const override;
  std::vector<Value> derivative(const DerivativeArgs& args) const override {
    const Value x = args.x[0], w = args.x[1];
    return {args.wanted[0] ? input_grad(args.dy, w, dims_) : Value{},
            args.wanted[1] ? filter_grad(x, args.dy, dims_) : Value{}};
  }
  static Value input_grad(Value dy, Value w, const Conv2dDims& d) {
    Conv2dDims back = d;
    back.h = d.oh, back.w = d.ow, back.in = d.out;
    back.oh = d.h, back.ow = d.w, back.out = d.in;
    back.stride = d.up, back.up = d.stride;
    back.top = d.dilation * (d.kh - 1) - d.top;
    back.left = d.dilation * (d.kw - 1) - d.left;
    return convolve(dy, TurnFiltersOp::turn(w, d.groups), back);
  }
  template <class T>
  void define(const Operands<T>& o) const {
    kernels::conv2d_reference<T>(sized(o.shapes), o.in(0), o.in(1), o.out());
  }
};

// The same with filters that have been packed.
class PackedConv2dOp final : public ConvolutionOp<PackedConv2dOp> {
 public:
  PackedConv2dOp(const kernels::Backend& backend, const Conv2dDims& dims)
      : ConvolutionOp(dims), backend_(&backend) {}
  std::string name() const override { return "conv2d"; }
  BatchRole role(std::span<const Value>) const override { return BatchRole::map; }
  Launch launch(const LaunchArgs& args) const override {
    const Conv2dDims d = sized(args.inputs);
    if (args.parts == 1) return launch(d, 0, d.out);
    if (by_channels(d)) {
      const auto bound = [&](int part) {
        return std::min(d.out, channel_grains(d) * part / args.parts * channel_grain);
      };
      return launch(d, bound(args.part), bound(args.part + 1));
    }
    const Rows rows(d, args.part, args.parts);
    return rows.launch(launch(rows.dims, 0, d.out));
  }
  int parts(const LaunchArgs& args) const override {
    const Conv2dDims d = sized(args.inputs);
    return parts_of_image(d, by_channels(d) ? channel_grains(d) : row_grains(d));
  }
  template <class T>
  void define(const Operands<T>&) const {
    fail("conv2d with packed filters: for a kernel of ", backend_->name, " only");
  }

 private:
  static constexpr int channel_grain = 16;  // of whole vectors
  static int channel_grains(const Conv2dDims& d) { return (d.out + channel_grain - 1) / channel_grain; }
  // Where images are small, filters are what is read: each thread had better read its own.
  static bool by_channels(const Conv2dDims& d) { return d.oh * d.ow < 4 * d.out && channel_grains(d) > 1; }
  Launch launch(const Conv2dDims& d, int first_out, int end_out) const {
    return launch_of(*backend_, &kernels::Backend::conv2d_packed,
                     kernels::PackedConv2dDims{d, first_out, end_out - first_out});
  }
  const kernels::Backend* backend_;
};

std::optional<Packing> Conv2dOp::packing(const LaunchArgs& args) const {
  const Conv2dDims d = sized(args.inputs);
  const kernels::Backend& backend = choose(args.backends, &kernels::Backend::conv2d, d);
  if (!backend.conv2d_packed.run || d.n == 0) return {};
  return Packing{.pack = std::make_shared<PackFiltersOp>(backend, d),
                 .rest = std::make_shared<PackedConv2dOp>(backend, d),
                 .input = 1,
                 .shape = {static_cast<int>(backend.conv2d_packed_floats(d))}};
}

// The sum over samples of what each says about the filters. It is linear in both x and dy:
//   dx = ddw convolved back over dy,    d dy = x * ddw
class Conv2dFilterGradOp final : public ConvolutionOp<Conv2dFilterGradOp> {
 public:
  using ConvolutionOp::ConvolutionOp;
  std::string name() const override { return "conv2d_filter_grad"; }
  BatchRole role(std::span<const Value> in) const override {
    return in[0].batched() && in[1].batched() ? BatchRole::reduce : BatchRole::whole;
  }
  Launch launch(const LaunchArgs& args) const override {
    return choose_launch(args.backends, &kernels::Backend::conv2d_filter_grad, sized(args.inputs));
  }
  std::vector<Value> derivative(const DerivativeArgs& args) const override {
    const Value x = args.x[0], dy = args.x[1], ddw = args.dy;
    return {args.wanted[0] ? Conv2dOp::input_grad(dy, ddw, dims_) : Value{},
            args.wanted[1] ? convolve(x, ddw, dims_) : Value{}};
  }
  template <class T>
  void define(const Operands<T>& o) const {
    kernels::conv2d_filter_grad_reference<T>(sized(o.shapes), o.in(0), o.in(1), o.out());
  }
};

Value convolve(Value x, Value w, const Conv2dDims& d) {
  return x.graph->add(std::make_shared<Conv2dOp>(d), {x, w}, {d.n, d.oh, d.ow, d.out});
}

Value filter_grad(Value x, Value dy, const Conv2dDims& d) {
  return x.graph->add(std::make_shared<Conv2dFilterGradOp>(d), {x, dy}, {d.kh, d.kw, d.in / d.groups, d.out});
}

}  // namespace

Padding same_padding(int h, int w, int kh, int kw, int stride) {
  const auto total = [stride](int size, int window) {
    return std::max(((size + stride - 1) / stride - 1) * stride + window - size, 0);
  };
  const int rows = total(h, kh), columns = total(w, kw);
  return {rows / 2, rows - rows / 2, columns / 2, columns - columns / 2};
}

Value conv2d(Value x, Value w, const Conv2dOptions& options) {
  if (!x.valid() || !w.valid()) fail("conv2d: got an empty value");
  const Shape &sx = x.shape(), &sw = w.shape();
  const auto [stride, padding, dilation, groups] = options;
  if (stride < 1 || dilation < 1 || groups < 1) {
    fail("conv2d: want stride, dilation and groups of at least 1, got ", stride, ", ", dilation, " and ",
         groups);
  }
  if (sx.rank() != 4 || sw.rank() != 4 || sx[3] != sw[2] * groups || sw[3] % groups != 0 ||
      x.dtype() != DType::F32 || w.dtype() != DType::F32) {
    fail("conv2d: want x [N, H, W, C] and w [KH, KW, C / ", groups, ", O] with O a multiple of ", groups,
         ", got x ", sx, " and w ", sw);
  }
  const int kh = dilation * (sw[0] - 1) + 1, kw = dilation * (sw[1] - 1) + 1;
  const Padding p = padding ? *padding : same_padding(sx[1], sx[2], kh, kw, stride);
  const int rows = sx[1] + p.top + p.bottom - kh, columns = sx[2] + p.left + p.right - kw;
  if (p.top < 0 || p.bottom < 0 || p.left < 0 || p.right < 0 || rows < 0 || columns < 0 || sw[0] < 1 ||
      sw[1] < 1) {
    fail("conv2d: want a window inside the padded image, got ", kh, " x ", kw, " on ", sx[1], " x ", sx[2],
         " with padding ", p.top, ", ", p.bottom, ", ", p.left, ", ", p.right);
  }
  return convolve(x, w,
                  {.n = sx[0],
                   .h = sx[1],
                   .w = sx[2],
                   .in = sx[3],
                   .kh = sw[0],
                   .kw = sw[1],
                   .oh = rows / stride + 1,
                   .ow = columns / stride + 1,
                   .out = sw[3],
                   .stride = stride,
                   .dilation = dilation,
                   .top = p.top,
                   .left = p.left,
                   .groups = groups});
}

}  // namespace autodiff
