// spec.json of a replay bundle: what a recorded piece of EV3 runs.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "ev3/evolution.h"

namespace ev3 {

/// The random choices of one growth.
struct BundleExpansion {
  int iteration = 0;
  GrowthPlan plan;
};

/// Where a recording starts that does not start at the beginning: flags of the history (oldest first), and
/// the steps that each candidate's optimizer has taken. Its moments are arrays `state/C/K/NAME`.
struct BundleStart {
  std::vector<bool> history;
  std::vector<std::int64_t> optimizer_steps;
};

struct BundleSpec {
  std::string name, what;
  Settings settings;  ///< the growth rule is only whether and when; how is in `expansions`
  int iterations = 0;
  std::vector<BundleExpansion> expansions;
  std::optional<BundleStart> start;
  std::vector<nn::Network> teachers;        ///< their parameters are arrays `teacher/J/NAME`
  std::map<std::string, double> tolerance;  ///< by kind of quantity
};

/// Throws Error beginning with the path: no JSON, an unknown key (with the nearest one), a missing one, a
/// wrong type, a value out of range, or a family of networks that this version does not have.
BundleSpec read_bundle_spec(const std::filesystem::path& path);
/// The opposite, as text.
std::string bundle_spec_text(const BundleSpec& spec);

}  // namespace ev3
