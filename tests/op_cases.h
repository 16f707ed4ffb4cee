// One list of cases: what every op is tested and timed with. Values, gradients, all backends, guard bytes and
// the benchmark follow from it; a builder in autodiff/graph without a case makes derivatives_test fail.
// 300 lines and more, because a list is best read in one piece.
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

namespace detail {

inline void matmul_cases(std::vector<OpCase>& out) {
  struct Sizes {
    int m, k, n;
  };
  // The last one is cut into two chunks by its cost.
  for (const auto& [m, k, n] : {Sizes{7, 33, 5}, Sizes{1, 1, 1}, Sizes{0, 3, 4}, Sizes{37, 5, 1},
                                Sizes{130, 129, 131}, Sizes{240, 130, 140}}) {
    for (const bool ta : {false, true}) {
      for (const bool tb : {false, true}) {
        const Shape a = ta ? Shape{k, m} : Shape{m, k}, b = tb ? Shape{n, k} : Shape{k, n};
        const autodiff::MatmulOptions options{.transpose_a = ta, .transpose_b = tb};
        const std::string sizes = autodiff::text(a, ta ? "^T " : " ", b, tb ? "^T" : "");
        const auto with = [&](const char* roles, bool batch_a, bool batch_b) {
          out.push_back({"matmul", sizes + roles, [=](Sources& s) {
                           const Value va = batch_a ? s.batch(a) : s.fixed(a);
                           return matmul(va, batch_b ? s.batch(b) : s.fixed(b), options);
                         }});
        };
        with(", a batched", true, false);
        if (m > 130) continue;
        with(", both batched", true, true);
        with(", b batched", false, true);
        with(", none batched", false, false);
      }
    }
  }
  // A weight gradient whose sum over samples is cut into two chunks by its cost.
  out.push_back({"matmul", "[400, 110]^T [400, 100], both batched", [](Sources& s) {
                   const Value a = s.batch({400, 110});
                   return matmul(a, s.batch({400, 100}), {.transpose_a = true});
                 }});
}

inline void unary_cases(std::vector<OpCase>& out) {
  using Unary = Value (*)(Value);
  const std::pair<const char*, std::pair<Unary, Fill>> unary[] = {
      {"relu", {autodiff::relu, Fill::off_zero}},
      {"tanh", {autodiff::tanh, Fill::normal}},
      {"sigmoid", {autodiff::sigmoid, Fill::normal}},
      {"exp", {autodiff::exp, Fill::normal}},
      {"log", {autodiff::log, Fill::positive}},
      {"sqrt", {autodiff::sqrt, Fill::positive}},
      {"square", {autodiff::square, Fill::normal}},
      {"scale", {[](Value x) { return scale(x, -1.7f); }, {}}},
      {"shift", {[](Value x) { return shift(x, 0.3f); }, {}}}};
  for (const auto& [name, how] : unary) {
    const Unary f = how.first;
    const Fill filling = how.second;
    for (const Shape& shape : {Shape{1}, Shape{37, 3}, Shape{7, 5, 3, 11}, Shape{0, 4}, Shape{2, 1031}}) {
      out.push_back({name, shape.str(), [=](Sources& s) { return f(s.batch(shape, filling)); }});
    }
    out.push_back({name, "[]", [=](Sources& s) { return f(s.fixed({}, filling)); }});
  }
}

inline void binary_cases(std::vector<OpCase>& out) {
  using Binary = Value (*)(Value, Value);
  const std::pair<const char*, Binary> binary[] = {{"add", autodiff::add},
                                                   {"sub", autodiff::sub},
                                                   {"mul", autodiff::mul},
                                                   {"div", autodiff::div},
                                                   {"equal", autodiff::equal}};
  struct Sizes {
    Shape a, b;
    bool batch_b;
  };
  const Sizes sizes[] = {{{7, 33}, {7, 33}, true},
                         {{37, 5}, {5}, false},
                         {{37, 5}, {37, 1}, true},
                         {{37, 1}, {37, 5}, true},
                         {{5, 3}, {}, false},
                         {{5, 1}, {1, 3}, false},
                         {{5, 3}, {5, 3}, false},
                         {{2, 3, 4, 5}, {4, 1}, false},
                         {{6, 1, 4, 1}, {6, 3, 1, 5}, true},
                         {{2, 3, 4, 5}, {3, 1, 5}, false},
                         {{0, 4}, {4}, false},
                         {{0, 4}, {0, 1}, true},
                         {{1, 1}, {1, 1}, true},
                         {{3}, {3, 3}, true},
                         {{1, 4}, {6, 4}, true},
                         {{2, 3, 2, 2, 3}, {3, 1, 2, 1}, false},
                         {{9, 130}, {9, 130}, true}};
  for (const auto& [name, f] : binary) {
    const std::string op = name;
    const Fill fill_a = op == "equal" ? Fill::small_integers : Fill::normal;
    const Fill fill_b = op == "equal" ? Fill::small_integers : op == "div" ? Fill::positive : Fill::normal;
    for (const Sizes& z : sizes) {
      const Shape a = z.a, b = z.b;
      const auto build = [=, f = f, batch_b = z.batch_b](bool swapped) {
        return [=](Sources& s) {
          const auto source = [&](const Shape& shape, bool batched, Fill filling) {
            return batched ? s.batch(shape, filling) : s.fixed(shape, filling);
          };
          const Value first = swapped ? source(b, batch_b, fill_a) : source(a, true, fill_a);
          return f(first, swapped ? source(a, true, fill_b) : source(b, batch_b, fill_b));
        };
      };
      out.push_back({op, autodiff::text(a, " ", b), build(false)});
      out.push_back({op, autodiff::text(b, " ", a, " (second batched)"), build(true)});
    }
    out.push_back({op, "[4, 3] with itself", [f = f, fill_b](Sources& s) {
                     const Value x = s.batch({4, 3}, fill_b);
                     return f(x, x);
                   }});
  }
}

inline void reduce_cases(std::vector<OpCase>& out) {
  using Reduction = Value (*)(Value, const autodiff::ReduceOptions&);
  const std::pair<const char*, Reduction> reductions[] = {
      {"sum", autodiff::sum}, {"mean", autodiff::mean}, {"max", autodiff::max}};
  struct Sizes {
    Shape x;
    std::vector<int> axes;
  };
  const Sizes sizes[] = {{{7, 33}, {}},          {{7, 33}, {0}},
                         {{7, 33}, {-1}},        {{37}, {0}},
                         {{37, 1}, {1}},         {{5, 3, 4}, {1}},
                         {{5, 3, 4}, {0, 2}},    {{5, 3, 4}, {0, 1}},
                         {{3, 2, 4, 5}, {1, 3}}, {{3, 2, 4, 5}, {0, 1, 2}},
                         {{3, 2, 4, 5}, {2, 0}}, {{1, 1}, {0}},
                         {{20, 70}, {0}},        {{2, 1000}, {1}},
                         {{6, 130}, {0, 1}}};
  for (const auto& [name, f] : reductions) {
    for (const auto& [x, axes] : sizes) {
      std::string named;
      for (const int axis : axes) named += " " + std::to_string(axis);
      for (const bool keep : {false, true}) {
        for (const bool batched : {false, true}) {
          out.push_back({name,
                         autodiff::text(x, " axes", axes.empty() ? " all" : named, keep ? " kept" : "",
                                        batched ? ", batched" : ""),
                         [=, f = f, shape = x, chosen = axes](Sources& s) {
                           const Value v =
                               batched ? s.batch(shape, Fill::distinct) : s.fixed(shape, Fill::distinct);
                           return f(v, {.axes = chosen, .keep_axes = keep});
                         }});
        }
      }
    }
    out.push_back({name, "[]", [f = f](Sources& s) { return f(s.fixed({}), {}); }});
    out.push_back({name, "[0, 3] axis 1", [f = f](Sources& s) { return f(s.batch({0, 3}), {.axes = {1}}); }});
  }
  out.push_back({"sum", "[0, 3] axis 0", [](Sources& s) { return sum(s.batch({0, 3}), {.axes = {0}}); }});
  out.push_back({"sum", "[0, 3] all", [](Sources& s) { return sum(s.batch({0, 3})); }});
  out.push_back({"sum", "[4, 0] axis 1", [](Sources& s) { return sum(s.batch({4, 0}), {.axes = {1}}); }});
  const std::pair<Shape, Shape> to[] = {{{7, 5}, {5}},    {{7, 5}, {7, 1}},    {{7, 5}, {}},
                                        {{7, 5}, {1, 1}}, {{4, 3, 2}, {1, 2}}, {{7, 5}, {7, 5}},
                                        {{0, 5}, {5}},    {{2, 3, 4}, {3, 1}}};
  for (const auto& [x, like] : to) {
    out.push_back({"sum_to", autodiff::text(x, " to ", like), [x = x, like = like](Sources& s) {
                     return sum_to(s.batch(x), s.graph.parameter("like", like));
                   }});
  }
}

inline void movement_cases(std::vector<OpCase>& out) {
  const auto one = [&](const char* op, const Shape& x, const std::string& how,
                       std::function<Value(Value)> f) {
    out.push_back({op, x.str() + " " + how, [=](Sources& s) { return f(s.batch(x)); }});
    out.push_back({op, x.str() + " " + how + ", unbatched", [=](Sources& s) { return f(s.fixed(x)); }});
  };
  const std::pair<Shape, Shape> reshapes[] = {{{6, 4}, {6, 2, 2}}, {{6, 4}, {24}},       {{6, 4}, {3, 8}},
                                              {{6, 1}, {6}},       {{0, 4}, {0, 2, 2}},  {{0, 4}, {3, 0}},
                                              {{1}, {}},           {{37, 2, 3}, {37, 6}}};
  for (const auto& [x, to] : reshapes) {
    // The product in front makes it a view of an intermediate.
    one("reshape", x, "to " + to.str(), [to = to](Value v) { return reshape(v * 1.5f, to); });
  }
  one("flatten", {7, 2, 3}, "", [](Value v) { return flatten(v); });
  one("flatten", {4}, "", [](Value v) { return flatten(v); });
  one("flatten", {0, 3, 2}, "", [](Value v) { return flatten(v); });
  const std::pair<Shape, std::vector<int>> orders[] = {{{7, 5}, {}},
                                                       {{7, 3, 4}, {0, 2, 1}},
                                                       {{7, 3, 4}, {2, 0, 1}},
                                                       {{7, 3, 4}, {1, 2, 0}},
                                                       {{5, 2, 3, 4}, {0, 3, 1, 2}},
                                                       {{5, 2, 3, 4}, {3, 2, 1, 0}},
                                                       {{0, 4}, {1, 0}},
                                                       {{37, 1}, {1, 0}},
                                                       {{6}, {0}},
                                                       {{2, 3, 2, 3, 2, 2}, {5, 0, 3, 1, 4, 2}}};
  for (const auto& [x, axes] : orders) {
    std::string named = "axes";
    for (const int axis : axes) named += " " + std::to_string(axis);
    one("transpose", x, named, [axes = axes](Value v) { return transpose(v, axes); });
  }
  const std::pair<Shape, Shape> repeats[] = {{{7, 1}, {7, 5}},    {{1, 5}, {7, 5}},       {{5}, {7, 5}},
                                             {{1}, {4, 3}},       {{3, 1, 2}, {3, 4, 2}}, {{7, 5}, {7, 5}},
                                             {{2, 1}, {3, 2, 4}}, {{0, 1}, {0, 3}},       {{1, 3}, {0, 3}}};
  for (const auto& [x, to] : repeats) {
    one("broadcast_to", x, "to " + to.str(), [to = to](Value v) { return broadcast_to(v, to); });
    for (const bool batched : {false, true}) {
      one("broadcast_like", x, "like " + to.str() + (batched ? ", batched" : ""), [=, to = to](Value v) {
        return broadcast_like(v, batched ? v.graph->input(to, "like") : v.graph->parameter("like", to));
      });
    }
  }
  one("broadcast_like", {5}, "like [5, 5], batched", [](Value v) {
    return broadcast_like(v, v.graph->input({5, 5}, "like"));
  });
  one("zeros_like", {7, 3}, "", [](Value v) { return zeros_like(v); });
  struct Range {
    Shape x;
    int axis, a, b;
  };
  for (const auto& [x, axis, a, b] :
       {Range{{9, 5}, 0, 2, 7}, Range{{9, 5}, 1, 1, 4}, Range{{9, 5}, -1, 3, 3}, Range{{4, 3, 6, 2}, 2, 5, 6},
        Range{{4, 3}, 0, 0, 4}, Range{{0, 3}, 1, 0, 2}}) {
    one("slice", x, autodiff::text("axis ", axis, " [", a, ", ", b, ")"),
        [=, axis = axis, a = a, b = b](Value v) { return slice(v, axis, a, b); });
  }
  for (const auto& [x, axis, a, b] :
       {Range{{9, 5}, 0, 2, 1}, Range{{9, 5}, 1, 0, 4}, Range{{9, 5}, -1, 3, 0}, Range{{4, 3, 2, 2}, 2, 5, 6},
        Range{{4, 3}, 0, 0, 0}, Range{{0, 3}, 0, 1, 1}}) {
    one("pad", x, autodiff::text("axis ", axis, " by ", a, " and ", b),
        [=, axis = axis, a = a, b = b](Value v) { return pad(v, axis, a, b); });
  }
  const std::pair<std::vector<Shape>, int> parts[] = {
      {{{7, 2}, {7, 3}}, 1}, {{{2, 3}, {4, 3}, {1, 3}}, 0}, {{{5, 2, 3}, {5, 1, 3}}, -2}, {{{4, 3}}, 1},
      {{{3, 0}, {3, 2}}, 1}, {{{0, 2}, {0, 1}}, 1},         {{{6, 2, 2}, {6, 2, 1}}, 2},  {{{3}, {2}}, 0}};
  for (const auto& [shapes, axis] : parts) {
    for (const int batched : {0, 1, 2}) {  // none, the first one, all
      std::string sizes = "axis " + std::to_string(axis);
      for (const Shape& shape : shapes) sizes += " " + shape.str();
      out.push_back({"concat",
                     sizes + (batched == 0   ? ""
                              : batched == 1 ? ", first batched"
                                             : ", batched"),
                     [=, shapes = shapes, axis = axis](Sources& s) {
                       std::vector<Value> values;
                       for (std::size_t i = 0; i < shapes.size(); ++i) {
                         const bool batch = batched == 2 || (batched == 1 && i == 0);
                         values.push_back(batch ? s.batch(shapes[i]) : s.fixed(shapes[i]));
                       }
                       return concat(values, axis);
                     }});
    }
  }
  one("stop_gradient", {7, 3}, "", [](Value v) { return stop_gradient(v * 2.0f); });
}

inline void class_cases(std::vector<OpCase>& out) {
  const std::pair<const char*, Value (*)(Value)> softmaxes[] = {{"softmax", autodiff::softmax},
                                                                {"log_softmax", autodiff::log_softmax}};
  for (const auto& [name, f] : softmaxes) {
    for (const Shape& x :
         {Shape{7, 10}, Shape{37, 1}, Shape{5}, Shape{2, 3, 17}, Shape{0, 3}, Shape{3, 129}}) {
      out.push_back({name, x.str(), [=, f = f](Sources& s) { return f(s.batch(x)); }});
      out.push_back({name, x.str() + " wide, unbatched", [=, f = f](Sources& s) {
                       return f(scale(s.fixed(x), 20.0f));  // exponents far apart
                     }});
    }
  }
  struct Sizes {
    int n, classes;
  };
  for (const auto& [n, classes] :
       {Sizes{7, 10}, Sizes{37, 3}, Sizes{1, 1}, Sizes{0, 5}, Sizes{20, 2}, Sizes{5, 130}}) {
    const Shape z{n, classes};
    for (const bool batched : {false, true}) {
      const std::string sizes = z.str() + (batched ? ", batched" : "");
      const auto source = [=](Sources& s, Fill filling) {
        return batched ? s.batch(z, filling) : s.fixed(z, filling);
      };
      const auto add = [&](const char* op, const std::string& what, std::function<Value(Sources&)> build) {
        out.push_back({op, sizes + what, std::move(build)});
      };
      add("cross_entropy", ", labels", [=, n = n, classes = classes](Sources& s) {
        return cross_entropy(source(s, Fill::normal), s.labels(n, classes));
      });
      add("cross_entropy", ", probabilities", [=](Sources& s) {
        const Value logits = source(s, Fill::normal);
        return cross_entropy(logits, source(s, Fill::probabilities));
      });
      add("kl_divergence", "", [=](Sources& s) {
        const Value p = source(s, Fill::normal);
        return kl_divergence(p, source(s, Fill::normal));
      });
      add("kl_divergence", ", student second and fixed teacher", [=](Sources& s) {
        const Value teacher = s.fixed(z);
        return kl_divergence(teacher, source(s, Fill::normal));
      });
      add("argmax", "", [=](Sources& s) { return argmax(source(s, Fill::distinct)); });
      add("argmax", ", ties", [=](Sources& s) { return argmax(source(s, Fill::small_integers)); });
      add("gather", "", [=, n = n, classes = classes](Sources& s) {
        return gather(source(s, Fill::normal), s.labels(n, classes));
      });
      add("scatter", "", [=, n = n, classes = classes](Sources& s) {
        const Value x = batched ? s.batch({n}) : s.fixed({n});
        return scatter(x, s.labels(n, classes), classes);
      });
    }
    out.push_back({"one_hot", z.str(), [n = n, classes = classes](Sources& s) {
                     return one_hot(s.labels(n, classes), classes);
                   }});
  }
}

inline void conv2d_cases(std::vector<OpCase>& out);  // op_cases_conv.h
inline void pool_cases(std::vector<OpCase>& out);
inline void moments_cases(std::vector<OpCase>& out);

}  // namespace detail

/// All cases.
inline const std::vector<OpCase>& op_cases() {
  static const std::vector<OpCase> cases = [] {
    std::vector<OpCase> out;
    detail::matmul_cases(out);
    detail::unary_cases(out);
    detail::binary_cases(out);
    detail::reduce_cases(out);
    detail::movement_cases(out);
    detail::class_cases(out);
    detail::conv2d_cases(out);
    detail::pool_cases(out);
    detail::moments_cases(out);
    return out;
  }();
  return cases;
}

}  // namespace tests

#include "tests/op_cases_conv.h"  // IWYU pragma: export
