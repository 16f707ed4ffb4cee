// A run in its folder, from where it stands to its last round.
#pragma once

#include <chrono>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "ev3/cli/checkpoint.h"
#include "ev3/cli/config_build.h"
#include "ev3/cli/progress.h"
#include "ev3/cli/recording.h"
#include "ev3/cli/run_folder.h"
#include "ev3/cli/run_report.h"
#include "ev3/passes.h"

namespace ev3::cli {

class Run {
 public:
  struct Options {
    std::string bundle, iterations;  ///< what to record for ev3 replay, and where; "": nothing
    bool quiet = false;              ///< print the result only
  };
  /// Throws Error for settings that do not fit each other or the data.
  Run(Experiment experiment, ExperimentData data, const Options& options);

  /// In a new folder. Throws Error as RunFolder::create, and for what goes wrong in a round.
  void start(const std::filesystem::path& path, const std::string& environment_text);
  /// In a folder that is there, from its checkpoint.
  void resume(RunFolder folder, const Checkpoint& checkpoint, const std::string& environment_text);

 private:
  void rounds();
  void one_round(Progress& progress, ProgressBar& bar);
  void write_archive() const;
  RoundTime lap();
  void finish();
  bool finished() const { return round() >= experiment_.rounds || passes_.finished(); }
  int round() const { return passes_.evolution().round(); }
  Checkpoint checkpoint() const { return {passes_.state(), identity(experiment_), data_.hash}; }
  int kept_since() const;
  nn::ModelFile model_file() const;
  nn::ModelFile model_file(const nn::Network& network, const nn::Parameters& params, int since) const;
  nn::Evaluation test_kept();
  std::string resume_command() const { return program_name() + " run --resume " + folder_->path().string(); }

  Experiment experiment_;
  ExperimentData data_;
  Settings settings_;
  Passes passes_;
  bool quiet_, color_;
  std::optional<RunFolder> folder_;
  std::vector<Round> done_;
  std::optional<std::pair<int, nn::Evaluation>> tested_;  // the parameters kept since that round
  std::chrono::steady_clock::time_point lap_;             // the end of the round before
  std::optional<Recording> recording_;
};

}  // namespace ev3::cli
