// Cases of softmax, losses, and classes as integers.
#pragma once

#include "tests/op_sources.h"

namespace tests::detail {

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

}  // namespace tests::detail
