// Compiling: live nodes -> stages -> places -> steps.
#include <algorithm>
#include <limits>
#include <map>

#include "autodiff/program/place.h"
#include "autodiff/program/program.h"

namespace autodiff {
namespace {

constexpr int never = -1;

// What is known about a live node while compiling.
struct Info {
  bool live = false;
  BatchRole role = BatchRole::whole;
  int root = 0;        // the node whose memory it uses: itself unless it is an alias
  int stage = never;   // of op nodes: level, even = chunked, odd = whole; -1 = whole, before everything
  int output = never;  // index of the output that is written by this node
  int external = never;
  bool outlives = false;  // read outside its stage, or as a whole
};

class Compiler {
 public:
  Compiler(const Graph& graph, std::span<const Value> outputs, const CompileOptions& options)
      : graph_(graph), outputs_(outputs), options_(options), infos_(static_cast<std::size_t>(graph.size())) {}

  std::shared_ptr<const Plan> run() {
    mark_live();
    find_samples();
    fold_constants();
    assign_outputs();
    assign_levels();
    find_readers();
    make_stages();
    return plan_;
  }

 private:
  Info& info(int id) { return infos_[static_cast<std::size_t>(id)]; }
  const Node& node(int id) const { return graph_.node(id); }
  static bool is_whole(int level) { return level % 2 != 0; }

  void mark_live() {
    if (outputs_.empty()) fail("compile: want at least one output");
    for (const Value& out : outputs_) {
      if (out.graph != &graph_) fail("compile: want outputs of the given graph");
      info(out.id).live = true;
    }
    for (int id = graph_.size() - 1; id >= 0; --id) {
      if (!info(id).live) continue;
      for (const Value& in : node(id).inputs) info(in.id).live = true;
    }
  }

  // The batch of the program is that of its first batched value; values of another length are treated as a
  // whole.
  void find_samples() {
    for (int id = 0; id < graph_.size(); ++id) {
      Info& i = info(id);
      i.root = id;
      if (!i.live) continue;
      if (samples_ == never && node(id).batched) samples_ = node(id).shape[0];
      if (!node(id).op) continue;
      i.role = node(id).op->role(node(id).inputs);
      if (i.role == BatchRole::map && node(id).shape[0] != samples_) i.role = BatchRole::whole;
      for (const Value& in : node(id).inputs) {
        if (in.batched() && in.shape()[0] != samples_) i.role = BatchRole::whole;
      }
      if (node(id).op->alias()) i.root = info(node(id).inputs[0].id).root;
    }
  }

  Launch launch(int id, const std::vector<Shape>& inputs, const Shape& output) const {
    return node(id).op->launch({.inputs = inputs, .output = output, .backends = options_.backends});
  }

  std::vector<Shape> input_shapes(int id) const {
    std::vector<Shape> shapes;
    for (const Value& in : node(id).inputs) shapes.push_back(in.shape());
    return shapes;
  }

  // Sources become externals; ops on constants alone are computed now.
  void fold_constants() {
    constexpr std::size_t most = 1 << 16;  // elements; larger ones are computed when the program runs
    for (int id = 0; id < graph_.size(); ++id) {
      Info& i = info(id);
      const Node& n = node(id);
      if (!i.live || i.root != id) continue;
      if (n.source == Source::op) {
        bool known = n.shape.size() <= most && n.dtype == DType::F32 && !is_output(id);
        for (const Value& in : n.inputs) known = known && constants_.contains(info(in.id).root);
        if (!known) continue;
        Tensor result(n.shape);
        std::vector<const void*> inputs;
        for (const Value& in : n.inputs) inputs.push_back(constants_.at(info(in.id).root)->data());
        launch(id, input_shapes(id), n.shape).run(inputs.data(), result.data());
        add_constant(id, std::make_shared<Tensor>(std::move(result)));
      } else if (n.source == Source::constant) {
        add_constant(id, n.constant);
      } else {
        i.external = static_cast<int>(plan_->externals.size());
        plan_->externals.push_back(
            {.node = id, .name = n.name, .size = n.shape.size(), .dtype = n.dtype, .constant = nullptr});
      }
    }
  }

