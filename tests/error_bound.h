// How far a float program may be from the double interpretation of its graph: a running error analysis,
// element by element. No tolerance in it is a guess: errors of inputs are carried through each op's
// derivative, and each op adds its own rounding, by the number of its terms.
// Long, because it has a rule for every op.
#pragma once

#include <cmath>
#include <limits>
#include <map>
#include <string>
#include <vector>

#include "autodiff/program/reference.h"

namespace tests {

using autodiff::Graph;
using autodiff::Node;
using autodiff::Shape;
using autodiff::Value;

/// The elements of a value in double, and how far away float may be.
struct Bounded {
  std::vector<double> value, error;
};

namespace detail {

constexpr double unit = 0x1p-24;  // of float: a result is rounded by at most this part of itself
constexpr double function_units =
    8;  // exp, log, tanh, sigmoid: at most 4 units in the last place, in any backend
constexpr double tiny = 0x1p-126;  // below it, results may be rounded or flushed to 0

// The op's definition on other numbers than the graph's: multilinear ops are their own error bound on
// absolute values.
inline std::vector<double> apply(const Node& node, const std::vector<std::vector<double>>& inputs,
                                 const std::vector<const std::vector<std::int32_t>*>& labels) {
  std::vector<double> out(node.shape.size());
  std::vector<const void*> pointers;
  std::vector<Shape> shapes;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    pointers.push_back(labels[i] ? static_cast<const void*>(labels[i]->data()) : inputs[i].data());
    shapes.push_back(node.inputs[i].shape());
  }
  node.op->reference(autodiff::Operands<double>{pointers, out.data(), shapes, node.shape});
  return out;
}

// Relative error of exp(x_c - max x) in each column, and the greatest of them, for softmax and its relatives.
struct Exponentials {
  std::vector<double> relative, weight;  // weight = softmax
  double max_relative = 0, log_sum = 0, greatest = 0;
};
inline Exponentials exponentials(const double* x, const double* dx, std::size_t cols) {
  Exponentials out;
  double max_error = 0, sum = 0;
  out.greatest = *std::max_element(x, x + cols);
  for (std::size_t c = 0; c < cols; ++c) {
    max_error = std::max(max_error, dx[c]);
    out.weight.push_back(std::exp(x[c] - out.greatest));
    sum += out.weight.back();
  }
  for (std::size_t c = 0; c < cols; ++c) {
    const double argument = dx[c] + max_error + unit * (out.greatest - x[c]);
    out.relative.push_back(std::expm1(argument) + function_units * unit);
    // What an exponential adds to the sum's error: its own share of it.
    out.max_relative += out.relative.back() * out.weight[c] / sum;
    out.weight[c] /= sum;
  }
  out.max_relative += 2 * unit;  // the sum is formed in double and used as float
  out.log_sum = std::log(sum);
  return out;
}

// Elementwise ops of one and of two arguments: y = f(a, b), |errors of a, b| <= da, db.
inline double elementwise(const std::string& op, double a, double da, double b, double db, double y) {
  const auto away = [](double x, double dx) { return std::max(std::abs(x) - dx, 0.0); };  // least |x|
  const double function = function_units * unit * std::abs(y);
  if (op == "relu") return da;
  if (op == "tanh") return da * (1 - std::pow(std::tanh(away(a, da)), 2)) + function;
  if (op == "sigmoid") {
    const double s = 1 / (1 + std::exp(-away(a, da)));
    return da * s * (1 - s) + function;
  }
  if (op == "exp") return y * std::expm1(da) + function * std::exp(da);
  if (op == "log") return da / away(a, da) + function;
  if (op == "sqrt")
    return std::sqrt(a) - std::sqrt(away(a, da)) + (da > a ? std::sqrt(da) : 0) + 2 * unit * y;
  if (op == "square") return (2 * std::abs(a) + da) * da + unit * (std::abs(y) + da);
  if (op == "shift") return da + unit * (std::abs(y) + da);
  if (op == "add" || op == "sub") return da + db + unit * (std::abs(y) + da + db);
  if (op == "div") return ((da + std::abs(y) * db) / away(b, db)) * (1 + unit) + unit * std::abs(y);
  if (op == "equal") return std::abs(a - b) > da + db || da + db == 0 ? 0 : 1;
  if (op == "relu_grad") return std::abs(a) > da || da == 0 ? (a > 0 ? db : 0) : std::abs(b) + db;
  if (op == "tanh_grad") {
    return (std::abs(b) + db) * ((2 * std::abs(a) + da) * da + 4 * unit) + std::abs(1 - a * a) * db;
  }
  if (op == "sigmoid_grad") {
    return (std::abs(b) + db) * (da * (1 + da) + 4 * unit) + std::abs(a * (1 - a)) * db;
  }
  autodiff::fail("no rule for the rounding error of op '", op, "': add one to tests/error_bound.h");
}

// Formed in double, rounded in every chunk and at the end. With e the error of an element and m that of the
// mean:
//   m <= mean of e + rounding,   error of the variance <= mean of (2 |x - mean| + e + m) (e + m) + rounding
inline std::vector<double> moments_error(const Bounded& x, const std::vector<double>& moments) {
  const std::size_t channels = moments.size() / 2, rows = x.value.size() / channels;
  std::vector<double> out(moments.size());
  for (std::size_t c = 0; c < channels; ++c) {
    double e = 0, greatest = 0, variance = 0;
    for (std::size_t i = c; i < x.value.size(); i += channels) {
      e += x.error[i] / static_cast<double>(rows);
      greatest = std::max(greatest, std::abs(x.value[i]) + x.error[i]);
    }
    out[c] = e + 3 * unit * greatest + tiny;
    for (std::size_t i = c; i < x.value.size(); i += channels) {
      const double both = x.error[i] + out[c];
      variance += (2 * std::abs(x.value[i] - moments[c]) + both) * both / static_cast<double>(rows);
    }
    out[channels + c] = variance + 3 * unit * (moments[channels + c] + variance) + tiny;
  }
  return out;
}

inline std::vector<double> rows_error(const std::string& op, const Node& node, const Bounded& x,
                                      const std::vector<std::int32_t>* labels, const Bounded* dloss,
                                      const std::vector<double>& y) {
  std::vector<double> out(y.size());
  const auto cols = static_cast<std::size_t>(node.inputs[0].shape()[-1]);
  for (std::size_t r = 0; r < x.value.size() / cols; ++r) {
    const double* row = x.value.data() + r * cols;
    const Exponentials e = exponentials(row, x.error.data() + r * cols, cols);
    double max_error = 0;
    for (std::size_t c = 0; c < cols; ++c) max_error = std::max(max_error, x.error[r * cols + c]);
    const double log_sum = e.max_relative + function_units * unit * std::abs(e.log_sum);
    if (op == "cross_entropy") {
      const double picked = row[(*labels)[r]];
      out[r] = log_sum + 2 * max_error + unit * (e.greatest - picked + std::abs(y[r]));
      continue;
    }
    for (std::size_t c = 0; c < cols; ++c) {
      const std::size_t i = r * cols + c;
      const double p_error = e.weight[c] * (e.relative[c] + e.max_relative + 2 * unit);
      if (op == "softmax") {
        out[i] = p_error + tiny;
      } else if (op == "log_softmax") {
        out[i] = log_sum + 2 * max_error + unit * (e.greatest - row[c] + std::abs(y[i]));
      } else {  // cross_entropy_grad: dloss (p - onehot)
        const double hot = (*labels)[r] == static_cast<std::int32_t>(c) ? 1 : 0;
        const double difference = std::abs(e.weight[c] - hot);
        out[i] = (std::abs(dloss->value[r]) + dloss->error[r]) * (p_error + tiny + 2 * unit * difference) +
                 dloss->error[r] * difference;
      }
    }
  }
  return out;
}

}  // namespace detail

