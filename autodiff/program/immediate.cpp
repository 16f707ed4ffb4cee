#include "autodiff/program/immediate.h"

#include <algorithm>

namespace autodiff {

Tensor evaluate(Value output, std::initializer_list<Binding> bindings,
                std::initializer_list<LabelBinding> labels, const CompileOptions& options) {
  if (!output.valid()) fail("evaluate: got an empty value");
  Program program = compile(*output.graph, {output}, options);
  for (const auto& [value, tensor] : bindings) program.bind(value, {tensor.data(), tensor.size()});
  for (const auto& [value, tensor] : labels) program.bind(value, {tensor.data(), tensor.size()});
  program.run();
  Tensor out(output.shape());
  if (output.dtype() == DType::I32) {
    const auto view = program.labels(output);
    std::transform(view.data, view.data + out.size(), out.begin(),
                   [](std::int32_t label) { return static_cast<float>(label); });
  } else {
    const auto view = program.value(output);
    std::copy_n(view.data, out.size(), out.begin());
  }
  return out;
}

}  // namespace autodiff
