// A second look at a plan, by brute force: every access lies inside the workspace, values that are needed at
// the same time do not share memory, and the workspace is not larger than what is used.
#pragma once

#include <algorithm>
#include <functional>
#include <limits>
#include <map>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "autodiff/program/program.h"

namespace tests {

/// Walks the steps as a run would, the chunks of a stage from the first or from the last, and paints each
/// word of the workspace with the node that wrote it last. Whoever reads must find the colour of the value he
/// wants.
class PlanWalk {
 public:
  /// `late`: what goes beside other steps is done when it is waited for, not when it is called.
  PlanWalk(const autodiff::Program& program, const autodiff::Graph& graph, bool backwards, bool late)
      : plan_(program.plan()),
        graph_(graph),
        backwards_(backwards),
        late_(late),
        first_output_(autodiff::Operand::external + static_cast<int>(plan_.externals.size())),
        paint_(plan_.workspace_bytes() / 4, nobody) {}

  /// "" when the plan is sound, else what is wrong.
  std::string problem() {
    walk_stages(0);
    walk_stages(plan_.fixed_stages);  // a second run, with the same parameters
    for (const autodiff::Plan::Output& out : plan_.outputs) {
      const int node = std::find(copied_.begin(), copied_.end(), out.place.base) == copied_.end()
                           ? root(out.value.id)
                           : -out.place.base;
      read(node, out.place, {0, 0, out.shape.size()});
    }
    if (problem_.empty() && arena_used_ != plan_.arena_bytes) {
      return autodiff::text("arena of ", plan_.arena_bytes, " bytes, of which ", arena_used_, " are used");
    }
    if (problem_.empty() && scratch_used_ != plan_.scratch_bytes) {
      return autodiff::text("scratch of ", plan_.scratch_bytes, " bytes, of which ", scratch_used_,
                            " are used");
    }
    return problem_;
  }

 private:
  static constexpr int nobody = -1, working = std::numeric_limits<int>::min();
  struct Part {
    int slot;
    std::size_t index, elements;
  };

  void walk_stages(std::size_t from) {
    for (std::size_t s = from; s < plan_.stages.size(); ++s) {
      const autodiff::Stage& stage = plan_.stages[s];
      for (int i = 0; i < stage.chunks; ++i) walk_chunk(stage, backwards_ ? stage.chunks - 1 - i : i);
      for (const autodiff::Combination& c : stage.combinations) {
        for (int k = 0; k < stage.chunks; ++k) {
          read(c.node, c.partials, {0, static_cast<std::size_t>(k), c.size});
        }
        write(c.node, c.output, {0, 0, c.size});
      }
    }
    do_late(plan_.besides);
  }

  void do_late(int last) {
    while (!waiting_.empty() && waiting_.begin()->first <= last) {
      waiting_.begin()->second();
      waiting_.erase(waiting_.begin());
    }
  }

