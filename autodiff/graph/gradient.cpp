#include "autodiff/graph/op.h"
#include "autodiff/graph/ops.h"

namespace autodiff {

// Reverse mode, in the words of the chain rule: walking from the loss back to the inputs, every node y =
// op(x) hands
//   dx_i += dy * d y / d x_i
// to its inputs. All products are built as nodes; nothing is computed here. There is no recursion: nodes are
// numbered in a topological order, so the walk is a loop over descending numbers.
std::vector<Value> gradient(Value loss, std::span<const Value> wrt) {
  if (!loss.valid() || loss.shape().size() != 1 || loss.dtype() != DType::F32) {
    fail("gradient: want a loss with one element, got ",
         loss.valid() ? loss.shape().str() : std::string("an empty value"), "; take its mean or sum");
  }
  Graph& graph = *loss.graph;
  const auto count = static_cast<std::size_t>(loss.id) + 1;
  std::vector<char> depends(count, false);  // on one of wrt
  for (const Value& value : wrt) {
    if (value.graph != &graph) fail("gradient: want values of the graph of the loss");
    if (value.id <= loss.id) depends[static_cast<std::size_t>(value.id)] = true;
  }
  for (std::size_t id = 0; id < count; ++id) {
    for (const Value& input : graph.node(static_cast<int>(id)).inputs) {
      if (depends[static_cast<std::size_t>(input.id)]) depends[id] = true;
    }
  }
  std::vector<Value> cotangent(count);  // d loss / d node
  cotangent.back() = graph.constant(Tensor(loss.shape(), {1.0f}));
  for (int id = loss.id; id >= 0; --id) {
    const Value dy = cotangent[static_cast<std::size_t>(id)];
    const Node node = graph.node(id);  // a copy: the list grows below
    if (!dy.valid() || !depends[static_cast<std::size_t>(id)] || !node.op) continue;
    std::vector<char> wanted;
    for (const Value& input : node.inputs) wanted.push_back(depends[static_cast<std::size_t>(input.id)]);
    const auto dx = node.op->derivative({.y = {&graph, id}, .dy = dy, .x = node.inputs, .wanted = wanted});
    for (std::size_t i = 0; i < dx.size(); ++i) {
      if (!dx[i].valid() || !wanted[i]) continue;
      Value& sum = cotangent[static_cast<std::size_t>(node.inputs[i].id)];
      sum = sum.valid() ? sum + dx[i] : dx[i];
    }
  }
  std::vector<Value> out;
  for (const Value& value : wrt) {
    const Value d = value.id <= loss.id ? cotangent[static_cast<std::size_t>(value.id)] : Value{};
    out.push_back(d.valid() ? d : zeros_like(value));
  }
  return out;
}

Value gradient(Value loss, Value wrt) { return gradient(loss, std::span<const Value>(&wrt, 1)).front(); }

}  // namespace autodiff