  void add_constant(int id, std::shared_ptr<const Tensor> tensor) {
    info(id).external = static_cast<int>(plan_->externals.size());
    plan_->externals.push_back(
        {.node = id, .name = "constant", .size = tensor->size(), .constant = tensor->data()});
    constants_[id] = tensor;
    plan_->constants.push_back(std::move(tensor));
  }

  bool is_output(int id) const {
    return std::any_of(outputs_.begin(), outputs_.end(), [&](const Value& v) { return v.id == id; });
  }

  // An output is written by its own node, or copied at the end where that cannot be: sources, aliases,
  // repetitions.
  void assign_outputs() {
    for (std::size_t k = 0; k < outputs_.size(); ++k) {
      const Value v = outputs_[k];
      const int base = Operand::external + static_cast<int>(plan_->externals.size() + k);
      plan_->outputs.push_back({.value = v, .shape = v.shape(), .dtype = v.dtype(), .place = {.base = base}});
      Info& i = info(v.id);
      if (node(v.id).op && i.root == v.id && i.output == never) {
        i.output = static_cast<int>(k);
      } else {
        copies_.push_back(static_cast<int>(k));
      }
    }
  }

  // Level of a node: the earliest one at which its inputs are ready. Even levels are chunked, odd ones whole.
  // A map or reduction may follow a map in the same chunked level; everything else waits for the level to
  // end.
  void assign_levels() {
    for (int id = 0; id < graph_.size(); ++id) {
      Info& i = info(id);
      if (!i.live || !node(id).op || i.external != never) continue;
      const bool whole = i.role == BatchRole::whole;
      int level = whole ? -1 : 0;
      for (const Value& in : node(id).inputs) {
        const Info& from = info(in.id);
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
  }

  // Which values must outlive their stage: those read in another one, or read as a whole.
  void find_readers() {
    for (int id = 0; id < graph_.size(); ++id) {
      if (!runs(id)) continue;
      for (const Value& in : node(id).inputs) {
        Info& root = info(info(in.id).root);
        if (info(id).stage != root.stage || is_whole(root.stage)) root.outlives = true;
      }
      if (info(id).role == BatchRole::reduce || info(id).output != never) info(id).outlives = true;
    }
    for (const int k : copies_) info(info(outputs_[static_cast<std::size_t>(k)].id).root).outlives = true;
  }

  // True for nodes that become a step: live ops that are neither folded nor aliases.
  bool runs(int id) {
    const Info& i = info(id);
    return i.live && node(id).op && i.external == never && i.root == id;
  }

  int chunks_for(const std::vector<int>& nodes);
  void make_stages();
  void place_arena(const std::vector<std::vector<int>>& by_stage);
  void place_scratch(Stage& stage, const std::vector<int>& nodes);
  void make_steps(Stage& stage, const std::vector<int>& nodes);
  void copy_outputs();
  Operand operand(int id, bool as_samples);

  const Graph& graph_;
  std::span<const Value> outputs_;
  const CompileOptions& options_;
  std::vector<Info> infos_;
  std::shared_ptr<Plan> plan_ = std::make_shared<Plan>();
  std::map<int, std::shared_ptr<const Tensor>> constants_;
  std::vector<int> copies_;
  int samples_ = never, levels_ = -1;
  std::vector<std::size_t> arena_offset_, partial_offset_, scratch_offset_;
};

// Into how many chunks a stage is cut. Never by the number of threads: results must not depend on it. Each
// chunk must be worth a task (some 40 us of arithmetic) and must not be dominated by what every chunk reads
// or writes anew: parameters, and the partial results of reductions (at 100 GFLOP/s and 20 GB/s, 30
// operations a byte cost 17 %).
int Compiler::chunks_for(const std::vector<int>& nodes) {
  constexpr double operations_per_task = 4e6, operations_per_byte = 30;
  double flops = 0, shared_bytes = 1;
  int most = 4096;
  for (const int id : nodes) {
    const Node& n = node(id);
    flops += n.op->flops(input_shapes(id), n.shape);
    if (info(id).role == BatchRole::reduce) {
      shared_bytes += 4.0 * static_cast<double>(n.shape.size());
      most = 16;  // partial results take memory
    }
    for (const Value& in : n.inputs) {
      if (!in.batched()) shared_bytes += 4.0 * static_cast<double>(in.shape().size());
    }
  }
  const double count = std::min(flops / operations_per_task, flops / (operations_per_byte * shared_bytes));
  const int chunks = std::clamp(static_cast<int>(std::min(count, 1.0 * most)), 1, std::max(1, samples_));
  const int chunk = std::max(1, (samples_ + chunks - 1) / chunks);
  return std::max(1, (samples_ + chunk - 1) / chunk);  // without empty ones at the end
}

Operand Compiler::operand(int id, bool as_samples) {
  const Info& root = info(info(id).root);
  const int root_id = info(id).root;
  Operand o;
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

void Compiler::make_stages() {
  std::vector<std::vector<int>> by_stage;
  for (int level = -1; level <= levels_; ++level) {
    std::vector<int> nodes;
    for (int id = 0; id < graph_.size(); ++id) {
      if (runs(id) && info(id).stage == level) nodes.push_back(id);
    }
    if (nodes.empty()) continue;
    Stage stage{.chunked = !is_whole(level)};
    if (stage.chunked) {
      stage.samples = samples_;
      stage.chunks = chunks_for(nodes);
      stage.chunk = (samples_ + stage.chunks - 1) / stage.chunks;
    }
    plan_->stages.push_back(stage);
    by_stage.push_back(std::move(nodes));
  }
  place_arena(by_stage);
  scratch_offset_.resize(infos_.size());
  for (std::size_t s = 0; s < by_stage.size(); ++s) {
    place_scratch(plan_->stages[s], by_stage[s]);
    make_steps(plan_->stages[s], by_stage[s]);
    plan_->slots = std::max(plan_->slots, std::min(options_.threads, plan_->stages[s].chunks));
  }
  copy_outputs();
}

// Values that outlive their stage, outputs and partial results. Time is the stage; the steps of an unchunked
// stage have a time each, so that they can share memory.
void Compiler::place_arena(const std::vector<std::vector<int>>& by_stage) {
  std::vector<int> time(infos_.size(), 0);
  int now = 0;
  for (std::size_t s = 0; s < by_stage.size(); ++s) {
    for (const int id : by_stage[s]) {
      time[static_cast<std::size_t>(id)] = plan_->stages[s].chunked ? now : now++;
    }
    ++now;
  }
  std::vector<int> last = time;
  for (int id = 0; id < graph_.size(); ++id) {
    if (!runs(id)) continue;
    for (const Value& in : node(id).inputs) {
      int& end = last[static_cast<std::size_t>(info(in.id).root)];
      end = std::max(end, time[static_cast<std::size_t>(id)]);
    }
  }
  for (const int k : copies_) {
    last[static_cast<std::size_t>(info(outputs_[static_cast<std::size_t>(k)].id).root)] = now;
  }
  std::vector<Lifetime> lives;
  std::vector<std::size_t*> places;
  arena_offset_.resize(infos_.size());
  partial_offset_.resize(infos_.size());
  for (std::size_t s = 0; s < by_stage.size(); ++s) {
    const Stage& stage = plan_->stages[s];
    for (const int id : by_stage[s]) {
      const auto k = static_cast<std::size_t>(id);
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

// Values that stay inside a stage: room for one chunk of samples.
void Compiler::place_scratch(Stage& stage, const std::vector<int>& nodes) {
  std::vector<Lifetime> lives;
  std::vector<int> owners;
  std::map<int, std::size_t> index;
  for (std::size_t t = 0; t < nodes.size(); ++t) {
    const int id = nodes[t];
    for (const Value& in : node(id).inputs) {
      const auto at = index.find(info(in.id).root);
      if (at != index.end()) lives[at->second].last = static_cast<int>(t);
    }
    if (info(id).outlives) continue;
    std::size_t elements = node(id).shape.size();
    if (stage.chunked && stage.samples > 0) {
      elements = elements / static_cast<std::size_t>(stage.samples) * static_cast<std::size_t>(stage.chunk);
    }
    index[id] = lives.size();
    lives.push_back({elements * dtype_size(node(id).dtype), static_cast<int>(t), static_cast<int>(t)});
    owners.push_back(id);
  }
  const Placement placement = place(lives);
  for (std::size_t i = 0; i < owners.size(); ++i) {
    scratch_offset_[static_cast<std::size_t>(owners[i])] = placement.offsets[i];
  }
  plan_->scratch_bytes = std::max(plan_->scratch_bytes, placement.bytes);
}

void Compiler::make_steps(Stage& stage, const std::vector<int>& nodes) {
  for (const int id : nodes) {
    const Node& n = node(id);
    const auto chunk_launch = [&](int samples) {
      std::vector<Shape> inputs = input_shapes(id);
      Shape output = n.shape;
      if (stage.chunked) {
        for (std::size_t i = 0; i < inputs.size(); ++i) {
          if (n.inputs[i].batched()) inputs[i] = inputs[i].with(0, samples);
        }
        if (info(id).role == BatchRole::map) output = output.with(0, samples);
      }
      return launch(id, inputs, output);
    };
    Step step{.node = id};
    for (const Value& in : n.inputs) step.inputs.push_back(operand(in.id, stage.chunked));
    step.output = operand(id, stage.chunked);
    step.launch = chunk_launch(stage.chunk);
    if (stage.chunks > 1) step.tail_launch = chunk_launch(stage.samples - (stage.chunks - 1) * stage.chunk);
    if (info(id).role == BatchRole::reduce && stage.chunks > 1) {
      const std::size_t bytes = aligned(n.shape.size() * dtype_size(n.dtype));
      const Operand partials{.base = Operand::arena,
                             .offset = partial_offset_[static_cast<std::size_t>(id)],
                             .stride = bytes,
                             .per_chunk = true};
      stage.combinations.push_back(
          {.node = id, .partials = partials, .output = step.output, .size = n.shape.size()});
      step.output = partials;
    }
    step.row = {.op = n.op->name(),
                .shape = n.shape,
                .dtype = n.dtype,
                .flops = n.op->flops(input_shapes(id), n.shape)};
    for (const Value& in : n.inputs) {
      step.row.inputs += (step.row.inputs.empty() ? "" : " ") + in.shape().str();
    }
    stage.steps.push_back(std::move(step));
  }
}

void Compiler::copy_outputs() {
  if (copies_.empty()) return;
  Stage stage;
  for (const int k : copies_) {
    const Value v = outputs_[static_cast<std::size_t>(k)];
    const auto n = static_cast<int>(v.shape().size());
    kernels::CopyDims dims{.rank = 1};
    dims.size[0] = n;
    dims.in_stride[0] = dims.out_stride[0] = 1;
    // Labels are moved as the same number of bytes.
    Step step{.node = v.id, .inputs = {operand(v.id, false)}};
    step.output = plan_->outputs[static_cast<std::size_t>(k)].place;
    step.launch = choose_launch(options_.backends, &kernels::Backend::copy, dims);
    step.row = {.op = "copy", .inputs = v.shape().str(), .shape = v.shape(), .dtype = v.dtype()};
    stage.steps.push_back(std::move(step));
  }
  plan_->stages.push_back(std::move(stage));
}

}  // namespace

Program compile(const Graph& graph, std::span<const Value> outputs, const CompileOptions& options) {
  return Program(Compiler(graph, outputs, options).run());
}

Program compile(const Graph& graph, std::initializer_list<Value> outputs, const CompileOptions& options) {
  return compile(graph, std::span<const Value>(outputs.begin(), outputs.size()), options);
}

}  // namespace autodiff
