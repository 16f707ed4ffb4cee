// Made-up samples for benchmarks, and a check that what is timed is right.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <span>
#include <vector>

#include "autodiff/tensor/error.h"
#include "autodiff/tensor/random.h"

namespace bench {

/// Samples cut into batches beforehand, so that a new batch costs a step and a loop the same: nothing.
class CutBatches {
 public:
  CutBatches(int count, int batch, int features, int classes)
      : count_(static_cast<std::size_t>(count)),
        batch_(static_cast<std::size_t>(batch)),
        features_(static_cast<std::size_t>(features)),
        x_(count_ * batch_ * features_),
        y_(count_ * batch_) {
    const autodiff::Random random(autodiff::Seed{1});
    for (std::size_t i = 0; i < x_.size(); ++i) x_[i] = static_cast<float>(random.normal(i));
    for (std::size_t i = 0; i < y_.size(); ++i) {
      y_[i] = x_[i * features_] + x_[i * features_ + 1] > 0
                  ? 0
                  : 1 + static_cast<int>(i % static_cast<std::size_t>(classes - 1));
    }
  }
  std::span<const float> features(std::size_t k) const {
    return std::span(x_).subspan(k % count_ * batch_ * features_, batch_ * features_);
  }
  std::span<const std::int32_t> labels(std::size_t k) const {
    return std::span(y_).subspan(k % count_ * batch_, batch_);
  }

 private:
  std::size_t count_, batch_, features_;
  std::vector<float> x_;
  std::vector<std::int32_t> y_;
};

/// Throws Error unless max |got - want| <= tolerance x max |want|.
inline void want_close(const char* what, std::span<const float> got, std::span<const float> want,
                       float tolerance) {
  float difference = 0, scale = 0;
  for (std::size_t i = 0; i < want.size(); ++i) {
    difference = std::max(difference, std::abs(got[i] - want[i]));
    scale = std::max(scale, std::abs(want[i]));
  }
  if (got.size() != want.size() || !(difference <= tolerance * scale)) {
    autodiff::fail(what, ": wrong result, ", difference, " off where the greatest is ", scale);
  }
}

}  // namespace bench
