// How long an experiment takes on this machine: measured on a few steps, for --dry-run.
#pragma once

#include <string>

#include "ev3/cli/config_build.h"

namespace ev3::cli {

/// Seconds, of the network that the experiment begins with.
struct Estimate {
  double step = 0;   ///< one gradient step of every candidate, side by side
  double batch = 0;  ///< one batch of adapt for one set of parameters
  double test = 0;   ///< the test set, for one set of parameters
  double round(const Settings& settings) const;
};

/// Takes a few steps of every candidate and measures one batch: some seconds for large networks.
Estimate estimate(const ExperimentData& data, const Settings& settings);

/// "about 3.4 hours ...": all rounds, or what max_gradient_steps leaves of them.
std::string estimate_text(const Estimate& estimate, const Experiment& experiment, const Settings& settings);

}  // namespace ev3::cli
