// Compiling, first: what is needed, and what is known already.
#include <algorithm>

#include "autodiff/program/compiler.h"

namespace autodiff::detail {

void Compiler::mark_live() {
  if (outputs_.empty()) fail("compile: want at least one output");
  for (const Value& out : outputs_) {
    if (out.graph != graph_) fail("compile: want outputs of the given graph");
    output_ids_.push_back(out.id);
  }
  find_live();
}

void Compiler::find_live() {
  for (NodeInfo& i : infos_) i.live = false;
  for (const int id : output_ids_) info(id).live = true;
  for (int id = graph_->size() - 1; id >= 0; --id) {
    if (!info(id).live) continue;
    for (const Value& in : node(id).inputs) info(in.id).live = true;
  }
}

// The batch of the program is that of its first batched value; values of another length are treated as a
// whole.
void Compiler::find_samples() {
  for (int id = 0; id < graph_->size(); ++id) {
    NodeInfo& i = info(id);
    i.root = id;
    if (!i.live) continue;
    if (samples_ == never && node(id).batched) samples_ = node(id).shape[0];
    if (!node(id).op) continue;
    i.role = node(id).op->role(node(id).inputs);
    if (i.role == BatchRole::map && node(id).shape[0] != samples_) i.role = BatchRole::whole;
    if (node(id).op->prefers_whole(node(id).inputs, node(id).shape)) i.role = BatchRole::whole;
    for (const Value& in : node(id).inputs) {
      if (in.batched() && in.shape()[0] != samples_) i.role = BatchRole::whole;
    }
    if (node(id).op->alias()) i.root = info(node(id).inputs[0].id).root;
  }
}

// Sources become externals; ops on constants alone are computed now.
void Compiler::fold_constants() {
  constexpr std::size_t most = 1 << 16;  // elements; larger ones are computed when the program runs
  for (int id = 0; id < graph_->size(); ++id) {
    NodeInfo& i = info(id);
    const Node& n = node(id);
    if (!i.live || i.root != id) continue;
    if (n.source == Source::op) {
      bool known = n.shape.size() <= most && n.dtype == DType::F32 && !is_output(id);
      for (const Value& in : n.inputs) known = known && constants_.contains(info(in.id).root);
      if (!known) continue;
      Tensor result(n.shape);
      std::vector<const void*> inputs;
      for (const Value& in : n.inputs) inputs.push_back(constants_.at(info(in.id).root)->data());
      const std::vector<Shape> shapes = input_shapes(id);
      const bool on_cpu = options_.device == Device::cpu;
      const Launch once =
          n.op->launch({.inputs = shapes,
                        .output = n.shape,
                        .backends = on_cpu ? options_.backends : kernels::default_backends()});
      const AlignedBuffer<std::byte> scratch(once.scratch_bytes);
      inputs.push_back(scratch.data());
      once.run(inputs.data(), result.data());
      add_constant(id, std::make_shared<Tensor>(std::move(result)));
    } else if (n.source == Source::constant) {
      add_constant(id, n.constant);
    } else {
      i.external = static_cast<int>(plan_->externals.size());
      plan_->externals.push_back({.node = id,
                                  .name = n.name,
                                  .size = n.shape.size(),
                                  .dtype = n.dtype,
                                  .parameter = n.source == Source::parameter,
                                  .constant = nullptr});
    }
  }
}

void Compiler::add_constant(int id, std::shared_ptr<const Tensor> tensor) {
  info(id).external = static_cast<int>(plan_->externals.size());
  plan_->externals.push_back(
      {.node = id, .name = "constant", .size = tensor->size(), .constant = tensor->data()});
  constants_[id] = tensor;
  plan_->constants.push_back(std::move(tensor));
}

bool Compiler::is_output(int id) const {
  return std::any_of(outputs_.begin(), outputs_.end(), [&](const Value& v) { return v.id == id; });
}

// An output is written by its own node, or copied at the end where that cannot be: sources, aliases,
// repetitions.
void Compiler::assign_outputs() {
  for (std::size_t k = 0; k < outputs_.size(); ++k) {
    const Value v = outputs_[k];
    const int base = Operand::external + static_cast<int>(plan_->externals.size() + k);
    plan_->outputs.push_back({.value = v, .shape = v.shape(), .dtype = v.dtype(), .place = {.base = base}});
    NodeInfo& i = info(v.id);
    if (node(v.id).op && i.root == v.id && i.output == never) {
      i.output = static_cast<int>(k);
    } else {
      copies_.push_back(static_cast<int>(k));
    }
  }
}

}  // namespace autodiff::detail
