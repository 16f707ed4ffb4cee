// What `ev3 run` says: all of it from records, the experiment and the data.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "ev3/cli/config_build.h"
#include "ev3/cli/record_json.h"
#include "ev3/passes.h"

namespace ev3::cli {

/// Size and cost of the programs that a round runs, for one network.
struct Costs {
  std::size_t step_bytes = 0;  ///< workspace of one candidate's training step, the largest of all losses
  double step_flops = 0;       ///< of that step
  std::size_t bytes = 0;       ///< of all candidates together, with their parameters and optimizer states
  std::int64_t candidates = 0,
               gradient_steps = 0;  ///< gradient steps of all rounds, while trajectories do not grow
};
Costs costs(const Experiment& experiment, const Settings& settings);

/// Three lines: data, pools, seed, machine; model, candidates, program.
std::string header(const Experiment& experiment, const ExperimentData& data, const Settings& settings);
/// The names of the columns of round_line.
std::string column_line();
/// One line of at most 120 columns. `color`: marks what is new.
std::string round_line(const Round& round, const Settings& settings, bool color);
/// ".944", "1.00"
std::string short_number(double x);
/// 17 digits, which read back as the same double; empty where it is not finite.
std::string exact_number(double x);
/// "1,797"
std::string grouped(std::int64_t x);
/// "41 kB", "1.2 MB"
std::string bytes_text(std::size_t bytes);

/// True when the round ended with new stable parameters.
bool is_new_stable(const StepRecord& record);
/// True when the parameters to keep are others after this round, or those of a larger network.
bool changes_model(const StepRecord& record);
/// The round after which the parameters to keep were what they are at the end of `rounds`; 0: the initial
/// ones.
int stable_since(const std::vector<Round>& rounds);
/// After a round that ended a pass: what is in the archive, and what comes next.
std::string pass_lines(int pass, const Passes& passes);
/// The program as it was called, for commands that can be pasted: "ev3", "build/release/ev3".
std::string program_name();
/// The last lines, after at least one round: the best model, where the files are, what to do next.
std::string summary(const std::vector<Round>& rounds, const std::string& folder, const Passes& passes);
/// For --dry-run: the resolved experiment and what it costs.
std::string dry_run(const Experiment& experiment, const ExperimentData& data, const Settings& settings);
/// For env.txt: what computes, where, and since when.
std::string environment();

}  // namespace ev3::cli
