// Training and evaluation on a device: parameters, optimizer, data and gradient stay there, a step is
// recorded once and then played.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "autodiff/kernels/device.h"
#include "nn/evaluate.h"
#include "nn/training.h"

namespace nn {

/// Samples on the device, for all who train on them.
class DeviceSamples {
 public:
  /// Images of bytes [n, height, width, channels] and what a byte means [channels, 256], and their classes
  /// [n].
  DeviceSamples(std::span<const std::uint8_t> pixels, const autodiff::Shape& sample,
                std::span<const float> table, std::span<const std::int32_t> classes);
  /// Rows of numbers [n, width], and their classes [n].
  DeviceSamples(std::span<const float> rows, std::size_t width, std::span<const std::int32_t> classes);

  /// Records the gathering of `batch` samples [*step], and of their classes where `labels` is not null.
  void gather(const autodiff::kernels::device::Sample* samples, const int* step, int batch, float* features,
              std::int32_t* labels) const;
  /// Another one for all others, from 1.
  std::uint64_t number() const { return number_; }

 private:
  static std::uint64_t next_number();
  std::uint64_t number_ = next_number();
  autodiff::kernels::DeviceMemory data_, table_, classes_;
  autodiff::kernels::device::Images images_;
  std::size_t width_ = 0;  // of rows; 0: images
};

/// Work that is recorded once and played many times. Of what is played often several are one recording, since
/// every one has to be begun, which takes a device some microseconds.
class Repetition {
 public:
  /// Plays it so many times; body(), which records it, is always to do the same.
  template <class Body>
  void play(autodiff::kernels::DeviceStream& stream, int times, const Body& body) {
    for (; times >= several && played_ >= often; times -= several) {
      if (many_.empty()) {
        many_ = stream.record([&] {
          for (int k = 0; k < several; ++k) body();
        });
      }
      stream.play(many_);
    }
    if (times > 0 && one_.empty()) one_ = stream.record(body);
    for (; times > 0; --times, ++played_) stream.play(one_);
  }

 private:
  static constexpr int several = 8, often = 256;
  int played_ = 0;
  autodiff::kernels::DeviceStream::Recording one_, many_;
};

struct DeviceTrainerOptions {
  std::optional<double> clip_norm = {};
  /// Weight decay from the parameters at the beginning, not from those of the moment.
  bool decay_from_start = false;
  autodiff::Seed noise = {};
};

/// Many steps of one network, loss and optimizer. Gives what LossGradient and update() give, within the
/// rounding of sums; twice the same bits.
class DeviceTrainer {
 public:
  /// `gradient` must have been compiled for a device; it is used up.
  DeviceTrainer(LossGradient gradient, const Optimizer& optimizer, const DeviceTrainerOptions& options);

  /// Steps that are started together, without waiting for them.
  static constexpr int steps_at_once = 256;

  /// Copies these to the device.
  void begin(std::span<const float> parameters, const OptimizerState& state);
  /// Steps number first_number, ... on the samples drawn [steps][batch], at most steps_at_once of them: the
  /// losses before each. The number matters for dropout only. Not for losses that want a teacher's recorded
  /// logits.
  void run(const DeviceSamples& data, std::span<const autodiff::kernels::device::Sample> drawn,
           std::int64_t first_number, std::span<float> losses);
  /// One step on a batch of the host: runs when the steps before have; see finish().
  void start(std::span<const float> features, const Target& target, std::int64_t number);
  /// The losses of the last steps that were started, as many as `losses` has room for; waits for them.
  void finish(std::span<float> losses);
  /// Copies them back.
  void end(std::span<float> parameters, OptimizerState& state);

  int batch() const { return gradient_.batch(); }
  const autodiff::Program& program() const { return gradient_.program(); }

 private:
  using Memory = autodiff::kernels::DeviceMemory;
  void bind();
  void prepare(int slot, std::int64_t number);
  void enqueue_step();

  LossGradient gradient_;
  Optimizer optimizer_;
  DeviceTrainerOptions options_;
  autodiff::kernels::DeviceStream stream_;
  Memory parameters_, start_, gradients_, statistics_, is_statistic_, first_, second_;
  Memory features_, labels_, logits_, dropout_keys_;
  Memory teacher_;
  Memory samples_, all_keys_, scalars_, losses_, step_;  // of steps_at_once steps; how many of them are done
  autodiff::kernels::PinnedMemory staged_, scalars_staged_, keys_staged_;
  std::int64_t updates_ = 0;
  int pending_ = 0;
  bool warm_ = false;
  std::uint64_t recorded_for_ = 0;  // the number of the samples
  Repetition gathering_;
  autodiff::kernels::DeviceStream::Recording plain_;
};

/// Outputs of a network for samples on the device.
class DeviceEvaluator {
 public:
  /// Of `batch` samples at a time.
  DeviceEvaluator(const Network& net, int batch);

  /// Outputs [samples, classes] of the samples drawn, whole batches of them.
  void run(std::span<const float> parameters, const DeviceSamples& data,
           std::span<const autodiff::kernels::device::Sample> drawn, std::span<float> outputs);

 private:
  using Memory = autodiff::kernels::DeviceMemory;
  Evaluator evaluator_;
  autodiff::kernels::DeviceStream stream_;
  Memory parameters_, features_, samples_, outputs_, step_;
  std::uint64_t recorded_for_ = 0;  // the number of the samples
  Repetition recording_;
};

}  // namespace nn
