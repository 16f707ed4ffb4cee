// What a forward pass is told, and what it leaves behind, while its graph is built.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "autodiff/graph/graph.h"

namespace nn {

struct Pass {
  /// True: batch norm uses the moments of the batch, dropout drops. False: the running statistics, and
  /// nothing is dropped.
  bool training = false;
  /// In evaluation, batch norm is folded into the convolution before it: one small product per run instead of
  /// two passes over the images.
  bool fold_norms = true;
  /// After the pass, in training: the new values of statistic parameters, by name.
  std::vector<std::pair<std::string, autodiff::Value>> statistics = {};
  /// After the pass, in training: the keys int32 [n] from which dropouts draw their masks, to be bound anew
  /// for every step; empty where the network has none.
  autodiff::Value dropout_keys = {};
  int dropouts = 0;  ///< so far
};

/// x [n, ...] as samples of this shape. Throws Error, beginning with `who`, when they have another size.
autodiff::Value as_samples(const std::string& who, autodiff::Value x, const autodiff::Shape& sample);

/// The shape of a sample for people: "8x8x32", "64".
std::string edges(const autodiff::Shape& sample);

}  // namespace nn
