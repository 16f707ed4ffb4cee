#include "nn/pass.h"

#include "autodiff/graph/movement.h"

namespace nn {

autodiff::Value as_samples(const std::string& who, autodiff::Value x, const autodiff::Shape& sample) {
  if (x.shape().rank() < 1 || x.shape().sample().size() != sample.size()) {
    autodiff::fail(who, ": want samples of shape ", sample, ", got x ", x.shape());
  }
  return autodiff::reshape(x, sample.batched(x.shape()[0]));
}

std::string edges(const autodiff::Shape& sample) {
  std::string out;
  for (const int edge : sample) out += (out.empty() ? "" : "x") + std::to_string(edge);
  return out;
}

}  // namespace nn
