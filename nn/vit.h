// A small vision transformer.
#pragma once

#include <string>

#include "nn/parameters.h"
#include "nn/pass.h"

namespace nn {

/// Images cut into patches, each a token: a dense layer on the pixels of a patch plus a learned embedding of
/// its position, `depth` pre-norm encoder blocks (nn/attention.h), a layer norm, the mean over the tokens and
/// a linear output (Dosovitskiy et al. 2021, with mean pooling instead of a class token). Parameters are
/// embed.kernel, embed.bias, position [tokens, width], block1.norm1.scale, ..., norm.scale, norm.bias,
/// head.kernel and head.bias.
struct Vit {
  autodiff::Shape inputs = {8, 8, 1};  ///< of one sample: [height, width, channels]
  int patch = 2;                       ///< edge of a patch in pixels; divides height and width
  int width = 32;                      ///< of a token; a multiple of heads
  int depth = 2;                       ///< encoder blocks
  int heads = 4;
  int mlp = 64;  ///< hidden units of a block
  int classes = 2;

  bool operator==(const Vit&) const = default;
};

/// "vit 8x8x1 patch 2 width 32 depth 2 heads 4 mlp 64 classes 10"
std::string describe(const Vit& net);
/// Throws Error for sizes below 1, inputs that are no images, a patch that does not divide them, a width that
/// the heads do not divide, or more than 2^31 parameters.
Layout layout(const Vit& net);
/// Logits [n, classes] for x [n, inputs...].
autodiff::Value forward(const Vit& net, const GraphParameters& parameters, autodiff::Value x, Pass& pass);

}  // namespace nn
