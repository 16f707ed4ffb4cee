// Compiling, near its end: the kernel call of element-wise functions that run together.
#include <algorithm>
#include <map>
#include <utility>

#include "autodiff/program/compiler.h"

namespace autodiff::detail {

using kernels::Binary;

// The group's kernel call. Values that nobody else reads are `nowhere`; they share buffers.
void Compiler::make_group(Stage& stage, const Together& together, const std::vector<int>& nodes) {
  const std::size_t all = together.first + together.count, end = all - together.sums;
  const Shape& shape = node(nodes[together.first]).shape;
  Group group{.steps = together.count, .run = together.backend->pointwise};
  kernels::PointwiseDims& d = group.dims;
  d.columns = static_cast<std::size_t>(shape[-1]);
  const std::size_t sample_rows = shape.size() / static_cast<std::size_t>(shape[0]) / d.columns;
  group.rows = sample_rows * static_cast<std::size_t>(stage.chunk);
  group.tail_rows = sample_rows * static_cast<std::size_t>(stage.tail());

  std::map<int, int> numbers;  // by root
  const auto enter = [&](Reading wanted, int& count) {
    const auto add = [&](const Value& v, int id) {
      const int root = info(id).root;
      if (numbers.contains(root) || info(root).chained || reading(v, shape) != wanted) return;
      numbers[root] = static_cast<int>(group.operands.size());
      group.operands.push_back(operand(id, true));
      ++count;
    };
    for (std::size_t t = together.first; t < end; ++t) {
      for (const Value& in : node(nodes[t]).inputs) add(in, in.id);
      if (wanted == Reading::full) add({graph(), nodes[t]}, nodes[t]);
    }
  };
  enter(Reading::full, d.full);
  enter(Reading::repeated, d.repeated);
  enter(Reading::single, d.single);

  const int fixed = static_cast<int>(group.operands.size());
  std::map<int, std::size_t> last;  // by root: the step that reads it last
  std::map<int, int> readers;
  for (std::size_t t = together.first; t < end; ++t) {
    for (const Value& in : node(nodes[t]).inputs) {
      last[info(in.id).root] = t;
      ++readers[info(in.id).root];
    }
  }
  for (std::size_t t = end; t < all; ++t) ++readers[node(nodes[t]).inputs[0].id];
  std::map<int, int> step_of;  // by node
  std::vector<int> idle;       // local operands that are free
  for (std::size_t t = together.first; t < end; ++t) {
    const Node& n = node(nodes[t]);
    kernels::PointwiseStep step;
    n.op->pointwise(step);
    step.a = numbers.at(info(n.inputs[0].id).root);
    step.b = n.inputs.size() > 1 ? numbers.at(info(n.inputs[1].id).root) : step.a;
    if (info(nodes[t]).chained) {
      if (idle.empty()) idle.push_back(fixed + d.local++);
      numbers[nodes[t]] = idle.back();
      idle.pop_back();
    }
    step.y = numbers.at(nodes[t]);
    // A difference that is only multiplied, a product that is only added to: one step.
    const auto takes = [&](std::size_t input, Binary kind) {
      if (d.steps.empty() || !step.is_binary || step.a == step.b) return false;
      const kernels::PointwiseStep& before = d.steps.back();
      const int root = info(n.inputs[input].id).root;
      return before.is_binary && before.binary == kind && !before.adds && info(root).chained &&
             readers.at(root) == 1 && before.y == (input == 0 ? step.a : step.b);
    };
    bool joined = false;
    for (std::size_t input = 0; input < n.inputs.size() && !joined; ++input) {
      const int other = input == 0 ? step.b : step.a;
      if (step.binary == Binary::mul && takes(input, Binary::sub)) {
        kernels::PointwiseStep& before = d.steps.back();
        before.d = before.b;
        before.b = other;
        before.binary = Binary::mul;
        before.subtracts = joined = true;
      } else if (step.binary == Binary::add && takes(input, Binary::mul)) {
        d.steps.back().c = other;
        d.steps.back().adds = joined = true;
      }
    }
    if (joined) {
      d.steps.back().y = step.y;
    } else {
      d.steps.push_back(step);
    }
    step_of[nodes[t]] = static_cast<int>(d.steps.size()) - 1;
    for (const int number : {step.a, step.b}) {
      const auto is_done = [&](const Value& in) {
        const int root = info(in.id).root;
        return numbers.at(root) == number && last.at(root) == t;
      };
      const bool done = std::any_of(n.inputs.begin(), n.inputs.end(), is_done);
      if (number >= fixed && done && std::find(idle.begin(), idle.end(), number) == idle.end())
        idle.push_back(number);
    }
  }
  for (std::size_t t = end; t < all; ++t) {
    kernels::PointwiseSum sum{.step = step_of.at(node(nodes[t]).inputs[0].id)};
    node(nodes[t]).op->adds_rows(shape, sum.divisor);
    d.sums.push_back(sum);
    group.operands.push_back(operand(nodes[t], false));
  }
  const bool led = together.first > 0 && stage.steps[together.first - 1].leads_group;
  if (led && plan_->device != Device::cpu) d.spent = numbers.at(nodes[together.first - 1]);
  stage.steps[together.first].group = std::move(group);
}

// Whether a group reads, as an array, what the node before it computes, and nobody else does.
bool Compiler::spent_by(const Together& group, const std::vector<int>& nodes) {
  if (group.first == 0) return false;
  const int before = nodes[group.first - 1];
  if (info(before).outlives || info(before).output != never) return false;
  bool found = false;
  for (std::size_t t = group.first; t < nodes.size(); ++t) {
    for (const Value& in : node(nodes[t]).inputs) {
      if (info(in.id).root != before) continue;
      if (in.id != before || t >= group.first + group.count) return false;
      if (reading(in, node(nodes[group.first]).shape) != Reading::full) return false;
      found = true;
    }
  }
  return found;
}

// On a device: whether the node after a group without sums reads what it writes, and is no part of another;
// and the group is not done by the node before it.
bool Compiler::feeds_next(const Together& group, const std::vector<int>& nodes) {
  const std::size_t end = group.first + group.count;
  if (options_.device == Device::cpu || group.sums > 0 || end == nodes.size() || spent_by(group, nodes))
    return false;
  const int next = nodes[end];
  if (info(next).beside || may_be_chained(next)) return false;
  const auto own = std::span(nodes).subspan(group.first, group.count);
  return std::ranges::any_of(node(next).inputs, [&](const Value& in) {
    return std::ranges::find(own, info(in.id).root) != own.end();
  });
}

}  // namespace autodiff::detail
