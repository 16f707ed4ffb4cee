#include "nn/attention.h"

#include <cmath>

#include "autodiff/graph/ops.h"
#include "nn/dense.h"
#include "nn/gelu.h"
#include "nn/layer_norm.h"

namespace nn {

using autodiff::Shape;
using autodiff::Value;

Value scaled_dot_product_attention(Value queries, Value keys, Value values) {
  const Shape &q = queries.shape(), &k = keys.shape(), &v = values.shape();
  if (q.rank() < 2 || k.rank() != q.rank() || v.rank() != q.rank() || v[-2] != k[-2] || k[-1] != q[-1]) {
    autodiff::fail("attention: want queries [..., t, d], keys [..., s, d] and values [..., s, c], got ", q,
                   ", ", k, " and ", v);
  }
  // The queries are scaled, not the t x s scores: there are fewer of them.
  const float factor = 1 / std::sqrt(static_cast<float>(q[-1]));
  const Value scores = autodiff::matmul(queries * factor, keys, {.transpose_b = true});
  return autodiff::matmul(autodiff::softmax(scores), values);
}

void add_attention(Layout& layout, const std::string& name, int width) {
  for (const char* part : {".query", ".key", ".value", ".out"}) add_dense(layout, name + part, width, width);
}

Value multi_head_attention(Value x, const GraphParameters& parameters, const std::string& name,
                           const AttentionOptions& options) {
  const Shape shape = x.shape();
  if (shape.rank() != 3 || options.heads < 1 || shape[2] % options.heads != 0) {
    autodiff::fail("attention '", name,
                   "': want x [n, tokens, width] with a width that is a multiple of the ", options.heads,
                   " heads, got ", shape);
  }
  const int n = shape[0], tokens = shape[1], width = shape[2], heads = options.heads;
  // [n, tokens, width] -> [n, heads, tokens, width / heads]: the samples stay axis 0.
  const auto project = [&](const char* part) {
    const Value all = dense(x, parameters, name + part);
    return autodiff::transpose(autodiff::reshape(all, {n, tokens, heads, width / heads}), {0, 2, 1, 3});
  };
  const Value each = scaled_dot_product_attention(project(".query"), project(".key"), project(".value"));
  return dense(autodiff::reshape(autodiff::transpose(each, {0, 2, 1, 3}), shape), parameters, name + ".out");
}

void add_encoder_block(Layout& layout, const std::string& name, int width, int mlp) {
  add_layer_norm(layout, name + ".norm1", width);
  add_attention(layout, name + ".attention", width);
  add_layer_norm(layout, name + ".norm2", width);
  add_dense(layout, name + ".mlp1", width, mlp);
  add_dense(layout, name + ".mlp2", mlp, width);
}

Value encoder_block(Value x, const GraphParameters& parameters, const std::string& name,
                    const AttentionOptions& options) {
  const Value first = layer_norm(x, parameters, name + ".norm1");
  x = x + multi_head_attention(first, parameters, name + ".attention", options);
  const Value second = layer_norm(x, parameters, name + ".norm2");
  return x + dense(gelu(dense(second, parameters, name + ".mlp1")), parameters, name + ".mlp2");
}

}  // namespace nn
