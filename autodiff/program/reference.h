// The definition, computed: a graph interpreted by the reference templates over a scalar of choice. Slow and
// plain; the oracle of programs (T = double) and of derivatives (T = std::complex<double>).
#pragma once

#include <map>
#include <vector>

#include "autodiff/graph/op.h"

namespace autodiff {

/// Elements of the sources of a graph, by id. Constants need none.
template <class T>
struct Feeds {
  std::map<int, std::vector<T>> values;
  std::map<int, std::vector<std::int32_t>> labels;
};

/// All nodes up to the last of `outputs`, interpreted; returns the elements of each output. int32 outputs
/// come as numbers. Throws Error when a source that is needed has no elements or the wrong number of them.
template <class T>
std::vector<std::vector<T>> interpret(const Graph& graph, std::span<const Value> outputs,
                                      const Feeds<T>& feeds) {
  std::vector<char> live(static_cast<std::size_t>(graph.size()));
  for (const Value& out : outputs) live[static_cast<std::size_t>(out.id)] = true;
  for (int id = graph.size() - 1; id >= 0; --id) {
    if (!live[static_cast<std::size_t>(id)]) continue;
    for (const Value& in : graph.node(id).inputs) live[static_cast<std::size_t>(in.id)] = true;
  }
  Feeds<T> all = feeds;
  const auto data = [&](Value v) -> void* {
    return v.dtype() == DType::I32 ? static_cast<void*>(all.labels[v.id].data())
                                   : static_cast<void*>(all.values[v.id].data());
  };
  for (int id = 0; id < graph.size(); ++id) {
    const Node& node = graph.node(id);
    if (!live[static_cast<std::size_t>(id)]) continue;
    const std::size_t size = node.shape.size();
    if (node.source == Source::constant) {
      all.values[id] = {node.constant->begin(), node.constant->end()};
    } else if (node.source == Source::op) {
      (node.dtype == DType::I32) ? all.labels[id].resize(size) : all.values[id].resize(size);
      std::vector<const void*> inputs;
      std::vector<Shape> shapes;
      for (const Value& in : node.inputs) {
        inputs.push_back(data(in));
        shapes.push_back(in.shape());
      }
      node.op->reference(Operands<T>{inputs, data({const_cast<Graph*>(&graph), id}), shapes, node.shape});
    } else if ((node.dtype == DType::I32 ? all.labels[id].size() : all.values[id].size()) != size) {
      fail("interpret: want ", size, " elements for '", node.name, "'");
    }
  }
  std::vector<std::vector<T>> results;
  for (const Value& out : outputs) {
    if (out.dtype() == DType::I32) {
      results.emplace_back();
      for (const std::int32_t x : all.labels[out.id]) results.back().push_back(static_cast<T>(x));
    } else {
      results.push_back(all.values[out.id]);
    }
  }
  return results;
}

}  // namespace autodiff
