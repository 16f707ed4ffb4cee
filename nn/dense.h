// The dense layer: y = x W + b.
#pragma once

#include <string>

#include "autodiff/graph/ops.h"
#include "nn/parameters.h"

namespace nn {

struct DenseOptions {
  bool bias = true;
};

/// Adds NAME.kernel [in, out] and, with bias, NAME.bias [out].
inline void add_dense(Layout& layout, const std::string& name, int in, int out,
                      const DenseOptions& options = {}) {
  layout.add(name + ".kernel", {in, out}, lecun_normal);
  if (options.bias) layout.add(name + ".bias", {out}, zeros);
}

/// x [..., in] times NAME.kernel plus NAME.bias, if it has one: [..., out].
inline autodiff::Value dense(autodiff::Value x, const GraphParameters& parameters, const std::string& name,
                             const DenseOptions& options = {}) {
  const autodiff::Value y = autodiff::matmul(x, parameters[name + ".kernel"]);
  return options.bias ? y + parameters[name + ".bias"] : y;
}

}  // namespace nn