  void walk_chunk(const autodiff::Stage& stage, int chunk) {
    const int slot = chunk % plan_.slots;
    const auto first = static_cast<std::size_t>(chunk) * static_cast<std::size_t>(stage.chunk);
    const auto samples = static_cast<std::size_t>(std::min(stage.chunk, stage.samples - chunk * stage.chunk));
    const auto elements = [&](autodiff::Value v) {
      const std::size_t all = v.shape().size();
      const bool cut = stage.chunked && v.batched() && stage.samples > 0;
      return cut ? all / static_cast<std::size_t>(stage.samples) * samples : all;
    };
    bool goes_on = false;  // the step runs together with the one before it
    std::vector<const autodiff::Step*> together;
    std::vector<autodiff::Operand> read_together;
    std::vector<std::pair<int, std::size_t>> values_read;  // nodes, and how many elements
    for (const autodiff::Step& step : stage.steps) {
      const bool copy = step.row.op == "copy";
      const bool is_part = goes_on || step.with_next;
      if (step.group.run && step.group.steps > 1 && !step.with_next)
        problem_ = "a group does not run together";
      if (step.leads_group && !step.with_next)
        problem_ = "a step does not run together with the group it leads";
      if (step.beside >= 0 && (step.group.run || is_part)) problem_ = "a part of a group goes beside";
      if (step.awaits >= 0 && goes_on) problem_ = "a part of a group waits";
      if (step.awaits >= 0) do_late(step.awaits);
      if (step.beside >= 0 && late_) {
        waiting_[step.beside] = [=, this, &step] {
          const Part work{slot, first, work_bytes(step) / 4};
          write(working, step.scratch, work);
          const autodiff::Node& n = graph_.node(step.node);
          for (std::size_t i = 0; i < step.inputs.size(); ++i)
            read(root(n.inputs[i].id), step.inputs[i], {slot, first, n.inputs[i].shape().size()});
          write(step.node, step.output, {slot, first, n.shape.size()});
          read(working, step.scratch, work);
        };
        continue;
      }
      const autodiff::Value self{const_cast<autodiff::Graph*>(&graph_), step.node};
      std::vector<autodiff::Value> inputs = copy ? std::vector{self} : graph_.node(step.node).inputs;
      if (step.packs >= 0) {  // one input, in another form, for a later step of the same node
        const autodiff::Value in = inputs[static_cast<std::size_t>(step.packs)];
        read(root(in.id), step.inputs[0], {slot, first, in.shape().size()});
        packed_[step.node] = {static_cast<std::size_t>(step.packs), step.row.shape.size()};
        write(form_of(step.node), step.output, {slot, first, step.row.shape.size()});
        continue;
      }
      // What the kernel works with, apart from inputs and output: painted before they are read and written.
      const Part work{slot, first, work_bytes(step) / 4};
      write(working, step.scratch, work);
      const auto packed = packed_.find(step.node);
      for (std::size_t i = 0; i < step.inputs.size(); ++i) {
        if (packed != packed_.end() && packed->second.first == i) {
          read(form_of(step.node), step.inputs[i], {slot, first, packed->second.second});
          continue;
        }
        read(root(inputs[i].id), step.inputs[i], {slot, first, elements(inputs[i])});
        if (is_part) {
          read_together.push_back(step.inputs[i]);
          values_read.emplace_back(root(inputs[i].id), elements(inputs[i]));
        }
      }
      if (copy) copied_.push_back(step.output.base);
      write(copy ? -step.output.base : step.node, step.output,
            {slot, step.output.per_chunk ? static_cast<std::size_t>(chunk) : first, elements(self)});
      read(working, step.scratch, work);
      // Steps that run together take turns: what they read must be there until their end.
      goes_on = step.with_next;
      if (!is_part) continue;
      together.push_back(&step);
      if (goes_on) continue;
      for (std::size_t i = 0; i < read_together.size(); ++i)
        read(values_read[i].first, read_together[i], {slot, first, values_read[i].second});
      for (const autodiff::Step* part : together)
        read(working, part->scratch, {slot, first, work_bytes(*part) / 4});
      together.clear();
      read_together.clear();
      values_read.clear();
    }
  }

  // The colour of what was packed for a node.
  static int form_of(int node) { return working + 1 + node; }

  static std::size_t work_bytes(const autodiff::Step& step) {
    for (const autodiff::Launch& part : step.parts) {
      if (part.scratch_bytes > step.part_scratch) throw autodiff::Error("a part ends beyond its scratch");
    }
    return step.scratch_bytes();
  }

  // The first word of an operand's part; none for memory of the caller.
  bool find(const autodiff::Operand& o, const Part& part, std::size_t& begin) const {
    if (o.base == autodiff::Operand::scratch) {
      begin = plan_.arena_bytes + static_cast<std::size_t>(part.slot) * plan_.scratch_bytes + o.offset;
    } else if (o.base == autodiff::Operand::arena || o.base >= first_output_) {
      const bool output = o.base >= first_output_;
      begin = output ? plan_.outputs[static_cast<std::size_t>(o.base - first_output_)].arena_offset : 0;
      begin += o.offset + o.stride * part.index;
    } else {
      return false;
    }
    begin /= 4;
    return true;
  }

