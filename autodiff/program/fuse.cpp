// Compiling, between stages and memory: element-wise functions of one shape are brought together, so that
// they run a few rows at a time with what is between them in the first-level cache.
#include <algorithm>
#include <set>
#include <utility>

#include "autodiff/program/compiler.h"

namespace autodiff::detail {

Reading reading(const Value& v, const Shape& y) {
  const Shape& s = v.shape();
  if (s == y) return Reading::full;
  if (v.batched() || v.dtype() != DType::F32) return Reading::other;
  if (s.size() == 1) return Reading::single;
  return s.size() == static_cast<std::size_t>(y[-1]) && s[-1] == y[-1] ? Reading::repeated : Reading::other;
}

// The backend whose chains such a node may be part of, null where it cannot be.
const kernels::Backend* Compiler::chain_backend(int id) {
  const Node& n = node(id);
  kernels::PointwiseStep step;
  if (info(id).role != BatchRole::map || n.dtype != DType::F32 || n.shape.rank() < 2 || n.shape.size() == 0 ||
      !n.op->pointwise(step)) {
    return nullptr;
  }
  for (const Value& in : n.inputs) {
    if (reading(in, n.shape) == Reading::other) return nullptr;
  }
  const std::string_view name = launch(id, input_shapes(id), n.shape).backend;
  for (const kernels::Backend* backend : options_.backends) {
    if (backend->name == name) return backend->pointwise ? backend : nullptr;
  }
  return nullptr;
}

// Whether a node adds the rows of one of these, which no other node of the group does.
bool Compiler::is_sum_of(int id, const std::vector<int>& group) {
  double divisor = 1;
  const Node& n = node(id);
  if (n.inputs.size() != 1 || !n.op->adds_rows(n.inputs[0].shape(), divisor)) return false;
  const int added = n.inputs[0].id;
  const auto adds_it = [&](int other) {
    return node(other).op->adds_rows(node(other).inputs[0].shape(), divisor) &&
           node(other).inputs[0].id == added;
  };
  return std::find(group.begin(), group.end(), added) != group.end() &&
         std::none_of(group.begin(), group.end(), adds_it);
}

// Whether nothing waits that a node reads.
bool Compiler::is_ready(int id, const std::vector<char>& waits) {
  return std::none_of(node(id).inputs.begin(), node(id).inputs.end(),
                      [&](const Value& in) { return waits[static_cast<std::size_t>(info(in.id).root)]; });
}

// The same, but for what can be computed again right before the node.
bool Compiler::is_nearly_ready(int id, const std::vector<char>& waits) {
  return std::all_of(node(id).inputs.begin(), node(id).inputs.end(), [&](const Value& in) {
    const int root = info(in.id).root;
    return !waits[static_cast<std::size_t>(root)] || (comes_late(root) && is_ready(root, waits));
  });
}

// Of a device's nodes that compute something again: they join a group when one of it reads them.
bool Compiler::comes_late(int id) { return info(id).again && options_.device != Device::cpu; }

// Whether a node would be a chain of its own where that is a kernel of its own, on a device: it waits for
// others of its shape while there is something else to do.
bool Compiler::is_alone(int id, const std::vector<int>& pending, std::vector<char>& waits,
                        const std::map<int, const kernels::Backend*>& backends) {
  const kernels::Backend* backend = backends.at(id);
  if (!backend || !backend->pointwise_sums) return false;
  waits[static_cast<std::size_t>(id)] = false;
  const bool alone = std::none_of(pending.begin(), pending.end(), [&](int other) {
    return other != id && is_nearly_ready(other, waits) &&
           (is_sum_of(other, {id}) || (node(other).shape == node(id).shape && backends.at(other) == backend));
  });
  waits[static_cast<std::size_t>(id)] = true;
  return alone;
}

// Puts the nodes of a chunked stage into an order in which element-wise functions of one shape follow each
// other, and says which ones run together. Reductions come as early as they can.
void Compiler::group_nodes(std::size_t s) {
  std::vector<int>& nodes = by_stage_[s];
  groups_.emplace_back();
  if (!plan_->stages[s].chunked) return;
  std::vector<char> waits(infos_.size(), false);
  std::map<int, const kernels::Backend*> backends;  // that can chain the node
  for (const int id : nodes) {
    waits[static_cast<std::size_t>(id)] = true;
    backends[id] = chain_backend(id);
  }
  const auto ready = [&](int id) { return is_ready(id, waits); };
  std::vector<int> order, pending = nodes;
  while (!pending.empty()) {
    std::vector<int> left, group;
    std::set<int> small;  // roots of operands that are not full
    const auto fits = [&](int id) {
      std::set<int> with = small;
      for (const Value& in : node(id).inputs) {
        if (reading(in, node(id).shape) != Reading::full) with.insert(info(in.id).root);
      }
      const auto columns = static_cast<std::size_t>(node(id).shape[-1]);
      if (kernels::pointwise_floats(columns, with.size(), group.size() + 1) >
          kernels::most_pointwise_floats) {
        return false;
      }
      small = std::move(with);
      return true;
    };
    const kernels::Backend* backend = nullptr;
    // What nobody reads comes as early as it can, and not between those that run together.
    auto first =
        std::find_if(pending.begin(), pending.end(), [&](int id) { return ready(id) && info(id).unread; });
    if (first == pending.end()) {
      first =
          std::find_if(pending.begin(), pending.end(), [&](int id) { return ready(id) && !comes_late(id); });
    }
    if (first == pending.end()) first = std::find_if(pending.begin(), pending.end(), ready);
    if (is_alone(*first, pending, waits, backends)) {
      const auto other =
          std::find_if(pending.begin(), pending.end(), [&](int id) { return ready(id) && !backends[id]; });
      if (other != pending.end()) first = other;
    }
    const auto can_join = [&](int id) {
      return backend && node(id).shape == node(group[0]).shape && backends[id] == backend &&
             group.size() < longest_group && fits(id);
    };
    const auto join = [&](int id) {
      group.push_back(id);
      waits[static_cast<std::size_t>(id)] = false;
    };
    for (auto at = pending.begin(); at != pending.end(); ++at) {
      if (at == first) {
        backend = backends[*at];
        if (backend && !fits(*at)) backend = nullptr;
        join(*at);
      } else if (!group.empty() && !comes_late(*at) && is_nearly_ready(*at, waits) &&
                 node(*at).shape == node(group[0]).shape && backends[*at] == backend) {
        for (const Value& in : node(*at).inputs) {
          const int again = info(in.id).root;
          if (waits[static_cast<std::size_t>(again)] && can_join(again)) join(again);
        }
        if (ready(*at) && can_join(*at)) join(*at);
      }
    }
    for (const int id : pending) {
      if (waits[static_cast<std::size_t>(id)]) left.push_back(id);
    }
    std::size_t sums = 0;
    if (backend && backend->pointwise_sums && plan_->stages[s].chunks == 1) {
      const std::vector<int> others = std::exchange(left, {});
      for (const int id : others) {
        if (sums == kernels::most_pointwise_sums || !is_sum_of(id, group)) {
          left.push_back(id);
          continue;
        }
        group.push_back(id);
        waits[static_cast<std::size_t>(id)] = false;
        ++sums;
      }
    }
    if (group.size() > 1) groups_.back().push_back({order.size(), group.size(), backend, sums});
    order.insert(order.end(), group.begin(), group.end());
    pending = std::move(left);
  }
  nodes = std::move(order);
}

// Values of a group that nothing outside it reads.
void Compiler::find_chained() {
  for (std::size_t s = 0; s < by_stage_.size(); ++s) {
    const std::vector<int>& nodes = by_stage_[s];
    for (const Together& group : groups_[s]) {
      for (std::size_t t = group.first; t < group.first + group.count - group.sums; ++t) {
        info(nodes[t]).chained = !info(nodes[t]).outlives;
      }
    }
    for (std::size_t t = 0; t < nodes.size(); ++t) {
      const Together* own = group_of(s, t);
      for (const Value& in : node(nodes[t]).inputs) {
        const int root = info(in.id).root;
        const auto at = std::find(nodes.begin(), nodes.end(), root);
        if (at == nodes.end()) continue;
        // Seen as another shape it is no longer the value of the group.
        if (root != in.id || !own || group_of(s, static_cast<std::size_t>(at - nodes.begin())) != own) {
          info(root).chained = false;
        }
      }
    }
  }
}

const Compiler::Together* Compiler::group_of(std::size_t s, std::size_t t) const {
  for (const Together& group : groups_[s]) {
    if (t >= group.first && t < group.first + group.count) return &group;
  }
  return nullptr;
}

}  // namespace autodiff::detail
