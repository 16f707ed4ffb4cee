// What the tests of EV3 share: batches made of random numbers, a metric that is told what to say, and a
// guard.
#pragma once

#include <algorithm>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "autodiff/kernels/backend.h"
#include "autodiff/kernels/parallel.h"
#include "ev3/evolution.h"

/// Batch k is a function of (seed, k): standard normal features; the class counts the features 0 ..
/// classes-2 that are positive, and is a random one for a share `noise` of the samples. Remembers which
/// batches were read.
class SyntheticBatches final : public ev3::Batches {
 public:
  struct Options {
    int features = 2, classes = 2, batch = 8;
    std::uint64_t seed = 1;
    double noise = 0.2;
  };
  explicit SyntheticBatches(const Options& options) : options_(options) {}

  int batch() const override { return options_.batch; }
  ev3::BatchView read(std::int64_t k, datasets::Batch& buffer) const override {
    {
      const std::lock_guard lock(mutex_);
      reads_.push_back(k);
    }
    const Options& o = options_;
    const autodiff::Random random(autodiff::Seed{o.seed}.stream(static_cast<std::uint64_t>(k)));
    buffer.features = autodiff::Tensor({o.batch, o.features});
    buffer.labels = autodiff::Labels({o.batch});
    const std::size_t values = buffer.features.size(), width = static_cast<std::size_t>(o.features);
    for (std::size_t i = 0; i < values; ++i) buffer.features[i] = static_cast<float>(random.normal(i));
    for (std::size_t i = 0; i < buffer.labels.size(); ++i) {
      int label = 0;
      for (std::size_t j = 0; j + 1 < static_cast<std::size_t>(o.classes); ++j) {
        label += buffer.features[i * width + j % width] > 0;
      }
      if (random.uniform(values + 2 * i) < o.noise) {
        label = static_cast<int>(random.below(values + 2 * i + 1, static_cast<std::uint64_t>(o.classes)));
      }
      buffer.labels[i] = label;
    }
    return {
        {buffer.features.data(), buffer.features.size()}, {buffer.labels.data(), buffer.labels.size()}, {}};
  }
  /// The batches read since the last call.
  std::vector<std::int64_t> reads() const {
    const std::lock_guard lock(mutex_);
    return std::exchange(reads_, {});
  }

 private:
  Options options_;
  mutable std::mutex mutex_;
  mutable std::vector<std::int64_t> reads_;
};

/// Streams of synthetic batches with seeds of their own.
inline ev3::Streams synthetic_streams(SyntheticBatches::Options options = {}) {
  const auto stream = [&](std::uint64_t index) {
    SyntheticBatches::Options own = options;
    own.seed = options.seed + 1000 * index;
    return std::make_shared<SyntheticBatches>(own);
  };
  return {stream(1), stream(2), stream(3)};
}

/// A network without hidden layer whose two biases are its quality: with `told_metric`, mean `mean` and
/// values `spread` above and below it in turn.
inline const nn::Mlp told_net{.inputs = {1}, .hidden = {}, .classes = 2};

inline nn::Parameters told(float mean, float spread) {
  nn::Parameters params(nn::layout(nn::Network(told_net)));
  params["dense1.bias"][0] = mean;
  params["dense1.bias"][1] = spread;
  return params;
}

inline nn::Metric told_metric() {
  return {"told", [](const nn::Predictions& p) {
            std::vector<double> values(p.size());
            for (std::size_t i = 0; i < values.size(); ++i) {
              values[i] = p[i][0] + (i % 2 ? -1.0 : 1.0) * static_cast<double>(p[i][1]);
            }
            return values;
          }};
}

/// The same step and moments, bit for bit but for the sign of zero.
inline bool equal(const nn::OptimizerState& a, const nn::OptimizerState& b) {
  return a.step == b.step && std::ranges::equal(a.moments, b.moments, [](const auto& x, const auto& y) {
           return std::equal(x.begin(), x.end(), y.begin(), y.end());
         });
}

/// Bits of all parameters, for exact comparison.
inline std::vector<float> values_of(const nn::Parameters& params) {
  return {params.values().begin(), params.values().end()};
}

/// Puts the number of threads and the backends back at the end of a test.
class KeepSettings {
 public:
  KeepSettings() = default;
  KeepSettings(const KeepSettings&) = delete;
  KeepSettings& operator=(const KeepSettings&) = delete;
  ~KeepSettings() {
    autodiff::kernels::set_threads(threads_);
    autodiff::kernels::set_default_backends(backends_);
  }

 private:
  int threads_ = autodiff::kernels::threads();
  autodiff::kernels::Backends backends_ = autodiff::kernels::default_backends();
};
