// Cases of dropout.
#pragma once

#include "tests/op_sources.h"

namespace tests::detail {

inline void dropout_cases(std::vector<OpCase>& out) {
  constexpr int keys = 1 << 30;  // that many different ones
  const autodiff::DropoutOptions ways[] = {{}, {.rate = 0.1, .layer = 7}, {.rate = 0.9}, {.rate = 0}};
  for (const Shape& shape :
       {Shape{1}, Shape{7, 5}, Shape{37, 3, 4}, Shape{0, 4}, Shape{4, 0}, Shape{2, 129}}) {
    for (const autodiff::DropoutOptions& way : ways) {
      const std::string how = autodiff::text(shape, " rate ", way.rate, ", layer ", way.layer);
      out.push_back({"dropout", how, [=](Sources& s) {
                       const Value x = s.batch(shape);
                       return dropout(x, s.labels(shape[0], keys), way);
                     }});
      out.push_back({"dropout", how + ", unbatched", [=](Sources& s) {
                       const Value x = s.fixed(shape);
                       return dropout(x, s.labels(shape[0], keys), way);
                     }});
    }
  }
}

}  // namespace tests::detail
