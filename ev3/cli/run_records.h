// Runs as their folders tell them, for reports: whatever computed them may be gone, or still be at it.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "ev3/cli/config.h"
#include "ev3/cli/record_json.h"
#include "nn/model_file.h"

namespace ev3::cli {

/// What is in a run folder.
struct RunRecords {
  std::filesystem::path path;
  std::string source;  ///< the folder that was asked for: a name for its runs, or ""
  Experiment experiment;
  /// Those of the experiment and, of a run with passes, those with archived teachers, as in the pass with the
  /// most of them. The losses in `rounds` are numbers in this list.
  std::vector<nn::Loss> losses;
  std::vector<Round> rounds;
  /// By round, the seconds it took: as it was noted, or NaN where a folder of an early version has no note.
  std::vector<double> seconds;
  nn::Network network = nn::Mlp{};  ///< of the model that is kept
  std::size_t parameters = 0;
  int kept_since = 0;       ///< the round after which the model was what it is; 0: the initial one
  int sessions = 1;         ///< how often it was begun or gone on with
  std::string environment;  ///< env.txt

  bool finished() const {
    return static_cast<int>(rounds.size()) >= experiment.rounds ||
           (!rounds.empty() && rounds.back().record.last);
  }
  std::size_t candidates() const { return losses.size() * experiment.optimizers.size(); }
  /// Which of all candidates of the run it is: loss-major.
  std::size_t candidate(const StepRecord::Trajectory& t) const {
    return static_cast<std::size_t>(t.loss) * experiment.optimizers.size() +
           static_cast<std::size_t>(t.optimizer);
  }
  std::size_t selected(const StepRecord& r) const {
    return candidate(r.candidates[static_cast<std::size_t>(r.assess.selected)]);
  }
  /// More than one session: what an interrupted session did after its last round is in no record.
  bool interrupted() const { return sessions > 1; }
};

/// True for a folder that has the config and the records of a run.
bool is_run_folder(const std::filesystem::path& path);

/// Reads config.toml, rounds.jsonl, metrics.jsonl, env.txt and model.safetensors, and changes nothing. A line
/// that is being written is not there yet. Networks that early records do not have are filled in where they
/// follow from the others. Throws Error for what is missing or damaged.
RunRecords read_run(const std::filesystem::path& path);

/// The run folders among `paths` and below them, each once: in the order of `paths`, below a path by name,
/// seed=2 before seed=10. Throws Error for a path in which there is none.
std::vector<std::filesystem::path> find_runs(const std::vector<std::string>& paths);

}  // namespace ev3::cli
