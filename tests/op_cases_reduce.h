// Cases of sums, means and maxima.
#pragma once

#include "tests/op_sources.h"

namespace tests::detail {

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

}  // namespace tests::detail
