// ev3 run --record-bundle: some rounds of a run, recorded for ev3 replay.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "ev3/bundle_recorder.h"

namespace ev3::cli {

/// Records iterations first..last (counted from 0, both included) of an evolution into a folder.
class Recording {
 public:
  /// `iterations` is "first..last". Throws Error for anything else, or a folder that is there and not empty.
  Recording(std::filesystem::path folder, const std::string& iterations);

  /// To be called before and after every round. Throws Error as BundleRecorder, and when the evolution is
  /// beyond the first iteration already.
  void before(const Evolution& evolution);
  void after(const Evolution& evolution, const StepRecord& record);
  /// True between the first and the last of the iterations.
  bool active() const { return recorder_ && !written_; }
  /// "iterations 0..2 recorded in DIR", or what is missing.
  std::string summary() const;

 private:
  std::filesystem::path folder_;
  int first_ = 0, last_ = 0;
  std::optional<BundleRecorder> recorder_;
  bool written_ = false;
};

}  // namespace ev3::cli
