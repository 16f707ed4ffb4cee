// Compiling, between levels and stages: cheap values are computed again where they are read, instead of being
// kept.
//
// After the forward pass every normalized or rectified image would have to wait in memory for the backward
// pass. It is an element-wise function of a convolution's output, though, which waits anyway; computing it
// again costs about as much as reading it. So every later stage that reads such a value gets a copy of the
// ops that lead to it, down to what is kept. The bits are the same, since the ops are.
#include <algorithm>
#include <map>
#include <utility>

#include "autodiff/program/rewrite.h"

namespace autodiff::detail {
namespace {

// Longest chain of cheap ops that is computed again; a value at its end is kept. Without a limit the sums of
// a residual net would lead back to its first layer.
constexpr int longest_chain = 6;

}  // namespace

// For each node the number of cheap ops in a row that lead to it; 0: it is kept.
std::vector<int> Compiler::chains() {
  std::vector<int> chain(infos_.size(), 0);
  for (int id = 0; id < graph_->size(); ++id) {
    const NodeInfo& i = info(id);
    const Op* op = node(id).op.get();
    if (!i.live || !op || i.external != never || is_whole(i.stage) || i.role != BatchRole::map) continue;
    if (!op->cheap() && !op->alias()) continue;
    int longest = 0;
    for (const Value& in : node(id).inputs)
      longest = std::max(longest, chain[static_cast<std::size_t>(in.id)]);
    if (!op->alias()) ++longest;
    chain[static_cast<std::size_t>(id)] = longest > longest_chain ? 0 : longest;
  }
  return chain;
}

// Bytes of the cheap values that would have to outlive their stage.
std::size_t Compiler::bytes_saved(const std::vector<int>& chain) {
  std::vector<char> outlives(infos_.size());
  for (int id = 0; id < graph_->size(); ++id) {
    for (const Value& in : node(id).inputs) {
      if (info(id).live && info(id).stage > info(in.id).stage)
        outlives[static_cast<std::size_t>(in.id)] = true;
    }
  }
  std::size_t bytes = 0;
  for (int id = 0; id < graph_->size(); ++id) {
    const auto k = static_cast<std::size_t>(id);
    if (outlives[k] && chain[k] > 0 && info(id).root == id) bytes += node(id).shape.size() * sizeof(float);
  }
  return bytes;
}

void Compiler::recompute() {
  const std::vector<int> chain = chains();
  if (bytes_saved(chain) <= options_.recompute_above) return;
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
