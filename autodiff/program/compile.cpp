// Compiling, last: the kernel calls.
#include <algorithm>
#include <limits>

#include "autodiff/program/compiler.h"

namespace autodiff::detail {

Launch Compiler::launch(int id, const std::vector<Shape>& inputs, const Shape& output) const {
  return node(id).op->launch({.inputs = inputs, .output = output, .backends = options_.backends});
}

std::vector<Shape> Compiler::input_shapes(int id) const {
  std::vector<Shape> shapes;
  for (const Value& in : node(id).inputs) shapes.push_back(in.shape());
  return shapes;
}

// The kernel for so many samples of a chunked stage, else for everything.
Launch Compiler::chunk_launch(const Stage& stage, int id, int samples) {
  const Node& n = node(id);
  std::vector<Shape> inputs = input_shapes(id);
  Shape output = n.shape;
  if (stage.chunked) {
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      if (n.inputs[i].batched()) inputs[i] = inputs[i].with(0, samples);
    }
    if (info(id).role == BatchRole::map) output = output.with(0, samples);
  }
  return launch(id, inputs, output);
}

// The kernels of one step of a stage without chunks, for several threads; none where one kernel does it all.
std::vector<Launch> Compiler::part_launches(const Stage& stage, int id,
                                            Launch (Op::*kernel)(const LaunchArgs&) const) const {
  std::vector<Launch> out;
  if (stage.chunks > 1 || options_.threads == 1) return out;
  const std::vector<Shape> inputs = input_shapes(id);
  LaunchArgs args{.inputs = inputs, .output = node(id).shape, .backends = options_.backends};
  const Op& op = *node(id).op;
  args.parts = std::min(options_.threads, op.parts(args));
  for (; args.parts > 1 && args.part < args.parts; ++args.part) out.push_back((op.*kernel)(args));
  return out;
}

// Has the step note how it could update parameters by its output, if it is one and the kernels can.
void Compiler::find_updating(const Stage& stage, int id, Step& step) {
  const int output = info(id).output;
  if (output == never || stage.chunks > 1 || options_.device != Device::cpu) return;
  Updating updating{.output = static_cast<std::size_t>(output),
                    .launches = part_launches(stage, id, &Op::launch_update)};
  if (updating.launches.empty()) {
    const std::vector<Shape> inputs = input_shapes(id);
    updating.launches.push_back(node(id).op->launch_update(
        {.inputs = inputs, .output = node(id).shape, .backends = options_.backends}));
  }
  const auto can = [](const Launch& launch) { return static_cast<bool>(launch.run); };
  if (!std::ranges::all_of(updating.launches, can)) return;
  for (const Launch& launch : updating.launches) {
    std::size_t& bytes = step.parts.empty() ? step.launch.scratch_bytes : step.part_scratch;
    bytes = std::max(bytes, aligned(launch.scratch_bytes));
  }
  step.updating = static_cast<int>(plan_->updatings.size());
  plan_->updatings.push_back(std::move(updating));
}

void Compiler::choose_kernels(Stage& stage, const std::vector<int>& nodes) {
  for (const int id : nodes) {
    const Node& n = node(id);
    Step step{.node = origin(id), .packs = info(id).packs};
    step.launch = chunk_launch(stage, id, stage.chunk);
    if (stage.chunks > 1) step.tail_launch = chunk_launch(stage, id, stage.tail());
    step.parts = part_launches(stage, id, &Op::launch);
    for (const Launch& part : step.parts)
      step.part_scratch = std::max(step.part_scratch, aligned(part.scratch_bytes));
    find_updating(stage, id, step);
    step.row = {.op = n.op->name() + (info(id).again ? " again" : ""),
                .shape = n.shape,
                .dtype = n.dtype,
                .flops = n.op->flops(input_shapes(id), n.shape)};
    for (const Value& in : n.inputs) {
      step.row.inputs += (step.row.inputs.empty() ? "" : " ") + in.shape().str();
    }
    stage.steps.push_back(std::move(step));
  }
}

void Compiler::bind_operands(Stage& stage, const std::vector<int>& nodes) {
  for (std::size_t t = 0; t < nodes.size(); ++t) {
    const int id = nodes[t];
    const Node& n = node(id);
    Step& step = stage.steps[t];
    for (const Value& in : n.inputs) step.inputs.push_back(operand(in.id, stage.chunked));
    step.output = operand(id, stage.chunked);
    step.scratch = {.base = info(id).beside ? Operand::arena : Operand::scratch,
                    .offset = work_offset_[static_cast<std::size_t>(id)]};
    if (info(id).role == BatchRole::reduce && stage.chunks > 1) {
      const std::size_t bytes = aligned(n.shape.size() * dtype_size(n.dtype));
      const Operand partials{.base = Operand::arena,
                             .offset = partial_offset_[static_cast<std::size_t>(id)],
                             .stride = bytes,
                             .per_chunk = true};
      Combination whole{
          .node = origin(id), .partials = partials, .output = step.output, .size = n.shape.size()};
      whole.combine = n.op->combine(n.shape);
      for (int chunk = 0; chunk < stage.chunks; ++chunk) {
        const int samples = std::min(stage.chunk, stage.samples - chunk * stage.chunk);
        whole.weights.push_back(static_cast<double>(samples) / stage.samples);
      }
      stage.combinations.push_back(std::move(whole));
      step.output = partials;
    }
  }
}

// Steps in parts whose output goes to a group of the same shape: the thread of a part does both. And steps
// whose output nobody else needs, which a device may do together with the group.
void Compiler::join_groups(std::size_t number) {
  std::vector<Step>& steps = plan_->stages[number].steps;
  for (const Together& group : groups_[number]) {
    const std::size_t last = group.first + group.count - 1;
    for (std::size_t t = group.first; t < last; ++t) steps[t].with_next = true;
    steps[last].with_next = feeds_next(group, by_stage_[number]);
    if (group.first == 0) continue;
    Step& before = steps[group.first - 1];
    if (options_.device != Device::cpu) {
      before.leads_group = spent_by(group, by_stage_[number]);
      before.with_next |= before.leads_group;
      continue;
    }
    const auto in_a_row = [](const Launch& part) { return part.count > 0; };
    before.leads_group = !before.parts.empty() && before.row.shape == steps[group.first].row.shape &&
                         std::all_of(before.parts.begin(), before.parts.end(), in_a_row);
    before.with_next |= before.leads_group;
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
    Step step{.node = v.id, .inputs = {operand(output_id(k), false)}};
    step.output = plan_->outputs[static_cast<std::size_t>(k)].place;
    step.launch = choose_launch(options_.backends, &kernels::Backend::copy, dims);
    step.row = {.op = "copy", .inputs = v.shape().str(), .shape = v.shape(), .dtype = v.dtype()};
    stage.steps.push_back(std::move(step));
  }
  plan_->stages.push_back(std::move(stage));
}

}  // namespace autodiff::detail

namespace autodiff {

Program compile(const Graph& graph, std::span<const Value> outputs, const CompileOptions& options) {
  if (options.device == Device::cpu) return Program(detail::Compiler(graph, outputs, options).run());
  const kernels::Backend* row = kernels::cuda_backend();
  if (!row) fail("compile for the device cuda: ", kernels::device_info().reason);
  CompileOptions own = options;
  own.backends = {row};
  own.threads = 1;
  return Program(detail::Compiler(graph, outputs, own).run());
}

Program compile(const Graph& graph, std::initializer_list<Value> outputs, const CompileOptions& options) {
  return compile(graph, std::span<const Value>(outputs.begin(), outputs.size()), options);
}

}  // namespace autodiff
