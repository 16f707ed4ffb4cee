// Compiling, second: stages, and the chunks that they are cut into.
#include <algorithm>
#include <limits>

#include "autodiff/program/compiler.h"

namespace autodiff::detail {

// Level of a node: the earliest one at which its inputs are ready. Even levels are chunked, odd ones whole.
// A map or reduction may follow a map in the same chunked level; everything else waits for the level to
// end.
void Compiler::assign_levels() {
  for (int id = 0; id < graph_->size(); ++id) {
    NodeInfo& i = info(id);
    if (!i.live || !node(id).op || i.external != never) continue;
    const bool whole = i.role == BatchRole::whole;
    int level = whole ? -1 : 0;
    for (const Value& in : node(id).inputs) {
      const NodeInfo& from = info(in.id);
      if (from.stage == never && from.external != never) continue;
      if (!node(in.id).op) continue;
      const bool ready_in_level = is_whole(from.stage) ? whole : !whole && from.role == BatchRole::map;
      int earliest = ready_in_level ? from.stage : from.stage + 1;
      if (is_whole(earliest) != whole) ++earliest;
      level = std::max(level, earliest);
    }
    i.stage = level;
    levels_ = std::max(levels_, level);
  }
  if (options_.device != Device::cpu) delay_small();
}

// On a device, small functions of parameters alone come with those that read them: one list less (small.h).
void Compiler::delay_small() {
  constexpr int nobody = std::numeric_limits<int>::max();
  std::vector<int> first_reader(infos_.size(), nobody);  // its level
  for (int id = graph_->size() - 1; id >= 0; --id) {
    NodeInfo& i = info(id);
    if (!runs(id)) continue;
    kernels::PointwiseStep step;
    const int reader = first_reader[static_cast<std::size_t>(id)];
    const auto is_source = [&](const Value& in) { return info(info(in.id).root).external != never; };
    if (i.role == BatchRole::whole && i.output == never && !i.fixed &&
        node(id).shape.size() <= most_in_lists && node(id).op->pointwise(step) &&
        std::ranges::all_of(node(id).inputs, is_source) && reader != nobody && is_whole(reader)) {
      i.stage = reader;
    }
    for (const Value& in : node(id).inputs) {
      int& first = first_reader[static_cast<std::size_t>(info(in.id).root)];
      first = std::min(first, i.stage);
    }
  }
}

// Which values must outlive their stage: those read in another one, or read as a whole.
void Compiler::find_readers() {
  for (int id = 0; id < graph_->size(); ++id) {
    if (!runs(id)) continue;
    for (const Value& in : node(id).inputs) {
      NodeInfo& root = info(info(in.id).root);
      if (info(id).stage != root.stage || is_whole(root.stage) || info(id).beside) root.outlives = true;
    }
    if (info(id).role == BatchRole::reduce || info(id).output != never) info(id).outlives = true;
  }
  for (const int k : copies_) info(info(output_id(k)).root).outlives = true;
}

// Into how many chunks a stage is cut. Never by the number of threads: results must not depend on it. Each
// chunk must be worth a task (some 40 us of arithmetic, where an element takes as long as five operations)
// and must not be dominated by what every chunk reads or writes anew: parameters, and the partial results of
// reductions (at 100 GFLOP/s and 20 GB/s, 30 operations a byte cost 17 %). Else the more chunks the better:
// what is between the steps of one then stays in the second-level cache.
int Compiler::chunks_for(const std::vector<int>& nodes) {
  if (options_.device != Device::cpu) return 1;
  constexpr double operations_per_task = 4e6, operations_per_byte = 30, operations_per_element = 5;
  double operations = 0, shared_bytes = 1;
  int most = 4096;
  for (const int id : nodes) {
    const Node& n = node(id);
    operations +=
        n.op->flops(input_shapes(id), n.shape) + operations_per_element * static_cast<double>(n.shape.size());
    if (info(id).role == BatchRole::reduce) {
      shared_bytes += 4.0 * static_cast<double>(n.shape.size());
      most = most_partials;
    }
    for (const Value& in : n.inputs) {
      if (!in.batched()) shared_bytes += 4.0 * static_cast<double>(in.shape().size());
    }
  }
  const double count =
      std::min(operations / operations_per_task, operations / (operations_per_byte * shared_bytes));
  const double tasks =
      count > 1.25 ? std::max(count, 2.0) : 1;  // two somewhat small ones are better than one
  const int chunks = std::clamp(static_cast<int>(std::min(tasks, 1.0 * most)), 1, std::max(1, samples_));
  const int chunk = std::max(1, (samples_ + chunks - 1) / chunks);
  return std::max(1, (samples_ + chunk - 1) / chunk);  // without empty ones at the end
}

void Compiler::make_stages() {
  std::vector<std::vector<int>> by_level(static_cast<std::size_t>(levels_) + 2);
  for (int id = 0; id < graph_->size(); ++id) {
    if (runs(id)) by_level[static_cast<std::size_t>(info(id).stage + 1)].push_back(id);
  }
  for (std::size_t level = 0; level < by_level.size(); ++level) {
    if (by_level[level].empty()) continue;
    if (level == 0) {  // what is fixed comes first, and is a stage of its own
      const auto rest = std::stable_partition(by_level[0].begin(), by_level[0].end(),
                                              [&](int id) { return info(id).fixed; });
      if (rest != by_level[0].begin()) {
        plan_->fixed_stages = 1;
        plan_->stages.push_back({});
        by_stage_.emplace_back(by_level[0].begin(), rest);
        by_level[0].erase(by_level[0].begin(), rest);
        if (by_level[0].empty()) continue;
      }
    }
    Stage stage{.chunked = !is_whole(static_cast<int>(level) - 1)};
    if (stage.chunked) {
      stage.samples = samples_;
      stage.chunks = chunks_for(by_level[level]);
      stage.chunk = (samples_ + stage.chunks - 1) / stage.chunks;
    }
    plan_->slots = std::max(plan_->slots, std::min(options_.threads, stage.chunks));
    plan_->stages.push_back(stage);
    by_stage_.push_back(std::move(by_level[level]));
  }
}

}  // namespace autodiff::detail