/// All nodes that `outputs` depend on, interpreted in double, with the bound of a float program's error.
/// Throws Error for an op without a rule.
inline std::vector<Bounded> interpret_bounded(const Graph& graph, std::span<const Value> outputs,
                                              const autodiff::Feeds<double>& feeds) {
  using namespace detail;
  std::map<int, Bounded> known;
  std::vector<int> pending;
  for (const Value& v : outputs) pending.push_back(v.id);
  while (!pending.empty()) {
    const int id = pending.back();
    pending.pop_back();
    if (!known.try_emplace(id).second) continue;
    for (const Value& in : graph.node(id).inputs) pending.push_back(in.id);
  }
  std::vector<Value> all;
  for (const auto& [id, bounded] : known) all.push_back({const_cast<Graph*>(&graph), id});
  const auto values = autodiff::interpret<double>(graph, all, feeds);
  std::map<int, std::vector<std::int32_t>> labels;

  std::size_t at = 0;
  for (auto& entry : known) {  // in ascending order: inputs come first
    const int id = entry.first;
    Bounded& own = entry.second;
    own.value = values[at++];
    own.error.assign(own.value.size(), 0);
    const Node& node = graph.node(id);
    if (node.dtype == autodiff::DType::I32) labels[id].assign(own.value.begin(), own.value.end());
    if (node.source != autodiff::Source::op) continue;
    const std::string op = node.op->name().substr(0, node.op->name().find(' '));
    std::vector<std::vector<double>> size, error, reach;  // |x|, error, |x| + error of each input
    std::vector<const std::vector<std::int32_t>*> integers;
    for (const Value& in : node.inputs) {
      const Bounded& x = known.at(in.id);
      integers.push_back(in.dtype() == autodiff::DType::I32 ? &labels.at(in.id) : nullptr);
      error.push_back(x.error);
      size.push_back(x.value);
      reach.push_back(x.value);
      for (std::size_t i = 0; i < x.value.size(); ++i) {
        size.back()[i] = std::abs(x.value[i]);
        reach.back()[i] = size.back()[i] + x.error[i];
      }
    }
    const auto multilinear = [&](double terms) {
      const std::vector<double> most = apply(node, reach, integers), least = apply(node, size, integers);
      for (std::size_t i = 0; i < most.size(); ++i) {
        own.error[i] = most[i] - least[i] + terms * (unit * 1.001 * most[i] + tiny);
      }
    };
    if (op.starts_with("conv2d")) {  // every product and every sum of at most so many
      const bool filters = op == "conv2d_filter_grad";
      const auto& w = filters ? node.shape : node.inputs[1].shape();
      const auto& y = filters ? node.inputs[1].shape() : node.shape;
      multilinear(
          static_cast<double>(filters ? y.size() / std::max<std::size_t>(1, static_cast<std::size_t>(y[3]))
                                      : w.size() / std::max<std::size_t>(1, static_cast<std::size_t>(w[3]))) +
          2);
    } else if (op.starts_with("max_pool")) {  // which element is exact, or unknown; few of them are added
      const bool exact = std::all_of(error[0].begin(), error[0].end(), [](double e) { return e == 0; });
      const auto carried = apply(node, {known.at(node.inputs[0].id).value, reach[1]}, integers);
      for (std::size_t i = 0; i < own.error.size(); ++i) {
        const double below = op == "max_pool" ? 0 : 25 * unit * carried[i];
        own.error[i] = exact ? below : std::numeric_limits<double>::infinity();
      }
      const auto passed = apply(node, {known.at(node.inputs[0].id).value, error[1]}, integers);
      for (std::size_t i = 0; i < own.error.size(); ++i) own.error[i] += passed[i];
    } else if (op.starts_with("avg_pool")) {  // windows of at most 16 elements
      multilinear(18);
    } else if (op == "moments") {
      own.error = moments_error(known.at(node.inputs[0].id), own.value);
    } else if (op == "matmul") {  // each product is rounded, and so is each sum; sums of chunks once more
      std::vector<Shape> shapes;
      for (const Value& in : node.inputs) shapes.push_back(in.shape());
      const auto elements = static_cast<double>(std::max<std::size_t>(1, node.shape.size()));
      multilinear(node.op->flops(shapes, node.shape) / 2 / elements + 2);
    } else if (op == "mul") {
      multilinear(1);
    } else if (op == "sum" ||
               op == "mean") {  // formed in double; rounded by chunk, after division, at the end
      multilinear(3);
    } else if (op == "scale" || op == "dropout") {
      own.error = apply(node, error, integers);
      for (std::size_t i = 0; i < own.error.size(); ++i) {
        own.error[i] =
            std::abs(own.error[i]) + unit * (std::abs(own.value[i]) + std::abs(own.error[i])) + tiny;
      }
    } else if (op == "reshape" || op == "stop_gradient" || op == "transpose" || op == "broadcast" ||
               op == "slice" || op == "pad" || op == "concat" || op == "gather" || op == "scatter" ||
               op == "turn_filters" || op == "ballast" || op == "max") {
      own.error =
          apply(node, error, integers);  // elements move; the error of a maximum is at most the greatest
      for (double& e : own.error) e = std::max(e, 0.0);  // of no elements it is -infinity
    } else if (op == "argmax") {                         // exact on exact input, else unknown
      for (const double e : error[0]) {
        if (e > 0) own.error.assign(own.value.size(), std::numeric_limits<double>::infinity());
      }
    } else if (op == "softmax" || op == "log_softmax" || op.starts_with("cross_entropy")) {
      const Bounded* dloss = op == "cross_entropy_grad" ? &known.at(node.inputs[2].id) : nullptr;
      own.error = rows_error(op, node, known.at(node.inputs[0].id),
                             integers.size() > 1 ? integers[1] : nullptr, dloss, own.value);
    } else {
      const bool two = node.inputs.size() == 2;
      const Bounded &a = known.at(node.inputs[0].id), &b = known.at(node.inputs[two ? 1 : 0].id);
      const auto index = [&](const Shape& from) {
        const auto strides = autodiff::broadcast_strides(from, node.shape);
        std::vector<std::size_t> at_y(own.value.size());
        for (std::size_t i = 0; i < at_y.size(); ++i) {
          std::size_t rest = i, offset = 0;
          for (int axis = node.shape.rank() - 1; axis >= 0; --axis) {
            const auto n = static_cast<std::size_t>(node.shape[axis]);
            offset += rest % n * static_cast<std::size_t>(strides[static_cast<std::size_t>(axis)]);
            rest /= n;
          }
          at_y[i] = offset;
        }
        return at_y;
      };
      const auto ia = index(node.inputs[0].shape()), ib = index(node.inputs[two ? 1 : 0].shape());
      for (std::size_t i = 0; i < own.value.size(); ++i) {
        own.error[i] =
            elementwise(op, a.value[ia[i]], a.error[ia[i]], b.value[ib[i]], b.error[ib[i]], own.value[i]) +
            tiny;
      }
    }
  }
  std::vector<Bounded> out;
  for (const Value& v : outputs) out.push_back(known.at(v.id));
  return out;
}

/// "" where every element is within its bound, else a sentence about the worst one. What is not a number must
/// be so on both sides.
template <class T>
std::string beyond_bound(std::span<const T> got, const Bounded& want) {
  if (got.size() != want.value.size())
    return autodiff::text(got.size(), " elements instead of ", want.value.size());
  double worst = 1;
  std::string message;
  for (std::size_t i = 0; i < got.size(); ++i) {
    const auto x = static_cast<double>(got[i]);
    if (x == want.value[i] || (std::isnan(x) && std::isnan(want.value[i]))) continue;
    const double ratio = std::abs(x - want.value[i]) / want.error[i];
    if (ratio <= worst) continue;  // false for what is not a number
    worst = std::isnan(ratio) ? std::numeric_limits<double>::infinity() : ratio;
    message = autodiff::text("element ", i, " is ", x, ", want ", want.value[i], " within ", want.error[i]);
  }
  return message;
}

}  // namespace tests
