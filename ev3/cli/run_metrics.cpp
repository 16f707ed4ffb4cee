#include "ev3/cli/run_metrics.h"

#include <fmt/core.h>

#include <nlohmann/json.hpp>

#include "ev3/cli/run_report.h"
#include "nn/model_file.h"

namespace ev3::cli {
std::string metrics_jsonl(const Round& round, const RoundTime& time) {
  const StepRecord& r = round.record;
  const Bounds& best = r.adapt.best_bounds();
  const auto line = [&](const char* split) {
    return nlohmann::ordered_json{
        {"time", time.end}, {"step", r.gradient_steps}, {"round", r.round + 1}, {"split", split}};
  };
  nlohmann::ordered_json train = line("train"), test = line("test");
  train.update({{"train_acc", best.mean},
                {"train_lcb", best.lcb},
                {"train_ucb", best.ucb},
                {"train_selected_loss_idx", r.selected()},
                {"num_params", r.parameters},
                {"trajectory_length", r.trajectory_length},
                {"seconds", time.seconds}});
  test.update({{"eval_acc", round.test.accuracy()}, {"eval_loss", round.test.loss}});
  return train.dump() + "\n" + test.dump() + "\n";
}

const char* const metrics_csv_header =
    "time,step,round,split,train_acc,train_lcb,train_ucb,train_selected_loss_idx,num_params,trajectory_"
    "length,"
    "eval_acc,eval_loss\n";

std::string metrics_csv(const Round& round, const RoundTime& time) {
  const StepRecord& r = round.record;
  const Bounds& best = r.adapt.best_bounds();
  const auto start = [&](const char* split) {
    return fmt::format("{},{},{},{}", exact_number(time.end), r.gradient_steps, r.round + 1, split);
  };
  return fmt::format("{},{},{},{},{},{},{},,\n{},,,,,,,{},{}\n", start("train"), exact_number(best.mean),
                     exact_number(best.lcb), exact_number(best.ucb), r.selected(), r.parameters,
                     r.trajectory_length, start("test"), exact_number(round.test.accuracy()),
                     exact_number(round.test.loss));
}

std::vector<Scalar> size_scalars(std::string_view network, double parameters) {
  const auto json = nlohmann::json::parse(network);
  if (!json.is_object() || !json.contains("filters") || !json.contains("blocks")) {
    return {{"num_params", parameters}};
  }
  return {{"resnet_num_filters", json["filters"].get<double>()},
          {"resnet_stage_size", json["blocks"].at(0).get<double>()},
          {"resnet_num_params", parameters}};
}

std::string metrics_event(const Round& round, double time) {
  const StepRecord& r = round.record;
  const Bounds& best = r.adapt.best_bounds();
  std::vector<Scalar> scalars{{"train_acc", best.mean},
                              {"train_lcb", best.lcb},
                              {"train_ucb", best.ucb},
                              {"eval_acc", round.test.accuracy()},
                              {"eval_loss", round.test.loss},
                              {"train_selected_loss_idx", static_cast<double>(r.selected())},
                              {"pass_idx", static_cast<double>(r.pass)}};
  const std::string network = round.network ? nn::to_json(*round.network) : "null";
  const auto sizes = size_scalars(network, static_cast<double>(r.parameters));
  scalars.insert(scalars.end(), sizes.begin(), sizes.end());
  return scalar_event(time, r.gradient_steps, scalars);
}

}  // namespace ev3::cli
