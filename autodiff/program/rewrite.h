// A graph made node by node from the compiler's, to take its place. Private to this folder.
#pragma once

#include <utility>

#include "autodiff/program/compiler.h"

namespace autodiff::detail {

class Compiler::Rewriting {
 public:
  explicit Rewriting(Compiler& compiler)
      : compiler_(compiler),
        graph_(&compiler.lowered_.emplace_back()),
        moved_(compiler.infos_.size(), never) {}

  // Node `id` of the compiler's graph is this one now.
  int& moved(int id) { return moved_[static_cast<std::size_t>(id)]; }
  Value value(int id) const { return {graph_, id}; }

  // Appends node `id` with other inputs: input(id) says which.
  template <class Input>
  int copy(int id, const NodeInfo& info, const Input& input) {
    const Node& node = compiler_.node(id);
    std::vector<Value> inputs;
    for (const Value& in : node.inputs) inputs.push_back(value(input(in.id)));
    const int copy = enter(graph_->copy(node, inputs), info, id);
    if (node.op && node.op->alias()) {
      infos_.back().root = infos_[static_cast<std::size_t>(inputs[0].id)].root;
    }
    return copy;
  }
  // Appends an op that node `id` of the compiler's graph gave rise to.
  int add(std::shared_ptr<const Op> op, std::vector<Value> inputs, const Shape& shape, const NodeInfo& info,
          int id) {
    return enter(graph_->add(std::move(op), std::move(inputs), shape), info, id);
  }

  void finish() {
    for (int& id : compiler_.output_ids_) id = moved(id);
    compiler_.graph_ = graph_;
    compiler_.infos_ = std::move(infos_);
    compiler_.origin_ = std::move(origin_);
    compiler_.find_live();
  }

 private:
  int enter(Value added, NodeInfo info, int id) {
    info.root = added.id;
    infos_.push_back(info);
    origin_.push_back(compiler_.origin(id));
    return added.id;
  }
  Compiler& compiler_;
  Graph* graph_;
  std::vector<NodeInfo> infos_;
  std::vector<int> origin_, moved_;
};

}  // namespace autodiff::detail
