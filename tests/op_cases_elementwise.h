// Cases of element-wise functions of one and of two values.
#pragma once

#include "tests/op_sources.h"

namespace tests::detail {

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

}  // namespace tests::detail
