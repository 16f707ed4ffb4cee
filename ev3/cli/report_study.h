// What a report says: the figures of each run, and of groups of runs that differ in nothing but the seed.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "ev3/cli/report_stats.h"
#include "ev3/cli/run_records.h"

namespace ev3::cli {

/// One run in numbers. NaN where the records do not tell.
struct RunFigures {
  std::int64_t steps = 0;    ///< gradient steps, those of all candidates
  std::int64_t samples = 0;  ///< that these steps read
  double flops = 0;          ///< of these steps; estimated, see StepFlops
  double seconds = 0;        ///< of all rounds
  bool seconds_estimated = false;
};

/// Runs that differ in the seed only. Means are over its finished runs; where none is finished, over all of
/// them that have a round.
struct Group {
  std::string name;               ///< what tells it from the others: "alpha=0.5,hidden=[8]"; "all" when alone
  std::vector<std::size_t> runs;  ///< which runs of the study
  std::vector<std::size_t> counted;  ///< those that the figures below are of
  bool unfinished = false;           ///< the figures are those of unfinished runs
  MeanInterval accuracy;             ///< on the test set, of the parameters that are kept
  MeanInterval difference;           ///< of the accuracy to the baseline's, paired by seed
  double parameters = 0, steps = 0, samples = 0, flops = 0, seconds = 0;  ///< means
  bool seconds_estimated = false;
};

struct Study {
  std::vector<RunRecords> runs;
  std::vector<RunFigures> figures;  ///< by run
  std::vector<Group> groups;        ///< in the order of their first run
  std::size_t baseline = 0;         ///< which group
  std::vector<std::string> notes;   ///< which runs were left out, and why
};

/// FLOPs of a training step, as its compiled program counts them (nn::LossGradient(...).program().flops()):
/// additions and multiplications of the loss and its gradient, without the optimizer. NaN for a loss with
/// a teacher that is not in the records. Compiles once per network, loss and batch.
class StepFlops {
 public:
  double operator()(const nn::Network& network, const nn::Loss& loss, int batch);

 private:
  std::map<std::string, double> known_;
};

/// Of a round: all steps of all candidates; NaN where the record does not tell the network.
double round_flops(const RunRecords& run, const Round& round, StepFlops& step);
RunFigures figures(const RunRecords& run, StepFlops& step);

/// Groups the runs. `baseline` is the name of a group, or "" for the first one. Of two runs with the same
/// config and seed the one with fewer rounds is left out. Throws Error for a baseline that is none of the
/// groups.
Study make_study(std::vector<RunRecords> runs, const std::string& baseline);

/// Names for settings, given as (key, value) lists: what differs between them, by the ends of the keys that
/// tell them apart. One list alone is "all".
using FlatSettings = std::vector<std::pair<std::string, std::string>>;
std::vector<std::string> distinguish(const std::vector<FlatSettings>& all);
/// The end of `key`, from a dot on, that no other of `keys` has: "alpha", or "assess.alpha" beside
/// "adapt.alpha".
std::string short_key(const std::string& key, const std::vector<std::string>& keys);

}  // namespace ev3::cli
