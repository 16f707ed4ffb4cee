// Cases of matrix products.
#pragma once

#include "tests/op_sources.h"

namespace tests::detail {

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

// Stacks of matrices: two of them, one and a matrix that meets all, and the sum over two.
inline void matmul_stack_cases(std::vector<OpCase>& out) {
  struct Sizes {
    std::vector<int> leading;
    int m, k, n;
  };
  const Sizes all[] = {{{7}, 3, 5, 2}, {{1}, 1, 1, 1},    {{5, 2}, 4, 3, 6},    {{0, 2}, 3, 2, 4},
                       {{3}, 0, 2, 3}, {{4, 2}, 3, 0, 2}, {{3, 2, 2}, 2, 3, 5}, {{37}, 1, 33, 1}};
  const auto matrix = [](std::vector<int> dims, int rows, int cols, bool transposed) {
    dims.push_back(transposed ? cols : rows);
    dims.push_back(transposed ? rows : cols);
    return Shape(dims);
  };
  for (const auto& [leading, m, k, n] : all) {
    for (const bool ta : {false, true}) {
      for (const bool tb : {false, true}) {
        const Shape a = matrix({}, m, k, ta), b = matrix({}, k, n, tb);
        const Shape as = matrix(leading, m, k, ta), bs = matrix(leading, k, n, tb);
        const auto with = [&](const Shape& x, const Shape& y, const char* roles, bool sum = false) {
          const std::string batched = roles;
          const autodiff::MatmulOptions options{.transpose_a = ta, .transpose_b = tb, .sum_stack = sum};
          out.push_back({"matmul",
                         autodiff::text(x, ta ? "^T " : " ", y, tb ? "^T" : "", sum ? " summed" : "", ", ",
                                        roles, " batched"),
                         [=](Sources& s) {
                           const Value va = batched == "both" || batched == "a" ? s.batch(x) : s.fixed(x);
                           return matmul(va, batched == "both" || batched == "b" ? s.batch(y) : s.fixed(y),
                                         options);
                         }});
        };
        for (const char* roles : {"both", "a", "b", "none"}) {
          with(as, bs, roles);
          with(as, bs, roles, true);
        }
        with(as, b, "a");
        with(as, b, "both");
        with(as, b, "none");
        with(a, bs, "b");
        with(a, bs, "none");
      }
    }
  }
  // Tokens through a dense layer and their weight gradient, cut into chunks by their cost.
  out.push_back({"matmul", "[80, 5, 110] [110, 100], a batched", [](Sources& s) {
                   const Value x = s.batch({80, 5, 110});
                   return matmul(x, s.fixed({110, 100}));
                 }});
}

}  // namespace tests::detail
