// Compiling, between levels and stages: cheap values are computed again where they are read, instead of being
// kept.
//
// After the forward pass every normalized or rectified image would have to wait in memory for the backward
// pass. It is an element-wise function of a convolution's output, though, which waits anyway; computing it
// again costs about as much as reading it. So every later stage that reads such a value gets a copy of the
// ops that lead to it, down to what is kept. The bits are the same, since the ops are.
#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "autodiff/program/rewrite.h"

namespace autodiff::detail {
namespace {

// Longest chain of cheap ops that is computed again; a value at its end is kept. Without a limit the sums of
// a residual net would lead back to its first layer.
constexpr int longest_chain = 7;

}  // namespace

// Whether a node is an array with a row: a difference from means, a product with factors. A device, on which
// every chain is a pass over memory of its own, computes such again in the chains that read it, unless
// something else than a chain reads it later.
bool Compiler::is_array_with_row(int id) const {
  const Node& n = node(id);
  kernels::PointwiseStep step;
  return n.inputs.size() == 2 && n.op->pointwise(step) && reading(n.inputs[0], n.shape) == Reading::full &&
         reading(n.inputs[1], n.shape) == Reading::repeated;
}

// Whether a node is of a kind that chains are made of: an element-wise function, or sums over rows.
bool Compiler::may_be_chained(int id) const {
  const Node& n = node(id);
  kernels::PointwiseStep step;
  double divisor = 1;
  return n.op->pointwise(step) || (!n.inputs.empty() && n.op->adds_rows(n.inputs[0].shape(), divisor));
}

// For each node the number of cheap ops in a row that lead to it; 0: it is kept.
std::vector<int> Compiler::chains() {
  std::vector<int> chain(infos_.size(), 0);
  std::vector<char> stays(infos_.size(), false);
  for (int id = 0; options_.device != Device::cpu && id < graph_->size(); ++id) {
    if (!runs(id) || may_be_chained(id)) continue;
    for (const Value& in : node(id).inputs) stays[static_cast<std::size_t>(info(in.id).root)] = true;
  }
  for (int id = 0; id < graph_->size(); ++id) {
    const NodeInfo& i = info(id);
    const Op* op = node(id).op.get();
    if (!i.live || !op || i.external != never || is_whole(i.stage) || i.role != BatchRole::map) continue;
    if (!op->cheap() && !op->alias()) continue;
    if (options_.device != Device::cpu && (stays[static_cast<std::size_t>(id)] || !is_array_with_row(id)))
      continue;
    int longest = 0;
    for (const Value& in : node(id).inputs)
      longest = std::max(longest, chain[static_cast<std::size_t>(in.id)]);
    if (!op->alias()) ++longest;
    const int most = options_.device == Device::cpu ? longest_chain : 1;
    chain[static_cast<std::size_t>(id)] = longest > most ? 0 : longest;
  }
  return chain;
}

// By how many bytes less would have to outlive its stage: cheap values would not, but what they are computed
// from might have to.
std::size_t Compiler::bytes_saved(const std::vector<int>& chain) {
  std::set<int> kept, kept_instead;
  std::set<std::pair<int, int>> seen;  // values and the stages that compute them again
  const auto reads_again = [&](const auto& self, int id, int stage) -> void {
    if (info(id).stage >= stage) return;
    if (chain[static_cast<std::size_t>(id)] == 0 || is_whole(stage)) {
      kept_instead.insert(info(id).root);
    } else if (seen.insert({id, stage}).second) {
      for (const Value& in : node(id).inputs) self(self, in.id, stage);
    }
  };
  for (int id = 0; id < graph_->size(); ++id) {
    if (!info(id).live || !node(id).op || info(id).external != never) continue;
    for (const Value& in : node(id).inputs) {
      if (info(id).stage > info(in.id).stage) kept.insert(info(in.id).root);
      reads_again(reads_again, in.id, info(id).stage);
    }
  }
  const auto bytes = [&](const std::set<int>& values) {
    std::size_t sum = 0;
    for (const int id : values) {
      if (runs(id)) sum += node(id).shape.size() * sizeof(float);
    }
    return sum;
  };
  const std::size_t before = bytes(kept), after = bytes(kept_instead);
  return before > after ? before - after : 0;
}

void Compiler::recompute() {
  const std::vector<int> chain = chains();
  if (options_.device == Device::cpu && bytes_saved(chain) < options_.recompute_above) return;
  Rewriting rewriting(*this);
  std::map<std::pair<int, int>, int> copies;  // by node and stage
  // The value as a stage of this level reads it: its own, or computed again there. Chains are short, so is
  // the recursion.
  const auto read = [&](const auto& self, int id, int stage) -> int {
    const bool again = chain[static_cast<std::size_t>(id)] > 0 && !is_whole(stage) && info(id).stage < stage;
    if (!again) return rewriting.moved(id);
    if (const auto known = copies.find({id, stage}); known != copies.end()) return known->second;
    NodeInfo own = info(id);
    own.stage = stage;
    own.again = true;
    own.output = never;
    const int copy = rewriting.copy(id, own, [&](int in) { return self(self, in, stage); });
    return copies[{id, stage}] = copy;
  };
  for (int id = 0; id < graph_->size(); ++id) {
    if (!info(id).live) continue;
    const int stage = info(id).stage;
    const bool runs_here = node(id).op && info(id).external == never;
    rewriting.moved(id) = rewriting.copy(
        id, info(id), [&](int in) { return runs_here ? read(read, in, stage) : rewriting.moved(in); });
  }
  rewriting.finish();
}

}  // namespace autodiff::detail
