// Inside compile(): what is known about the nodes, and the passes that find it out, in the order in which
// they run. Private to this folder.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <span>
#include <vector>

#include "autodiff/program/plan.h"
#include "autodiff/program/program.h"

namespace autodiff::detail {

inline constexpr int never = -1;

// Of so many elements at the most are the functions that a device does in lists (kernels/cuda/small_list.h).
inline constexpr std::size_t most_in_lists = 1024;

// What is known about a node while compiling.
struct NodeInfo {
  bool live = false;
  BatchRole role = BatchRole::whole;
  int root = 0;        // the node whose memory it uses: itself unless it is an alias
  int stage = never;   // of op nodes: level, even = chunked, odd = whole; -1 = whole, before everything
  int output = never;  // index of the output that is written by this node
  int external = never;
  int packs = never;      // of a node that packs this input of its origin
  bool outlives = false;  // read outside its stage, or as a whole
  bool fixed = false;     // computed from parameters that stay
  bool again = false;     // a copy: the value is computed in an earlier stage as well
  bool chained = false;   // read inside its group only
  bool unread = false;    // on a device: an output of its own, that nobody else reads,
  bool beside = false;    // and that is computed beside what comes after it
};

// How operand `v` of an element-wise function with output shape `y` is read: element by element, as a row
// that is the same for all, or as one number.
enum class Reading { full, repeated, single, other };
Reading reading(const Value& v, const Shape& y);

class Compiler {
 public:
  Compiler(const Graph& graph, std::span<const Value> outputs, const CompileOptions& options)
      : graph_(&graph), outputs_(outputs), options_(options), infos_(static_cast<std::size_t>(graph.size())) {
    plan_->device = options.device;
  }

  std::shared_ptr<const Plan> run() {
    mark_live();
    find_samples();
    fold_constants();
    assign_outputs();
    merge_equal();
    pack_inputs();
    find_fixed();
    assign_levels();
    recompute();
    find_beside();
    find_readers();
    make_stages();
    for (std::size_t s = 0; s < by_stage_.size(); ++s) group_nodes(s);
    find_chained();
    for (std::size_t s = 0; s < by_stage_.size(); ++s) {
      choose_kernels(plan_->stages[s], by_stage_[s]);
      join_groups(s);
    }
    place_arena();
    for (std::size_t s = 0; s < by_stage_.size(); ++s) {
      place_scratch(s);
      bind_operands(plan_->stages[s], by_stage_[s]);
      for (const Together& group : groups_[s]) make_group(plan_->stages[s], group, by_stage_[s]);
    }
    copy_outputs();
    find_awaits();
    return plan_;
  }

 private:
  // analyse.cpp: what is needed, what is known already
  void mark_live();
  void find_live();
  void find_samples();
  void fold_constants();
  void add_constant(int id, std::shared_ptr<const Tensor> tensor);
  void assign_outputs();
  bool is_output(int id) const;

  class Rewriting;     // rewrite.h: another graph in place of the one so far
  void merge_equal();  // merge.cpp: what is computed twice
  // pack.cpp: what need not be done for every chunk, or every run
  void pack_inputs();
  void find_fixed();

  // schedule.cpp: which stage a node belongs to, and how it is cut into chunks
  void assign_levels();
  void delay_small();
  void find_readers();  // and recompute.cpp before it:
  void recompute();
  bool is_array_with_row(int id) const;
  bool may_be_chained(int id) const;
  std::vector<int> chains();
  std::size_t bytes_saved(const std::vector<int>& chain);
  void make_stages();
  int chunks_for(const std::vector<int>& nodes);

  // beside.cpp: what runs beside other nodes, and who waits for it
  void find_beside();
  std::vector<int> ends_of_beside(const std::vector<int>& time, int end);
  void find_awaits();

  // fuse.cpp: which nodes run together; their places among the nodes of a stage
  struct Together {
    std::size_t first, count;
    const kernels::Backend* backend;
    std::size_t sums = 0;  ///< so many of them, the last ones, add what others compute
  };
  static constexpr std::size_t longest_group = 20;  // whose operands fit in every kernel
  const kernels::Backend* chain_backend(int id);
  void group_nodes(std::size_t stage);
  bool is_ready(int id, const std::vector<char>& waits);
  bool is_nearly_ready(int id, const std::vector<char>& waits);
  bool comes_late(int id);
  bool is_alone(int id, const std::vector<int>& pending, std::vector<char>& waits,
                const std::map<int, const kernels::Backend*>& backends);
  bool is_sum_of(int id, const std::vector<int>& group);
  void find_chained();
  const Together* group_of(std::size_t stage, std::size_t position) const;
  // group.cpp
  void make_group(Stage& stage, const Together& together, const std::vector<int>& nodes);
  bool spent_by(const Together& group, const std::vector<int>& nodes);
  bool feeds_next(const Together& group, const std::vector<int>& nodes);

  // memory.cpp: where every value is
  void place_arena();
  void place_scratch(std::size_t stage);
  static std::pair<std::size_t, std::size_t> together(const Stage& stage, std::size_t step);
  Operand operand(int id, bool as_samples);

  // compile.cpp: the kernel calls
  void choose_kernels(Stage& stage, const std::vector<int>& nodes);
  void bind_operands(Stage& stage, const std::vector<int>& nodes);
  void join_groups(std::size_t stage);
  void copy_outputs();
  Launch launch(int id, const std::vector<Shape>& inputs, const Shape& output) const;
  Launch chunk_launch(const Stage& stage, int id, int samples);
  std::vector<Launch> part_launches(const Stage& stage, int id,
                                    Launch (Op::*kernel)(const LaunchArgs&) const) const;
  void find_updating(const Stage& stage, int id, Step& step);
  std::vector<Shape> input_shapes(int id) const;

  NodeInfo& info(int id) { return infos_[static_cast<std::size_t>(id)]; }
  const Node& node(int id) const { return graph_->node(id); }
  // The node of the caller's graph.
  int origin(int id) const { return origin_.empty() ? id : origin_[static_cast<std::size_t>(id)]; }
  // The node that output k is.
  int output_id(int k) const { return output_ids_[static_cast<std::size_t>(k)]; }
  Graph* graph() const { return const_cast<Graph*>(graph_); }  // for values, which only read it
  static bool is_whole(int level) { return level % 2 != 0; }
  // True for nodes that become a step: live ops that are neither folded nor aliases.
  bool runs(int id) {
    const NodeInfo& i = info(id);
    return i.live && node(id).op && i.external == never && i.root == id;
  }

  const Graph* graph_;  // the caller's, later perhaps the lowered one
  std::deque<Graph> lowered_;
  std::vector<int> origin_;  // by node of the lowered graph
  std::vector<int> output_ids_;
  std::span<const Value> outputs_;
  const CompileOptions& options_;
  std::vector<NodeInfo> infos_;
  std::shared_ptr<Plan> plan_ = std::make_shared<Plan>();
  std::map<int, std::shared_ptr<const Tensor>> constants_;
  std::vector<int> copies_;                    // indices of outputs that are copied at the end
  std::vector<std::vector<int>> by_stage_;     // the nodes of each stage
  std::vector<std::vector<Together>> groups_;  // of each stage
  int samples_ = never, levels_ = -1;
  std::vector<std::size_t> arena_offset_, partial_offset_, scratch_offset_, work_offset_;  // by node
};

}  // namespace autodiff::detail
