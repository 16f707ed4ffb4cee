// Dropout as a layer: in training only, with masks of its own.
#pragma once

#include "autodiff/graph/ops.h"
#include "nn/pass.h"

namespace nn {

/// x [n, ...] with elements dropped, in training; else x itself. The dropouts of a pass share its keys, and
/// the number of each tells their masks apart.
inline autodiff::Value dropout(autodiff::Value x, double rate, Pass& pass) {
  if (!pass.training || rate == 0) return x;
  if (!pass.dropout_keys.valid()) pass.dropout_keys = x.graph->labels(x.shape()[0], "dropout keys");
  return autodiff::dropout(x, pass.dropout_keys, {.rate = rate, .layer = pass.dropouts++});
}

}  // namespace nn
