// Derivatives against the complex step: for an analytic f and h as small as one likes,
//   f'(x) d = Im f(x + i h d) / h    without any cancellation,
// so that the gradient, interpreted in double, must agree to rounding.
#include <filesystem>
#include <fstream>
#include <iomanip>
#include <iostream>
#include <regex>
#include <set>
#include <sstream>

#include "autodiff/graph/ops.h"
#include "autodiff/program/reference.h"
#include "tests/catch.h"
#include "tests/op_cases.h"

using namespace autodiff;
using namespace tests;

namespace {

using Complex = std::complex<double>;

// sum over i of <a_i, b_i>, b_i new sources of random numbers.
Value weighted_sum(std::span<const Value> values, Sources& sources) {
  Value total;
  for (const Value& v : values) {
    const Value weights =
        v.batched() && v.shape().rank() > 0 ? sources.batch(v.shape()) : sources.fixed(v.shape());
    const Value term = sum(v * weights);
    total = total.valid() ? total + term : term;
  }
  return total;
}

std::vector<Value> float_sources(const Sources& sources) {
  std::vector<Value> out;
  for (const OpSource& s : sources.list) {
    if (s.fill != Fill::classes) out.push_back(s.value);
  }
  return out;
}

struct Slopes {
  double step = 0, gradient = 0, scale = 0;  // both oracles, and the size of the terms that are summed
};

// d loss along a random direction of `wrt`: by the complex step, and as <gradient, direction>.
Slopes slopes(const Graph& graph, Value loss, std::span<const Value> wrt, std::span<const Value> gradients,
              const Filled& filled) {
  constexpr double h = 1e-30;
  Feeds<Complex> moved = filled.feeds<Complex>();
  const auto g = interpret<double>(graph, gradients, filled.feeds<double>());
  Slopes out;
  for (std::size_t k = 0; k < wrt.size(); ++k) {
    const Random random(Seed{99}.stream(static_cast<std::uint64_t>(wrt[k].id)));
    auto& x = moved.values.at(wrt[k].id);
    REQUIRE(g[k].size() == x.size());
    for (std::size_t i = 0; i < x.size(); ++i) {
      const double d = random.normal(i);
      x[i] += Complex(0, h * d);
      out.gradient += g[k][i] * d;
      out.scale += std::abs(g[k][i] * d);
    }
  }
  out.step = interpret<Complex>(graph, std::span<const Value>(&loss, 1), moved)[0][0].imag() / h;
  return out;
}

// 1e-15 is for gradients that are exactly zero, as of x / x: the step is left with two roundings of terms
// near 1.
bool agree(const Slopes& s) { return std::abs(s.step - s.gradient) <= 1e-12 * s.scale + 1e-15; }

std::vector<double> values_of(Value v, const Feeds<double>& feeds = {}) {
  return interpret<double>(*v.graph, std::span<const Value>(&v, 1), feeds)[0];
}

// How often each op, by the name of its nodes, was met by an oracle: its value, and by the first and second
// derivative of a graph that contains it.
struct Met {
  int value = 0, first = 0, second = 0;
};
std::map<std::string, Met> nodes_met;
std::set<std::string> builders_met;

void count_nodes(const Graph& graph, Value from, int Met::*oracle) {
  std::vector<char> live(static_cast<std::size_t>(from.id) + 1);
  live.back() = true;
  std::set<std::string> names;
  for (int id = from.id; id >= 0; --id) {
    if (!live[static_cast<std::size_t>(id)]) continue;
    const Node& node = graph.node(id);
    for (const Value& in : node.inputs) live[static_cast<std::size_t>(in.id)] = true;
    if (node.op) names.insert(node.op->name());
  }
  for (const std::string& name : names) ++(nodes_met[name].*oracle);
}

// The words between quotes in lines that name ops: `name() const override { return "x"; }` and name_of's
// lists.
std::set<std::string> op_names_in_sources() {
  std::set<std::string> names;
  for (const auto& file : std::filesystem::directory_iterator(EV3_SOURCE_DIR "/autodiff/graph")) {
    if (file.path().extension() != ".cpp") continue;
    std::stringstream content;
    content << std::ifstream(file.path()).rdbuf();
    const std::string code = content.str();
    static const std::regex naming(R"((name\(\) const override|names\[\] =) *\{[^}]*\})"),
        word(R"re("(\w+)")re");
    for (std::sregex_iterator n(code.begin(), code.end(), naming), none; n != none; ++n) {
      const std::string list = n->str();
      for (std::sregex_iterator w(list.begin(), list.end(), word); w != none; ++w) names.insert((*w)[1]);
    }
  }
  return names;
}

// Functions `Value name(` declared at the beginning of a line of a header.
std::set<std::string> builders_in_headers() {
  std::set<std::string> names;
  for (const auto& file : std::filesystem::directory_iterator(EV3_SOURCE_DIR "/autodiff/graph")) {
    if (file.path().extension() != ".h") continue;
    std::ifstream in(file.path());
    static const std::regex declaration(R"(^Value (\w+)\(.*)");
    std::smatch match;
    for (std::string line; std::getline(in, line);) {
      if (std::regex_match(line, match, declaration)) names.insert(match[1]);
    }
  }
  names.erase("gradient");
  return names;
}

}  // namespace

