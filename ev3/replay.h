// Replay: a recorded piece of EV3 is repeated without any random number.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "ev3/bundle_spec.h"
#include "nn/safetensors.h"

namespace ev3 {

/// The result arrays of one round under their names in the format: I/explore/C/loss, I/assess/mean, ...,
/// I/stable/NAME.
void add_results(nn::SafetensorsWriter& results, int iteration, const StepRecord& record,
                 const std::vector<Candidate>& candidates, const Model& after);

struct ReplayOutcome {
  BundleSpec spec;
  nn::SafetensorsWriter results;
  /// Growths that the program came to and the bundle does not have, or the other way round; empty if there
  /// are none.
  std::string mismatch;
};

/// Repeats the bundle in a folder with spec.json and inputs.safetensors; `seen` is called after every
/// iteration. Throws Error for a bundle that cannot be used: see read_bundle_spec; a missing array, one of a
/// wrong shape, too few batches.
ReplayOutcome replay(const std::filesystem::path& bundle,
                     const std::function<void(const StepRecord&)>& seen = {});

/// One kind of quantity, compared.
struct Comparison {
  std::string kind;
  int arrays = 0, good = 0;
  double worst = 0, tolerance = 0;
  std::string where;                  ///< the array with the greatest deviation
  std::vector<std::string> failures;  ///< arrays that are missing, of another shape or type, or not finite
  bool ok() const { return good == arrays; }
};

/// Compares results with what is expected, kind by kind: max |result - expected| / max(max |expected|, 0.001)
/// over each array, within the spec's tolerance (1e-5 where it has none); integers must be equal. An array
/// that is not expected counts as a failure.
std::vector<Comparison> compare(const nn::Safetensors& results, const nn::Safetensors& expected,
                                const BundleSpec& spec);
/// "explore.loss   24 of 24   worst 3.1e-07 (tolerance 1.0e-05) at 0/explore/2/loss   ok", a line each.
std::string report(const std::vector<Comparison>& comparisons);

}  // namespace ev3
