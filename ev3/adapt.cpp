#include "ev3/adapt.h"

namespace ev3 {

AdaptRecord adapt(const Model& model, const Candidate& selected, Judge& judge, const Batches& batches,
                  std::int64_t first_batch, const AdaptOptions& options) {
  std::vector<const nn::Parameters*> all{&selected.params};
  if (options.rule == AdaptRule::significance) all.insert(all.end(), {&model.params, &model.stable});
  AdaptRecord record{.first_batch = first_batch, .batches_used = options.batches, .bounds = {}};
  record.bounds = judge.measure(model.network, all, {batches, first_batch, options.batches}, options.alpha);
  if (options.rule == AdaptRule::significance) {
    record.best = static_cast<Best>(best_lower_bound(record.bounds));
    record.significant = record.bounds[static_cast<std::size_t>(record.best)].lcb > record.bounds[2].ucb;
  }
  const bool can_act = options.growth || options.restart_without_growth;
  if (can_act && options.rounds_before_growth && model.history.stalled(*options.rounds_before_growth)) {
    record.expanded = true;
    ++record.batches_used;  // the reference draws one more batch, for its shape
  }
  return record;
}

Model apply(const Model& model, const Candidate& selected, const AdaptRecord& record, AdaptRule rule,
            int round, const std::optional<GrowthStep>& growth) {
  Model next = model;
  if (record.expanded) {
    if (growth) {
      next.params = grow(growth->plan, model.network, model.params, growth->fresh);
      next.stable = grow(growth->plan, model.network, model.stable, growth->fresh);
      next.network = growth->plan.larger;
    }
    next.history.clear();
    next.just_expanded = true;
    ++next.growths;
    return next;
  }
  switch (record.best) {
    case Best::candidate:
      next.params = selected.params;
      break;
    case Best::params:
      break;
    case Best::stable:
      next.params = model.stable;
      break;
  }
  if (rule == AdaptRule::significance && record.significant) next.stable = next.params;
  next.history.append({round, record.significant});
  next.just_expanded = false;
  return next;
}

}  // namespace ev3
