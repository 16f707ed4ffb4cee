// Attention, and the encoder block of a transformer around it.
#pragma once

#include <string>

#include "autodiff/graph/graph.h"
#include "nn/parameters.h"

namespace nn {

/// softmax(q k^T / sqrt(d)) v along the keys: queries [..., t, d], keys [..., s, d] and values [..., s, c]
/// with equal leading axes -> [..., t, c] (Vaswani et al. 2017). Throws Error for shapes that do not meet.
autodiff::Value scaled_dot_product_attention(autodiff::Value queries, autodiff::Value keys,
                                             autodiff::Value values);

struct AttentionOptions {
  /// Into how many parts of equal size the width is cut; each attends on its own.
  int heads = 4;
};

/// Adds the dense layers NAME.query, NAME.key, NAME.value and NAME.out, each from `width` to `width`.
void add_attention(Layout& layout, const std::string& name, int width);

/// Every token of a sample looks at all tokens of that sample: x [n, tokens, width] -> the same shape. Throws
/// Error for another rank, and a width that is no multiple of the heads.
autodiff::Value multi_head_attention(autodiff::Value x, const GraphParameters& parameters,
                                     const std::string& name, const AttentionOptions& options = {});

/// Adds NAME.norm1, NAME.attention, NAME.norm2, NAME.mlp1 (width -> mlp) and NAME.mlp2 (mlp -> width).
void add_encoder_block(Layout& layout, const std::string& name, int width, int mlp);

/// The pre-norm block (Xiong et al. 2020), x [n, tokens, width] -> the same shape:
///   x += attention(norm1(x));  x += mlp2(gelu(mlp1(norm2(x))))
autodiff::Value encoder_block(autodiff::Value x, const GraphParameters& parameters, const std::string& name,
                              const AttentionOptions& options = {});

}  // namespace nn
