// Compiling for a device: kernels that run beside those after them. Much of a backward pass is a few blocks
// that add up what hundreds have computed, while the rest of the device has nothing to do. What computes an
// output that nobody reads, the gradient of filters above all, can be done meanwhile: nobody waits for it. So
// can what depends on parameters alone and is read much later: filters that are turned for the backward pass.
#include <algorithm>
#include <cmath>
#include <limits>

#include "autodiff/program/compiler.h"

namespace autodiff::detail {
namespace {

// What such a kernel reads stays where it is until so many of them have been called after it. Who needs the
// memory then waits for all but the last few, so that the next ones need not.
constexpr std::size_t most_under_way = 16, last_few = 4;

// What is read so many levels later is read much later; less than so many elements are not worth it.
constexpr int much_later = 8;
constexpr std::size_t least_elements = 2048;

}  // namespace

void Compiler::find_beside() {
  if (options_.device == Device::cpu) return;
  if (std::isinf(options_.beside_above)) return;
  constexpr int nobody = std::numeric_limits<int>::max();
  std::vector<int> first_reader(infos_.size(), nobody);  // its level
  const auto reads = [&](int id, int level) {
    int& first = first_reader[static_cast<std::size_t>(info(id).root)];
    first = std::min(first, level);
  };
  for (int id = 0; id < graph_->size(); ++id) {
    if (!runs(id)) continue;
    for (const Value& in : node(id).inputs) reads(in.id, info(id).stage);
  }
  for (const int k : copies_) reads(output_id(k), never);  // not much later: copies do not wait
  for (int id = 0; id < graph_->size(); ++id) {
    const Node& n = node(id);
    if (!runs(id) || info(id).fixed) continue;
    // What may be a part of a chain, stays one.
    if (may_be_chained(id)) continue;
    const int reader = first_reader[static_cast<std::size_t>(id)];
    if (reader != nobody) {
      const auto is_parameter = [&](const Value& in) {
        return node(info(in.id).root).source == Source::parameter;
      };
      info(id).beside = info(id).output == never && reader >= info(id).stage + much_later &&
                        n.shape.size() >= least_elements && std::ranges::all_of(n.inputs, is_parameter);
      continue;
    }
    info(id).unread = true;
    info(id).beside = n.op->flops(input_shapes(id), n.shape) >= options_.beside_above;
  }
}

// By node: until when what it reads must stay, where `time` says when it is called and `end` when all is
// done.
std::vector<int> Compiler::ends_of_beside(const std::vector<int>& time, int end) {
  std::vector<int> until = time, beside;  // the latter in the order of time
  for (const std::vector<int>& nodes : by_stage_) {
    for (const int id : nodes) {
      if (info(id).beside) beside.push_back(id);
    }
  }
  for (std::size_t k = 0; k < beside.size(); ++k) {
    const std::size_t later = k + most_under_way;
    until[static_cast<std::size_t>(beside[k])] =
        later < beside.size() ? time[static_cast<std::size_t>(beside[later])] : end;
  }
  return until;
}

// Numbers the steps that go beside others, and finds those that need the memory of one that may still run.
void Compiler::find_awaits() {
  struct Memory {
    int base;
    std::size_t begin, end;
    bool meets(const Memory& o) const { return base == o.base && begin < o.end && o.begin < end; }
  };
  struct Access {
    std::vector<Memory> reads, writes;
  };
  const auto add = [&](std::vector<Memory>& to, const Operand& o, std::size_t bytes) {
    if (o.base != Operand::nowhere && bytes > 0) to.push_back({o.base, o.offset, o.offset + bytes});
  };
  const auto bytes_of = [&](int id) {
    const Node& n = node(info(id).root);
    return n.shape.size() * dtype_size(n.dtype);
  };
  std::vector<Access> under_way;  // by number
  std::size_t done = 0;           // so many have been waited for
  for (std::size_t s = 0; s < by_stage_.size(); ++s) {
    for (std::size_t t = 0; t < by_stage_[s].size(); ++t) {
      Step& step = plan_->stages[s].steps[t];
      const int id = by_stage_[s][t];
      Access own;
      for (std::size_t i = 0; i < step.inputs.size(); ++i)
        add(own.reads, step.inputs[i], bytes_of(node(id).inputs[i].id));
      add(own.writes, step.output, bytes_of(id));
      add(own.writes, step.scratch, step.scratch_bytes());
      const auto meets = [](const std::vector<Memory>& a, const std::vector<Memory>& b) {
        return std::ranges::any_of(a, [&](const Memory& x) {
          return std::ranges::any_of(b, [&](const Memory& y) { return x.meets(y); });
        });
      };
      if (info(id).beside) {  // in one line with those before it
        step.beside = plan_->besides++;
        under_way.push_back(own);
        continue;
      }
      const std::size_t first = together(plan_->stages[s], t).first;
      for (std::size_t k = done; k < under_way.size(); ++k) {
        const Access& other = under_way[k];
        if (!meets(own.writes, other.reads) && !meets(own.writes, other.writes) &&
            !meets(own.reads, other.writes)) {
          continue;
        }
        done = std::max(k + 1, under_way.size() - std::min(under_way.size(), last_few));
        plan_->stages[s].steps[first].awaits = static_cast<int>(done) - 1;
        k = done - 1;
      }
    }
  }
}

}  // namespace autodiff::detail
