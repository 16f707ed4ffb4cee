// The graph: what to compute. Values are nodes, made by plain functions such as matmul(x, w) and relu(x);
// nothing is computed until the graph is compiled to a program (or interpreted, see reference.h).
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "autodiff/tensor/array.h"
#include "autodiff/tensor/tensor.h"

namespace autodiff {

class Graph;
class Op;

/// A node of a graph: a handle of two words, valid while its graph lives.
struct Value {
  Graph* graph = nullptr;
  int id = -1;

  bool valid() const { return graph != nullptr; }
  const Shape& shape() const;
  /// F32, or I32 for labels; there are no others in graphs.
  DType dtype() const;
  /// True where axis 0 counts samples and sample n depends on sample n of the inputs alone. Programs cut such
  /// values into chunks of samples.
  bool batched() const;
  bool operator==(const Value&) const = default;
};

/// How a node came to be. Inputs and parameters get their elements when a program runs.
enum class Source { input, parameter, constant, op };

struct Node {
  Source source = Source::op;
  std::string name = {};              ///< of inputs and parameters
  std::shared_ptr<const Op> op = {};  ///< null unless source is op
  std::vector<Value> inputs = {};
  Shape shape = {};
  DType dtype = DType::F32;
  bool batched = false;
  std::shared_ptr<const Tensor> constant = {};  ///< its elements, where source is constant
};

/// Nodes in the order of creation; the inputs of a node come before it, so walking the list is a topological
/// order.
class Graph {
 public:
  Graph() = default;
  Graph(const Graph&) = delete;  // values point to their graph
  Graph& operator=(const Graph&) = delete;

  /// Data of `shape`, axis 0 counting samples: input({32, 64}). Throws Error for a scalar.
  Value input(const Shape& shape, std::string name = "x");
  /// Class labels, int32 [n].
  Value labels(int n, std::string name = "labels");
  /// A parameter: the same for all samples.
  Value parameter(std::string name, const Shape& shape);
  /// Elements known now.
  Value constant(Tensor tensor);
  /// A scalar known now.
  Value constant(float value);

  /// Appends an op; its shape rule has been checked by the builder. Inputs must be of this graph.
  Value add(std::shared_ptr<const Op> op, std::vector<Value> inputs, const Shape& shape,
            DType dtype = DType::F32);

  /// Appends a node as another graph has it, with inputs of this one in place of its own.
  Value copy(const Node& node, std::vector<Value> inputs);

  int size() const { return static_cast<int>(nodes_.size()); }
  const Node& node(int id) const { return nodes_[static_cast<std::size_t>(id)]; }
  const Node& node(Value value) const { return node(value.id); }

 private:
  Value push(Node node);
  std::deque<Node> nodes_;  // references to nodes survive growth
};

/// d loss / d wrt[i] for every i, as nodes of the same graph: they can be compiled, and differentiated again.
/// `loss` must have exactly one element. Where the loss does not depend on a value the gradient is zeros.
std::vector<Value> gradient(Value loss, std::span<const Value> wrt);
Value gradient(Value loss, Value wrt);

}  // namespace autodiff