TEST_CASE("first and second derivatives of every op agree with the complex step to 1e-12") {
  for (const OpCase& c : op_cases()) {
    INFO(c.op << " " << c.sizes);
    Graph g;
    Sources sources{g};
    const Value y = c.build(sources);
    builders_met.insert(c.op);
    count_nodes(g, y, &Met::value);
    if (y.dtype() != DType::F32) continue;
    const std::vector<Value> wrt = float_sources(sources);
    const Value loss = weighted_sum(std::span<const Value>(&y, 1), sources);
    const std::vector<Value> first = gradient(loss, wrt);
    for (const Value& v : first) count_nodes(g, v, &Met::value);  // ops_test compares gradients too
    for (std::size_t i = 0; i < wrt.size(); ++i) CHECK(first[i].shape() == wrt[i].shape());
    if (wrt.empty()) continue;

    const Value curvature = weighted_sum(first, sources);
    const std::vector<Value> second = gradient(curvature, wrt);
    const Filled filled = fill(sources.list, Seed{11});
    const auto check = [&](Value of, std::span<const Value> gradients, int Met::*oracle) {
      const Slopes s = slopes(g, of, wrt, gradients, filled);
      INFO("complex step " << s.step << ", gradient " << s.gradient << ", terms " << s.scale);
      if (c.op == "stop_gradient") {
        CHECK(s.scale == 0);
        return;
      }
      CHECK(agree(s));
      count_nodes(g, of, oracle);
    };
    check(loss, first, &Met::first);
    check(curvature, second, &Met::second);
  }
}

TEST_CASE("where there is no derivative, or several, it is the one that is stated") {
  Graph g;
  const auto leaf = [&](const Shape& shape, std::vector<float> x) { return g.constant(Tensor(shape, x)); };
  const auto slope = [&](Value y, Value x) { return values_of(gradient(sum(y), x)); };

  const Value kinks = leaf({3}, {-1, 0, 2});
  CHECK(slope(relu(kinks), kinks) == std::vector<double>{0, 0, 1});
  CHECK(slope(equal(kinks, kinks), kinks) == std::vector<double>{0, 0, 0});
  CHECK(slope(stop_gradient(kinks) * kinks, kinks) == std::vector<double>{-1, 0, 2});
  CHECK(slope(gradient(sum(square(stop_gradient(kinks))), kinks), kinks) == std::vector<double>{0, 0, 0});

  const Value ties = leaf({2, 3}, {5, 1, 5, 2, 2, 2});
  const double third = 1.0 / 3;
  CHECK(slope(max(ties, {.axes = {1}}), ties) == std::vector<double>{0.5, 0, 0.5, third, third, third});
  CHECK(slope(max(ties), ties) == std::vector<double>{0.5, 0, 0.5, 0, 0, 0});
  CHECK(slope(max(ties, {.axes = {0}}), ties) == std::vector<double>{1, 0, 1, 0, 1, 0});
  // Also over axes that are no neighbours: three elements attain the maximum 5, in two columns of two rows.
  const Value apart = leaf({2, 1, 2}, {5, 5, 5, 1});
  CHECK(slope(max(apart, {.axes = {0, 2}}), apart) == std::vector<double>{third, third, third, 0});

  // The gradient does not pass through labels: argmax is a constant of it.
  const Value logits = leaf({2, 2}, {1, 2, 4, 3});
  CHECK(slope(gather(logits, argmax(logits)), logits) == std::vector<double>{0, 1, 1, 0});
  CHECK(slope(one_hot(argmax(logits), 2), logits) == std::vector<double>{0, 0, 0, 0});
}

