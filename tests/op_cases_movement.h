// Cases of ops that move elements.
#pragma once

#include "tests/op_sources.h"

namespace tests::detail {

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

}  // namespace tests::detail