  void write(int node, const autodiff::Operand& o, const Part& part) {
    std::size_t begin = 0;
    if (!problem_.empty() || part.elements == 0 || o.base == autodiff::Operand::nowhere) return;
    if (!find(o, part, begin)) {
      problem_ = autodiff::text("node ", node, " writes to memory of the caller");
    } else if (begin + part.elements > paint_.size()) {
      problem_ = autodiff::text("node ", node, " ends beyond the workspace");
    } else {
      std::fill_n(paint_.begin() + static_cast<std::ptrdiff_t>(begin), part.elements, node);
      const std::size_t end = autodiff::aligned((begin + part.elements) * 4);
      if (o.base == autodiff::Operand::scratch) {
        const std::size_t own =
            end - plan_.arena_bytes - static_cast<std::size_t>(part.slot) * plan_.scratch_bytes;
        if (own > plan_.scratch_bytes) problem_ = autodiff::text("node ", node, " ends beyond its scratch");
        scratch_used_ = std::max(scratch_used_, own);
      } else {
        if (end > plan_.arena_bytes) problem_ = autodiff::text("node ", node, " ends beyond the arena");
        arena_used_ = std::max(arena_used_, end);
      }
    }
  }

  void read(int node, const autodiff::Operand& o, const Part& part) {
    std::size_t begin = 0;
    if (!problem_.empty() || part.elements == 0 || !find(o, part, begin)) return;
    for (std::size_t i = begin; i < begin + part.elements; ++i) {
      if (i < paint_.size() && paint_[i] == node) continue;
      const std::string writer = i < paint_.size() ? std::to_string(paint_[i]) : "out of bounds";
      problem_ = autodiff::text("word ", i, " of node ", node, " has been written last by ", writer);
      return;
    }
  }

  // The node whose memory has the value; on a device the first one of those that compute the same.
  int root(int node) const {
    while (graph_.node(node).op && graph_.node(node).op->alias()) node = graph_.node(node).inputs[0].id;
    return plan_.device == autodiff::Device::cpu ? node : first_of(node);
  }
  int first_of(int node) const {
    int& first = first_.emplace(node, -1).first->second;
    if (first < 0) first = find_first_of(node);
    return first;
  }
  int find_first_of(int node) const {
    const autodiff::Node& n = graph_.node(node);
    if (!n.op) return node;
    const auto same = [&](const autodiff::Node& o) {
      if (!o.op || o.shape != n.shape || o.inputs.size() != n.inputs.size() || !n.op->equals(*o.op))
        return false;
      for (std::size_t i = 0; i < n.inputs.size(); ++i) {
        if (o.inputs[i].shape() != n.inputs[i].shape() || root(o.inputs[i].id) != root(n.inputs[i].id))
          return false;
      }
      return true;
    };
    for (int other = 0; other < node; ++other) {
      if (same(graph_.node(other))) return other;
    }
    return node;
  }

  const autodiff::Plan& plan_;
  const autodiff::Graph& graph_;
  bool backwards_, late_;
  int first_output_;
  mutable std::unordered_map<int, int> first_;  // of those asked for
  std::vector<int> paint_;
  std::vector<int> copied_;  // bases of outputs that are copies; they are painted with the base, negative
  std::map<int, std::pair<std::size_t, std::size_t>> packed_;  // by node: which input, and how many words
  std::map<int, std::function<void()>> waiting_;               // by Step::beside
  std::size_t arena_used_ = 0, scratch_used_ = 0;
  std::string problem_;
};

/// "" when the plan of the program is sound, else what is wrong.
inline std::string unsound(const autodiff::Program& program, const autodiff::Graph& graph) {
  for (const bool backwards : {false, true}) {
    for (const bool late : {false, true}) {
      const std::string problem = PlanWalk(program, graph, backwards, late).problem();
      if (!problem.empty()) return problem;
    }
  }
  return "";
}

}  // namespace tests
