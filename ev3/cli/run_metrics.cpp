#include "ev3/cli/run_metrics.h"

#include <fmt/core.h>

#include <cmath>
#include <nlohmann/json.hpp>

namespace ev3::cli {
namespace {

const Bounds& best_bounds(const AdaptRecord& adapt) {
  return adapt.bounds.size() == 1 ? adapt.bounds[0] : adapt.bounds[static_cast<std::size_t>(adapt.best)];
}

// 17 digits read back as the same double.
std::string number(double x) { return std::isfinite(x) ? fmt::format("{:.17g}", x) : ""; }

}  // namespace

std::string metrics_jsonl(const Round& round, double time) {
  const StepRecord& r = round.record;
  const Bounds& best = best_bounds(r.adapt);
  const auto line = [&](const char* split) {
    return nlohmann::ordered_json{
        {"time", time}, {"step", r.gradient_steps}, {"round", r.round + 1}, {"split", split}};
  };
  nlohmann::ordered_json train = line("train"), test = line("test");
  train.update({{"train_acc", best.mean},
                {"train_lcb", best.lcb},
                {"train_ucb", best.ucb},
                {"train_selected_loss_idx", r.selected()},
                {"num_params", r.parameters},
                {"trajectory_length", r.trajectory_length}});
  test.update({{"eval_acc", round.test.accuracy()}, {"eval_loss", round.test.loss}});
  return train.dump() + "\n" + test.dump() + "\n";
}

const char* const metrics_csv_header =
    "time,step,round,split,train_acc,train_lcb,train_ucb,train_selected_loss_idx,num_params,trajectory_"
    "length,"
    "eval_acc,eval_loss\n";

std::string metrics_csv(const Round& round, double time) {
  const StepRecord& r = round.record;
  const Bounds& best = best_bounds(r.adapt);
  const auto start = [&](const char* split) {
    return fmt::format("{},{},{},{}", number(time), r.gradient_steps, r.round + 1, split);
  };
  return fmt::format("{},{},{},{},{},{},{},,\n{},,,,,,,{},{}\n", start("train"), number(best.mean),
                     number(best.lcb), number(best.ucb), r.selected(), r.parameters, r.trajectory_length,
                     start("test"), number(round.test.accuracy()), number(round.test.loss));
}

}  // namespace ev3::cli
