// The dense layer: y = x W + b.
#pragma once

#include <string>

#include "autodiff/graph/ops.h"
#include "nn/parameters.h"

namespace nn {

/// Adds NAME.kernel [in, out] and NAME.bias [out].
inline void add_dense(Layout& layout, const std::string& name, int in, int out,
                      const Initializer& kernel = lecun_normal) {
  layout.add(name + ".kernel", {in, out}, kernel);
  layout.add(name + ".bias", {out}, zeros);
}

/// x [..., in] times NAME.kernel plus NAME.bias: [..., out].
inline autodiff::Value dense(autodiff::Value x, const GraphParameters& parameters, const std::string& name) {
  return autodiff::matmul(x, parameters[name + ".kernel"]) + parameters[name + ".bias"];
}

}  // namespace nn
