// Recording a piece of a run as a bundle that `ev3 replay` repeats.
#pragma once

#include <filesystem>
#include <string>

#include "ev3/bundle_spec.h"
#include "nn/safetensors.h"

namespace ev3 {

/// Records rounds one after the other: construct it before the first of them, call `record` after each, then
/// `write`. The batches are read again from the streams, at the places that the record names.
class BundleRecorder {
 public:
  /// Throws Error for settings that the format cannot express (other learning rates and optimizers than those
  /// of docs/replay.md, other metrics than accuracy, gradient clipping, restarts without growth).
  BundleRecorder(const Evolution& before, std::string name);

  /// Takes up the round that `evolution` has just done.
  void record(const Evolution& evolution, const StepRecord& record);
  /// Writes spec.json, inputs.safetensors and expected.safetensors into a folder, which is made. Throws Error
  /// when the folder exists and is not empty, or nothing was recorded.
  void write(const std::filesystem::path& folder) const;

  int iterations() const { return spec_.iterations; }

 private:
  struct Phase {
    std::vector<float> features;
    std::vector<std::int32_t> labels;
    std::vector<float> logits;
    int batches = 0;
  };
  static void append(Phase& phase, const Batches& batches, std::int64_t first, std::int64_t count);

  BundleSpec spec_;
  nn::SafetensorsWriter inputs_, expected_;
  Phase explore_, assess_, adapt_;
  int explore_batch_, assess_batch_, adapt_batch_;
};

}  // namespace ev3
