// The layers of a sequential network, as data: one small struct for each kind.
#pragma once

#include <array>
#include <concepts>
#include <optional>
#include <utility>
#include <variant>
#include <vector>

namespace nn {

/// Zeros around the images that a convolution reads: so many on every side, or none given: "same", the output
/// has ceil(size / stride) rows (autodiff/graph/conv2d.h).
struct Border {
  std::optional<int> zeros = {};
  bool operator==(const Border&) const = default;
};
inline constexpr Border same{};
inline constexpr Border valid{0};

/// Filters of kernel x kernel: [h, w, c] -> [oh, ow, filters]. In evaluation, a batch norm right behind it is
/// folded into it. Parameters convI.kernel [kernel, kernel, c / groups, filters] and, with bias, convI.bias.
struct Conv2d {
  int filters = 32;
  int kernel = 3;
  int stride = 1;
  Border padding = same;
  int dilation = 1;
  int groups = 1;  ///< divides channels and filters; as many as channels: depthwise
  bool bias = true;
  bool operator==(const Conv2d&) const = default;
};
/// Of every channel, over the batch and all positions (nn/batch_norm.h). Parameters normI.scale, normI.bias,
/// and the statistics normI.mean and normI.var.
struct BatchNorm {
  bool operator==(const BatchNorm&) const = default;
};
/// Of every position, over its channels (nn/layer_norm.h). Parameters normI.scale and normI.bias.
struct LayerNorm {
  bool operator==(const LayerNorm&) const = default;
};
struct Relu {
  bool operator==(const Relu&) const = default;
};
/// In its tanh form (nn/gelu.h).
struct Gelu {
  bool operator==(const Gelu&) const = default;
};
struct Tanh {
  bool operator==(const Tanh&) const = default;
};
struct Sigmoid {
  bool operator==(const Sigmoid&) const = default;
};
/// The maximum of windows of size x size; rows and columns that fill no window are dropped.
struct MaxPool {
  int size = 2;
  std::optional<int> stride = {};  ///< none: as large as the window
  bool operator==(const MaxPool&) const = default;
};
/// The mean of windows, otherwise like MaxPool.
struct AvgPool {
  int size = 2;
  std::optional<int> stride = {};
  bool operator==(const AvgPool&) const = default;
};
/// The mean over all positions: [h, w, c] -> [c].
struct GlobalAvgPool {
  bool operator==(const GlobalAvgPool&) const = default;
};
/// Any shape -> a vector.
struct Flatten {
  bool operator==(const Flatten&) const = default;
};
/// x W + b of a vector. Parameters denseI.kernel [in, units] and, with bias, denseI.bias.
struct Dense {
  std::optional<int> units = {};  ///< may be left out in the last dense layer: as many as classes
  bool bias = true;
  bool operator==(const Dense&) const = default;
};
/// In training, sets each element to 0 with probability `rate` and divides the others by 1 - rate.
struct Dropout {
  double rate = 0.5;
  bool operator==(const Dropout&) const = default;
};
struct Layer;
/// x plus what its layers make of x, which has the shape of x.
struct Residual {
  std::vector<Layer> layers;
  bool operator==(const Residual& other) const;
};

/// A layer of any kind.
struct Layer {
  using Form = std::variant<Conv2d, BatchNorm, LayerNorm, Relu, Gelu, Tanh, Sigmoid, MaxPool, AvgPool,
                            GlobalAvgPool, Flatten, Dense, Dropout, Residual>;
  Form form;

  Layer() = default;
  template <class F>
  requires(!std::same_as<F, Layer> && std::constructible_from<Form, F>) Layer(F layer)
      : form(std::move(layer)) {}  // NOLINT: each form is a layer
  bool operator==(const Layer& other) const { return form == other.form; }
};
inline bool Residual::operator==(const Residual& other) const { return layers == other.layers; }

/// What the kinds are called, in the order of Layer::Form.
inline constexpr std::array layer_kinds{"conv2d",  "batch_norm", "layer_norm", "relu",     "gelu",
                                        "tanh",    "sigmoid",    "max_pool",   "avg_pool", "global_avg_pool",
                                        "flatten", "dense",      "dropout",    "residual"};
static_assert(layer_kinds.size() == std::variant_size_v<Layer::Form>);

}  // namespace nn
