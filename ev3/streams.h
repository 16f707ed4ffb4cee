// Where the three phases get their batches from.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "datasets/stream.h"
#include "nn/training.h"

namespace ev3 {

/// One batch: features [batch, sample...] and what they are compared with. It looks into `Batches` or a
/// buffer.
struct BatchView {
  std::span<const float> features;
  std::span<const std::int32_t> labels;  ///< [batch], or empty where the stream has logits only
  std::span<const float> logits;         ///< [batch, classes] of a teacher, or empty

  nn::Target target() const { return {labels, logits}; }
};

/// An endless or recorded sequence of batches with random access: batch k is always the same.
class Batches {
 public:
  virtual ~Batches() = default;
  /// Samples in a batch.
  virtual int batch() const = 0;
  /// Batch k; may use `buffer` for its elements. May be called from several threads, each with a buffer of
  /// its own.
  virtual BatchView read(std::int64_t k, datasets::Batch& buffer) const = 0;
  /// Where batches are samples of a data set: how they are drawn, so that a device can gather them itself.
  virtual const datasets::Stream* stream() const { return nullptr; }
};

/// Batches of a data set, shuffled anew every epoch.
class PoolBatches final : public Batches {
 public:
  explicit PoolBatches(datasets::Stream stream) : stream_(std::move(stream)) {}
  int batch() const override { return stream_.batch(); }
  BatchView read(std::int64_t k, datasets::Batch& buffer) const override {
    stream_.read(k, buffer);
    return {
        {buffer.features.data(), buffer.features.size()}, {buffer.labels.data(), buffer.labels.size()}, {}};
  }
  const datasets::Stream* stream() const override { return &stream_; }

 private:
  datasets::Stream stream_;
};

/// The streams of explore, assess and adapt. They must not share samples where honest bounds are wanted.
struct Streams {
  std::shared_ptr<const Batches> explore, assess, adapt;
};

/// `count` batches from `first` on, one after the other: the samples on which candidates are compared.
struct SampleSet {
  std::vector<float> features;
  std::vector<std::int32_t> labels;
};
SampleSet collect(const Batches& batches, std::int64_t first, int count);

}  // namespace ev3
