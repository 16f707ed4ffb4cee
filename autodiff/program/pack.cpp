// Compiling, between what is known and levels: what kernels make of inputs without samples, such as filters,
// is an op of its own. It runs once instead of once for every chunk, and not at all where parameters stay.
#include <algorithm>
#include <map>

#include "autodiff/program/rewrite.h"

namespace autodiff::detail {

void Compiler::pack_inputs() {
  if (options_.device != Device::cpu) return;
  std::map<int, Packing> packings;
  for (int id = 0; id < graph_->size(); ++id) {
    if (!runs(id) || info(id).role == BatchRole::reduce) continue;
    const std::vector<Shape> inputs = input_shapes(id);
    if (auto packing = node(id).op->packing(
            {.inputs = inputs, .output = node(id).shape, .backends = options_.backends})) {
      const Node& packed = node(node(id).inputs[packing->input].id);
      const bool stays = options_.parameters_stay && !packed.op && packed.source != Source::input;
      if (packing->once ? stays : info(id).role == BatchRole::map) packings[id] = std::move(*packing);
    }
  }
  if (packings.empty()) return;
  Rewriting rewriting(*this);
  for (int id = 0; id < graph_->size(); ++id) {
    if (!info(id).live) continue;
    const auto at = packings.find(id);
    if (at == packings.end()) {
      rewriting.moved(id) = rewriting.copy(id, info(id), [&](int in) { return rewriting.moved(in); });
      continue;
    }
    const Packing& p = at->second;
    std::vector<Value> inputs;
    for (const Value& in : node(id).inputs) inputs.push_back(rewriting.value(rewriting.moved(in.id)));
    const NodeInfo pack{.live = true, .role = BatchRole::whole, .packs = static_cast<int>(p.input)};
    inputs[p.input] = rewriting.value(rewriting.add(p.pack, {inputs[p.input]}, p.shape, pack, id));
    rewriting.moved(id) = rewriting.add(p.rest, std::move(inputs), node(id).shape, info(id), id);
  }
  rewriting.finish();
}

// What depends on parameters alone need not be computed again as long as they stay.
void Compiler::find_fixed() {
  if (!options_.parameters_stay) return;
  for (int id = 0; id < graph_->size(); ++id) {
    if (!node(id).op || info(id).external != never) continue;
    info(id).fixed = std::all_of(node(id).inputs.begin(), node(id).inputs.end(), [&](const Value& in) {
      const bool known = info(in.id).external != never && node(in.id).source != Source::input;
      return known || info(in.id).fixed;
    });
  }
}

}  // namespace autodiff::detail
