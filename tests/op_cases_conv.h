// Cases of the ops on images.
#pragma once

#include "tests/op_sources.h"

namespace tests::detail {

inline void conv2d_cases(std::vector<OpCase>& out) {
  using autodiff::Conv2dOptions;
  struct Sizes {
    Shape x, w;
    Conv2dOptions options;
    const char* what;
  };
  const Sizes sizes[] = {
      {{2, 5, 7, 3}, {3, 3, 3, 4}, {}, "same"},
      {{3, 8, 8, 2}, {3, 3, 2, 5}, {.stride = 2}, "same, stride 2, even"},
      {{2, 9, 5, 3}, {3, 3, 3, 2}, {.stride = 2}, "same, stride 2, odd"},
      {{2, 6, 6, 3}, {3, 3, 3, 2}, {.padding = autodiff::no_padding}, "valid"},
      {{1, 7, 6, 2},
       {3, 2, 2, 3},
       {.stride = 3, .padding = autodiff::Padding{2, 0, 1, 1}},
       "explicit padding"},
      {{2, 4, 4, 3}, {1, 1, 3, 5}, {.stride = 2}, "1 x 1, stride 2"},
      {{2, 3, 3, 17}, {1, 1, 17, 33}, {}, "1 x 1, wide"},
      {{1, 9, 9, 2}, {3, 3, 2, 2}, {.dilation = 2}, "dilation 2"},
      {{2, 6, 5, 4}, {3, 3, 2, 6}, {.groups = 2}, "2 groups"},
      {{2, 6, 6, 3}, {3, 3, 1, 3}, {.stride = 2, .groups = 3}, "depthwise, stride 2"},
      {{1, 1, 1, 1}, {1, 1, 1, 1}, {}, "one"},
      {{1, 2, 2, 1}, {7, 7, 1, 1}, {.stride = 2, .padding = autodiff::pad_all(3)}, "window beyond the image"},
      {{0, 4, 4, 2}, {3, 3, 2, 3}, {}, "no images"},
      {{2, 6, 9, 16}, {3, 3, 16, 16}, {}, "16 channels"},
      {{1, 4, 5, 16}, {3, 3, 16, 32}, {.stride = 2}, "16 to 32 channels, stride 2"}};
  for (const Sizes& z : sizes) {
    const auto build = [z](bool images, bool filters) {
      return [=](Sources& s) {
        const Value x = images ? s.batch(z.x) : s.fixed(z.x);
        return conv2d(x, filters ? s.batch(z.w) : s.fixed(z.w), z.options);
      };
    };
    const std::string what = autodiff::text(z.x, " ", z.w, " ", z.what);
    out.push_back({"conv2d", what, build(true, false)});
    if (z.options.groups == 1 && z.x[0] == 2)
      out.push_back({"conv2d", what + ", nothing batched", build(false, false)});
  }
}

inline void pool_cases(std::vector<OpCase>& out) {
  using autodiff::PoolOptions;
  using Pool = Value (*)(Value, const PoolOptions&);
  struct Sizes {
    Shape x;
    PoolOptions options;
  };
  const Sizes sizes[] = {{{2, 4, 6, 3}, {}},
                         {{3, 5, 7, 2}, {}},
                         {{2, 6, 6, 2}, {.window = 3, .stride = 2, .padding = {0, 1, 0, 1}}},
                         {{1, 5, 5, 1}, {.window = 3, .stride = 1, .padding = autodiff::pad_all(1)}},
                         {{2, 3, 3, 17}, {.window = 1}},
                         {{1, 4, 4, 2}, {.window = 4}},
                         {{0, 4, 4, 2}, {}}};
  const std::pair<const char*, Pool> pools[] = {{"max_pool", autodiff::max_pool},
                                                {"avg_pool", autodiff::avg_pool}};
  for (const auto& [name, f] : pools) {
    for (const Sizes& z : sizes) {
      const Fill filling = std::string(name) == "max_pool" ? Fill::distinct : Fill::normal;
      const std::string what = autodiff::text(z.x, " window ", z.options.window, " stride ",
                                              z.options.stride.value_or(z.options.window));
      out.push_back({name, what, [=, f = f](Sources& s) { return f(s.batch(z.x, filling), z.options); }});
      out.push_back({name, what + ", unbatched",
                     [=, f = f](Sources& s) { return f(s.fixed(z.x, filling), z.options); }});
    }
  }
  out.push_back({"max_pool", "[2, 4, 4, 3], ties", [](Sources& s) {
                   return max_pool(s.batch({2, 4, 4, 3}, Fill::small_integers));
                 }});
  for (const Shape& x : {Shape{2, 3, 5, 4}, Shape{0, 2, 2, 3}}) {
    out.push_back({"global_avg_pool", x.str(), [=](Sources& s) { return global_avg_pool(s.batch(x)); }});
  }
}

inline void moments_cases(std::vector<OpCase>& out) {
  for (const Shape& x : {Shape{7, 3, 5, 4}, Shape{37, 5}, Shape{1, 1}, Shape{5, 67}, Shape{6}}) {
    out.push_back({"moments", x.str(), [=](Sources& s) { return moments(s.batch(x)); }});
    out.push_back({"moments", x.str() + ", unbatched", [=](Sources& s) { return moments(s.fixed(x)); }});
  }
  out.push_back({"moments", "[9, 2, 3], far from zero", [](Sources& s) {
                   return moments(shift(s.batch({9, 2, 3}), 100.0f));
                 }});
}

}  // namespace tests::detail
