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

}  // namespace tests::detail