TEST_CASE("a Hessian times a vector, of a network with tanh") {
  Graph g;
  Sources s{g};
  const Value x = s.batch({9, 4}), labels = s.labels(9, 3);
  const Value w1 = s.fixed({4, 6}), b1 = s.fixed({6}), w2 = s.fixed({6, 3}), b2 = s.fixed({3});
  const Value loss = mean(cross_entropy(matmul(tanh(matmul(x, w1) + b1), w2) + b2, labels));
  const std::vector<Value> weights = {w1, b1, w2, b2};
  const std::vector<Value> first = gradient(loss, weights);
  const Value along = weighted_sum(first, s);  // <gradient, v>
  const std::vector<Value> hessian_v = gradient(along, weights);
  const Filled filled = fill(s.list, Seed{5});

  // H v element by element, by the complex step of the gradient along v: v are the last four sources.
  constexpr double h = 1e-30;
  Feeds<Complex> moved = filled.feeds<Complex>();
  for (std::size_t k = 0; k < weights.size(); ++k) {
    const auto& v = filled.values.at(s.list[s.list.size() - 4 + k].value.id);
    auto& w = moved.values.at(weights[k].id);
    REQUIRE(v.size() == w.size());
    for (std::size_t i = 0; i < w.size(); ++i) w[i] += Complex(0, h * static_cast<double>(v[i]));
  }
  const auto want = interpret<Complex>(g, first, moved);
  const auto got = interpret<double>(g, hessian_v, filled.feeds<double>());
  double largest = 0;
  for (const auto& block : got) {
    for (const double value : block) largest = std::max(largest, std::abs(value));
  }
  CHECK(largest > 0.01);
  for (std::size_t k = 0; k < weights.size(); ++k) {
    for (std::size_t i = 0; i < got[k].size(); ++i) {
      CHECK(std::abs(got[k][i] - want[k][i].imag() / h) <= 1e-12 * largest);
    }
  }
}

TEST_CASE("every op has an oracle") {  // the last one: it lists what those above have met
  std::cout << "op                  value   derivative   second   (numbers of cases)\n";
  for (const auto& [name, met] : nodes_met) {
    const bool integer = name == "argmax", stopped = name == "stop_gradient";
    std::cout << std::left << std::setw(20) << name << "double " << std::setw(5) << met.value;
    if (integer) {
      std::cout << " none: of integers\n";
    } else if (stopped) {
      std::cout << " zero, as stated\n";
    } else {
      std::cout << " complex step " << std::setw(5) << met.first << met.second << '\n';
    }
    if (!integer && !stopped) CHECK(met.first + met.second > 0);
  }
  if (nodes_met.empty()) FAIL("run together with the test of derivatives");
  std::set<std::string> words;
  for (const auto& [name, met] : nodes_met) words.insert(name.substr(0, name.find(' ')));
  words.insert({"pack_filters", "pack_columns"});  // made when compiling: tests/stages_test.cpp
  for (const std::string& name : op_names_in_sources()) {
    INFO("op '" << name << "' is in autodiff/graph, but no case of tests/op_cases.h leads to it");
    CHECK(words.contains(name));
  }
  CHECK(op_names_in_sources().size() > 20);  // the search itself works
  for (const std::string& name : builders_in_headers()) {
    INFO("builder '" << name << "' is in autodiff/graph, but has no case in tests/op_cases.h");
    CHECK(builders_met.contains(name));
  }
  CHECK(builders_in_headers().size() > 25);
}
