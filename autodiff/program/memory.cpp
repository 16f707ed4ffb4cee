// Compiling, third: a place for every value.
#include <algorithm>
#include <limits>
#include <map>

#include "autodiff/program/compiler.h"
#include "autodiff/program/place.h"

namespace autodiff::detail {

// Values that outlive their stage, outputs and partial results. Time is the stage; the steps of an unchunked
// stage have a time each, so that they can share memory, and on a device, where nothing is chunked, all but
// those that run together.
void Compiler::place_arena() {
  std::vector<int> time(infos_.size(), 0);
  int now = 0, end_of_fixed = 0;
  for (std::size_t s = 0; s < by_stage_.size(); ++s) {
    const std::vector<int>& nodes = by_stage_[s];
    for (std::size_t t = 0; t < nodes.size(); ++t) {
      time[static_cast<std::size_t>(nodes[t])] = now;
      const Stage& stage = plan_->stages[s];
      if (!stage.chunked || (plan_->device != Device::cpu && !stage.steps[t].with_next)) ++now;
    }
    ++now;
    if (s + 1 == plan_->fixed_stages) end_of_fixed = now;
  }
  const std::vector<int> beside_until = ends_of_beside(time, now);
  std::vector<int> last = time;
  for (int id = 0; id < graph_->size(); ++id) {
    if (!runs(id)) continue;
    for (const Value& in : node(id).inputs) {
      int& end = last[static_cast<std::size_t>(info(in.id).root)];
      end = std::max(end, beside_until[static_cast<std::size_t>(id)]);
    }
  }
  // A device does small functions in lists, which are better where values do not take each other's places.
  for (int id = 0; id < graph_->size(); ++id) {
    if (plan_->device != Device::cpu && runs(id) && node(id).shape.size() <= most_in_lists)
      last[static_cast<std::size_t>(id)] = now;
  }
  for (const int k : copies_) {
    last[static_cast<std::size_t>(info(output_id(k)).root)] = now;
  }
  for (std::size_t k = 0; k < last.size(); ++k) {  // later runs read them, too
    if (time[k] < end_of_fixed && last[k] >= end_of_fixed) last[k] = std::numeric_limits<int>::max();
  }
  std::vector<Lifetime> lives;
  std::vector<std::size_t*> places;
  arena_offset_.resize(infos_.size());
  work_offset_.resize(infos_.size());
  partial_offset_.resize(infos_.size());
  for (std::size_t s = 0; s < by_stage_.size(); ++s) {
    const Stage& stage = plan_->stages[s];
    for (std::size_t t = 0; t < by_stage_[s].size(); ++t) {
      const int id = by_stage_[s][t];
      const auto k = static_cast<std::size_t>(id);
      if (info(id).beside && stage.steps[t].scratch_bytes() > 0) {
        lives.push_back({stage.steps[t].scratch_bytes(), time[k], beside_until[k]});
        places.push_back(&work_offset_[k]);
      }
      const std::size_t bytes = node(id).shape.size() * dtype_size(node(id).dtype);
      if (info(id).outlives && info(id).output == never) {
        lives.push_back({bytes, time[k], last[k]});
        places.push_back(&arena_offset_[k]);
      }
      if (info(id).role == BatchRole::reduce && stage.chunks > 1) {
        lives.push_back({aligned(bytes) * static_cast<std::size_t>(stage.chunks), time[k], time[k]});
        places.push_back(&partial_offset_[k]);
      }
    }
  }
  for (Plan::Output& out :
       plan_->outputs) {  // they are there from the first step on, for the caller to read any time
    lives.push_back({out.shape.size() * dtype_size(out.dtype), 0, std::numeric_limits<int>::max()});
    places.push_back(&out.arena_offset);
  }
  const Placement placement = place(lives);
  for (std::size_t i = 0; i < places.size(); ++i) *places[i] = placement.offsets[i];
  plan_->arena_bytes = placement.bytes;
}

// The first and the last of the steps that run together with this one.
std::pair<std::size_t, std::size_t> Compiler::together(const Stage& stage, std::size_t t) {
  std::size_t first = t, last = t;
  while (first > 0 && stage.steps[first - 1].with_next) --first;
  while (stage.steps[last].with_next) ++last;
  return {first, last};
}

// Values that stay inside a stage: room for one chunk of samples. And what kernels want while they run.
void Compiler::place_scratch(std::size_t s) {
  const Stage& stage = plan_->stages[s];
  const std::vector<int>& nodes = by_stage_[s];
  scratch_offset_.resize(infos_.size());
  std::vector<Lifetime> lives;
  std::vector<std::size_t*> places;
  std::map<int, std::size_t> index;
  for (std::size_t t = 0; t < nodes.size(); ++t) {
    const int id = nodes[t];
    const auto [begin, end] = together(stage, t);
    const auto first = static_cast<int>(begin), last = static_cast<int>(end);
    for (const Value& in : node(id).inputs) {
      const auto at = index.find(info(in.id).root);
      if (at != index.end()) lives[at->second].last = last;
    }
    if (const std::size_t work = stage.steps[t].scratch_bytes(); work > 0 && !info(id).beside) {
      lives.push_back({work, first, last});
      places.push_back(&work_offset_[static_cast<std::size_t>(id)]);
    }
    if (info(id).outlives || info(id).chained) continue;
    std::size_t elements = node(id).shape.size();
    if (stage.chunked && stage.samples > 0) {
      elements = elements / static_cast<std::size_t>(stage.samples) * static_cast<std::size_t>(stage.chunk);
    }
    index[id] = lives.size();
    lives.push_back({elements * dtype_size(node(id).dtype), first, last});
    places.push_back(&scratch_offset_[static_cast<std::size_t>(id)]);
  }
  const Placement placement = place(lives);
  for (std::size_t i = 0; i < places.size(); ++i) *places[i] = placement.offsets[i];
  plan_->scratch_bytes = std::max(plan_->scratch_bytes, placement.bytes);
}

Operand Compiler::operand(int id, bool as_samples) {
  const NodeInfo& root = info(info(id).root);
  const int root_id = info(id).root;
  Operand o;
  if (root.chained) return {.base = Operand::nowhere};
  if (root.external != never) {
    o.base = Operand::external + root.external;
  } else if (root.output != never) {
    o.base = plan_->outputs[static_cast<std::size_t>(root.output)].place.base;
  } else if (root.outlives) {
    o.offset = arena_offset_[static_cast<std::size_t>(root_id)];
  } else {
    return {.base = Operand::scratch, .offset = scratch_offset_[static_cast<std::size_t>(root_id)]};
  }
  const Node& n = node(id);
  if (as_samples && n.batched && n.shape[0] > 0) {
    o.stride = n.shape.size() / static_cast<std::size_t>(n.shape[0]) * dtype_size(n.dtype);
  }
  return o;
}

}  // namespace autodiff::detail
