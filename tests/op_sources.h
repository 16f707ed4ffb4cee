// What a case of op_cases.h is made of: a builder of a graph, and sources with what they are filled with.
#pragma once

#include <functional>
#include <map>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "autodiff/graph/op.h"
#include "autodiff/graph/ops.h"
#include "autodiff/program/program.h"
#include "autodiff/program/reference.h"
#include "autodiff/tensor/random.h"

namespace tests {

using autodiff::Graph;
using autodiff::Shape;
using autodiff::Value;

/// What a source is filled with. `normal`: standard normal numbers. `positive`: between 0.5 and 2.
/// `off_zero`: normal, but at least 0.1 away from 0, where relu has its kink. `distinct`: no two elements are
/// equal, for maxima. `small_integers`: -1, 0 or 1, for ties. `probabilities`: rows that sum to 1. `classes`:
/// labels.
enum class Fill { normal, positive, off_zero, distinct, small_integers, probabilities, classes };

struct OpSource {
  Value value;
  Fill fill = Fill::normal;
  int classes = 0;  ///< of labels
};

/// A map that returns its input and claims to be so expensive that programs cut its stage into as many chunks
/// as they ever make: this is how a test gets chunks without gigaflops.
class BallastOp final : public autodiff::OpBase<BallastOp> {
 public:
  explicit BallastOp(double flops) : flops_(flops) {}
  std::string name() const override { return "ballast"; }
  autodiff::BatchRole role(std::span<const Value> in) const override { return autodiff::samplewise_role(in); }
  autodiff::Launch launch(const autodiff::LaunchArgs& args) const override {
    return {"test", [n = args.output.size()](const void* const* in, void* out) {
              std::copy_n(static_cast<const float*>(in[0]), n, static_cast<float*>(out));
            }};
  }
  double flops(std::span<const Shape>, const Shape&) const override { return flops_; }
  std::vector<Value> derivative(const autodiff::DerivativeArgs& args) const override {
    const Value dy = args.dy;
    return {dy.graph->add(std::make_shared<BallastOp>(flops_), {dy}, dy.shape())};
  }
  template <class T>
  void define(const autodiff::Operands<T>& o) const {
    std::copy_n(o.in(0), o.output_shape.size(), o.out());
  }

 private:
  double flops_;
};

/// x, made expensive: by default enough for one chunk a sample, or 16 where the stage contains a sum over
/// samples.
inline Value ballast(Value x, double flops = 1e15) {
  return x.graph->add(std::make_shared<BallastOp>(flops), {x}, x.shape());
}

/// Makes the sources of a case. With `heavy`, batched ones pass through ballast.
struct Sources {
  Graph& graph;
  bool heavy = false;
  std::vector<OpSource> list = {};

  Value batch(const Shape& shape, Fill fill = Fill::normal) {
    list.push_back({graph.input(shape, "x" + std::to_string(list.size())), fill});
    return heavy ? ballast(list.back().value) : list.back().value;
  }
  Value fixed(const Shape& shape, Fill fill = Fill::normal) {
    list.push_back({graph.parameter("w" + std::to_string(list.size()), shape), fill});
    return list.back().value;
  }
  Value labels(int n, int classes) {
    list.push_back({graph.labels(n, "labels" + std::to_string(list.size())), Fill::classes, classes});
    return list.back().value;
  }
};

struct OpCase {
  std::string op;     ///< name of the builder
  std::string sizes;  ///< the sizes and options, for messages
  std::function<Value(Sources&)> build;
};

/// Elements for all sources: floats for programs, the same numbers as doubles for interpret().
struct Filled {
  std::map<int, std::vector<float>> values;
  std::map<int, std::vector<std::int32_t>> labels;

  template <class T>
  autodiff::Feeds<T> feeds() const {
    autodiff::Feeds<T> out;
    for (const auto& [id, x] : values) {
      for (const float v : x) out.values[id].push_back(T(static_cast<double>(v)));
      out.values[id];
    }
    out.labels = labels;
    return out;
  }
  void bind(autodiff::Program& program, Graph& graph) const {
    for (const auto& [id, x] : values) program.bind({&graph, id}, std::span<const float>(x));
    for (const auto& [id, x] : labels) program.bind({&graph, id}, std::span<const std::int32_t>(x));
  }
};

inline std::vector<float> random_values(Fill fill, const Shape& shape, autodiff::Seed seed) {
  const autodiff::Random random(seed);
  const auto n = static_cast<std::uint32_t>(shape.size());
  std::vector<double> x(n);
  for (std::uint32_t i = 0; i < n; ++i) {
    const double normal = random.normal(i);
    x[i] = fill == Fill::positive         ? random.uniform(i, 0.5, 2)
           : fill == Fill::off_zero       ? normal + (normal < 0 ? -0.1 : 0.1)
           : fill == Fill::small_integers ? static_cast<double>(random.below(i, 3)) - 1
           : fill == Fill::probabilities  ? std::exp(normal)
                                          : normal;
  }
  if (fill == Fill::distinct) {
    const autodiff::Permutation order(seed, n);
    for (std::uint32_t i = 0; i < n; ++i) x[i] = (4.0 * order(i) + 1) / n - 2;
  }
  if (fill == Fill::probabilities && n > 0) {
    const auto cols = static_cast<std::ptrdiff_t>(shape[-1]);
    for (auto row = x.begin(); row != x.end(); row += cols) {
      const double total = std::accumulate(row, row + cols, 0.0);
      for (auto p = row; p != row + cols; ++p) *p /= total;
    }
  }
  return {x.begin(), x.end()};
}

inline Filled fill(std::span<const OpSource> sources, autodiff::Seed seed) {
  Filled out;
  for (const OpSource& source : sources) {
    const autodiff::Seed own = seed.stream(static_cast<std::uint64_t>(source.value.id));
    const Shape& shape = source.value.shape();
    if (source.fill == Fill::classes) {
      auto& labels = out.labels[source.value.id];
      for (std::size_t i = 0; i < shape.size(); ++i) {
        labels.push_back(static_cast<std::int32_t>(
            autodiff::Random(own).below(i, static_cast<std::uint64_t>(source.classes))));
      }
    } else {
      out.values[source.value.id] = random_values(source.fill, shape, own);
    }
  }
  return out;
}

}  // namespace tests
