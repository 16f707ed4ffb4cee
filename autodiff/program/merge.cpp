// Compiling, between what is known and levels, for a device: what two nodes compute of the same inputs is
// computed once. Derivatives often form anew what the forward pass has, a difference from a mean, say. (On a
// CPU such values are computed again where they are read, see recompute.cpp.)
#include <algorithm>
#include <map>

#include "autodiff/program/rewrite.h"

namespace autodiff::detail {

void Compiler::merge_equal() {
  if (options_.device == Device::cpu) return;
  std::vector<int> same(infos_.size());  // the first node that computes it
  std::map<std::vector<int>, std::vector<int>> by_inputs;
  bool found = false;
  for (int id = 0; id < graph_->size(); ++id) {
    same[static_cast<std::size_t>(id)] = id;
    if (!runs(id)) continue;
    std::vector<int> inputs;
    for (const Value& in : node(id).inputs)
      inputs.push_back(same[static_cast<std::size_t>(info(in.id).root)]);
    std::vector<int>& others = by_inputs[inputs];
    const auto is_same = [&](int other) {
      return node(id).op->equals(*node(other).op) && input_shapes(id) == input_shapes(other) &&
             node(id).shape == node(other).shape;
    };
    const auto at = std::find_if(others.begin(), others.end(), is_same);
    if (at == others.end()) {
      others.push_back(id);
      continue;
    }
    same[static_cast<std::size_t>(id)] = *at;
    found = true;
    if (info(id).output == never) continue;
    if (info(*at).output == never) {
      info(*at).output = info(id).output;
    } else {
      copies_.push_back(info(id).output);
    }
  }
  if (!found) return;
  Rewriting rewriting(*this);
  for (int id = 0; id < graph_->size(); ++id) {
    if (!info(id).live) continue;
    const int first = same[static_cast<std::size_t>(id)];
    rewriting.moved(id) = first != id
                              ? rewriting.moved(first)
                              : rewriting.copy(id, info(id), [&](int in) { return rewriting.moved(in); });
  }
  rewriting.finish();
}

}  // namespace autodiff::detail
