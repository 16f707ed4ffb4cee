// Adapt: keep the selected candidate, go back, or grow.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "ev3/assess.h"
#include "ev3/growth.h"

namespace ev3 {

/// significance: docs/algorithm.md, section 4. always_accept: take the selected candidate and only measure it
/// (plain training, with one loss and one optimizer).
enum class AdaptRule { significance, always_accept };

struct AdaptOptions {
  AdaptRule rule = AdaptRule::significance;
  int batches = 16;
  double alpha = 1.96;
  /// Grow when none of so many newest steps was significant (under always_accept every so many steps, plus
  /// one); none: never.
  std::optional<int> rounds_before_growth = {};
  std::optional<Growth> growth = {};
  /// A network that growth would give more parameters than this stays as it is, and the run goes on; none: no
  /// limit.
  std::optional<std::int64_t> max_parameters = {};
  /// The reference acts on the growth test even where it has no way to grow: the candidate is thrown away,
  /// history is cleared, all optimizers start anew. False: without `growth` the test is not made.
  bool restart_without_growth = false;
};

/// Who had the greatest lower bound.
enum class Best { candidate = 0, params = 1, stable = 2 };

/// What adapt measured and decided.
struct AdaptRecord {
  std::int64_t first_batch = 0;  ///< of the adapt stream
  int batches_used = 0;          ///< one more when the growth test acted
  std::vector<Bounds>
      bounds;  ///< of the candidate, the current and the stable parameters; or of the candidate alone
  Best best = Best::candidate;  ///< greatest lcb, the first among equals
  bool significant = false;     ///< lcb of the best > ucb of the stable parameters
  bool expanded = false;        ///< the growth test acted: the decision above has no effect

  /// Of the best parameters.
  const Bounds& best_bounds() const {
    return bounds.size() == 1 ? bounds[0] : bounds[static_cast<std::size_t>(best)];
  }
};

AdaptRecord adapt(const Model& model, const Candidate& selected, Judge& judge, const Batches& batches,
                  std::int64_t first_batch, const AdaptOptions& options);

/// A growth with its fresh parameters.
struct GrowthStep {
  GrowthPlan plan;
  nn::Parameters fresh;
};

/// The model after the decision (docs/algorithm.md, section 1): a plain update, or, where `record.expanded`,
/// the larger network (the same one without `growth`).
Model apply(const Model& model, const Candidate& selected, const AdaptRecord& record, AdaptRule rule,
            int round, const std::optional<GrowthStep>& growth);

}  // namespace ev3
