// Which runs a sweep consists of.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "ev3/cli/config.h"

namespace ev3::cli {

/// One key and the values it takes, as text that --set understands.
struct GridAxis {
  std::string key;
  std::vector<std::string> values;
};
/// "assess.alpha=0.5,1", "model.hidden=[8],[16,16]": commas inside brackets, braces and quotes are part of a
/// value. Throws Error for anything else, and for a value that is empty or there twice.
GridAxis parse_axis(const std::string& text);

/// "1..5", "1,4,9", "1..3,7": whole numbers from 0, each once. Throws Error for anything else.
std::vector<std::int64_t> parse_seeds(const std::string& text);

struct SweepRun {
  std::string name;  ///< of its folder: "alpha=0.5,hidden=[8],seed=1"
  Experiment experiment;
};

struct SweepPlan {
  std::vector<SweepRun> runs;  ///< the last axis changes faster than the first, the seed fastest
  /// sweep.toml: base config, axes and seeds. Two sweeps are the same where it is the same text.
  std::string definition;
};

/// What the command line asks for. Without a config it is the digits experiment, without seeds the config's.
struct SweepRequest {
  std::string config;
  std::optional<std::string> seeds = {};
  std::vector<std::string> overrides, grid;
};

/// Reads the config and resolves every run, so that whatever is wrong is found before one begins. Throws
/// Error for unknown keys, values out of range, two runs that would be the same, and more than 10,000 runs.
SweepPlan make_plan(const SweepRequest& request);

/// What tells one definition from the other: "seeds = [1] there, seeds = [1, 2] here".
std::string definition_difference(const std::string& there, const std::string& here);

}  // namespace ev3::cli
