#include "ev3/cli/report_study.h"

#include <fmt/core.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <optional>
#include <set>

#include "autodiff/tensor/text.h"
#include "ev3/cli/config_toml.h"
#include "nn/training.h"

namespace ev3::cli {
namespace {

using autodiff::fail;

// A value as a name shows it: text without quotes, 2 for 2.0, lists without spaces.
std::string plain(const toml::node& node) {
  if (const auto number = node.value<double>(); number && node.is_floating_point()) {
    char digits[40];
    return {digits, std::to_chars(digits, digits + sizeof digits, *number).ptr};
  }
  if (const auto text = node.value<std::string>(); text && node.is_string()) return *text;
  if (const toml::array* list = node.as_array()) {
    std::string out;
    for (const toml::node& element : *list) out += (out.empty() ? "" : ",") + plain(element);
    return '[' + out + ']';
  }
  return shown(node);
}

bool holds_tables(const toml::node& node) {
  const toml::array* list = node.as_array();
  return list && std::any_of(list->begin(), list->end(), [](const toml::node& n) { return n.is_table(); });
}

void flatten(const toml::node& node, const std::string& key, FlatSettings& out) {
  const std::string prefix = key.empty() ? "" : key + '.';
  if (const toml::table* table = node.as_table()) {
    for (const auto& [name, value] : *table) flatten(value, prefix + std::string(name.str()), out);
  } else if (holds_tables(node)) {
    std::size_t index = 0;
    for (const toml::node& element : *node.as_array())
      flatten(element, prefix + std::to_string(index++), out);
  } else {
    out.emplace_back(key, plain(node));
  }
}

std::string without_seed(Experiment experiment) {
  experiment.seed = 0;
  return to_toml(experiment);
}

// The groups' folders, where each group has one of its own.
std::optional<std::vector<std::string>> folder_names(const Study& study) {
  std::vector<std::string> names;
  for (const Group& group : study.groups) {
    names.push_back(study.runs[group.runs.front()].source);
    for (const std::size_t r : group.runs) {
      if (study.runs[r].source != names.back()) return {};
    }
  }
  const std::set<std::string> different(names.begin(), names.end());
  if (names.size() < 2 || different.size() < names.size() || different.contains("")) return {};
  return names;
}

// The runs that differ in the seed only, once per seed.
void make_groups(Study& study) {
  std::map<std::string, std::size_t> index;
  std::vector<FlatSettings> settings;
  for (std::size_t r = 0; r < study.runs.size(); ++r) {
    const RunRecords& run = study.runs[r];
    const std::string key = without_seed(run.experiment);
    const auto [known, is_new] = index.emplace(key, study.groups.size());
    if (is_new) {
      study.groups.emplace_back();
      flatten(parse_toml(key, "config"), "", settings.emplace_back());
    }
    std::vector<std::size_t>& members = study.groups[known->second].runs;
    const auto same = std::find_if(members.begin(), members.end(), [&](std::size_t m) {
      return study.runs[m].experiment.seed == run.experiment.seed;
    });
    if (same == members.end()) {
      members.push_back(r);
      continue;
    }
    const bool better = run.rounds.size() > study.runs[*same].rounds.size();
    const std::size_t kept = better ? r : *same, left = better ? *same : r;
    study.notes.push_back(fmt::format("{} is left out: it is the same run as {}",
                                      study.runs[left].path.string(), study.runs[kept].path.string()));
    *same = kept;
  }
  const std::vector<std::string> names = folder_names(study).value_or(distinguish(settings));
  for (std::size_t g = 0; g < names.size(); ++g) study.groups[g].name = names[g];
}

std::map<std::int64_t, double> accuracies(const Study& study, const Group& group) {
  std::map<std::int64_t, double> out;
  for (const std::size_t r : group.counted) {
    out[study.runs[r].experiment.seed] = study.runs[r].rounds.back().test.accuracy();
  }
  return out;
}

void measure(const Study& study, Group& group) {
  const auto count_if = [&](auto wanted) {
    for (const std::size_t r : group.runs) {
      if (wanted(study.runs[r])) group.counted.push_back(r);
    }
  };
  count_if([](const RunRecords& run) { return run.finished(); });
  group.unfinished = group.counted.empty();
  if (group.unfinished) count_if([](const RunRecords& run) { return !run.rounds.empty(); });

  std::vector<double> accuracy;
  for (const auto& [seed, value] : accuracies(study, group)) accuracy.push_back(value);
  group.accuracy = mean_interval(accuracy);
  const auto n = static_cast<double>(group.counted.size());
  for (const std::size_t r : group.counted) {
    const RunFigures& f = study.figures[r];
    group.parameters += static_cast<double>(study.runs[r].parameters) / n;
    group.steps += static_cast<double>(f.steps) / n;
    group.samples += static_cast<double>(f.samples) / n;
    group.flops += f.flops / n;
    group.seconds += f.seconds / n;
    group.seconds_estimated = group.seconds_estimated || f.seconds_estimated;
  }
}

std::size_t find_baseline(const Study& study, const std::string& name) {
  if (name.empty()) return 0;
  std::vector<std::string> names;
  for (const Group& group : study.groups) names.push_back(group.name);
  const auto found = std::find(names.begin(), names.end(), name);
  if (found == names.end()) {
    fail("--baseline ", name, ": no group of that name: did you mean '", autodiff::nearest(name, names),
         "'?");
  }
  return static_cast<std::size_t>(found - names.begin());
}

}  // namespace

double StepFlops::operator()(const nn::Network& network, const nn::Loss& loss, int batch) {
  const std::string key = nn::to_json(network) + nn::describe(loss) + std::to_string(batch);
  if (const auto known = known_.find(key); known != known_.end()) return known->second;
  nn::Loss own = loss;  // without its teacher, which is not in the records
  if (auto* distillation = std::get_if<nn::Distillation>(&own)) distillation->teacher.reset();
  return known_[key] = nn::LossGradient(network, own, batch).program().flops();
}

double round_flops(const RunRecords& run, const Round& round, StepFlops& step) {
  if (!round.network) return std::numeric_limits<double>::quiet_NaN();
  double flops = 0;
  for (const StepRecord::Trajectory& t : round.record.candidates) {
    const nn::Loss& loss = run.losses[static_cast<std::size_t>(t.loss)];
    flops += round.record.trajectory_length * step(*round.network, loss, run.experiment.data.batch);
  }
  return flops;
}

RunFigures figures(const RunRecords& run, StepFlops& step) {
  RunFigures out;
  if (run.rounds.empty()) return out;
  out.steps = run.rounds.back().record.gradient_steps;
  out.samples = out.steps * run.experiment.data.batch;
  for (const Round& round : run.rounds) out.flops += round_flops(run, round, step);
  int noted = 0;
  for (const double seconds : run.seconds) {
    if (std::isnan(seconds)) continue;
    out.seconds += seconds;
    ++noted;
  }
  // Rounds without a note are taken to be as long as the others.
  const auto rounds = static_cast<double>(run.rounds.size());
  out.seconds = noted ? out.seconds * rounds / noted : std::numeric_limits<double>::quiet_NaN();
  out.seconds_estimated = run.interrupted() || noted < static_cast<int>(run.rounds.size());
  return out;
}

Study make_study(std::vector<RunRecords> runs, const std::string& baseline) {
  Study study;
  study.runs = std::move(runs);
  StepFlops step;
  for (const RunRecords& run : study.runs) study.figures.push_back(figures(run, step));
  make_groups(study);
  for (Group& group : study.groups) measure(study, group);
  study.baseline = find_baseline(study, baseline);
  const auto reference = accuracies(study, study.groups[study.baseline]);
  for (Group& group : study.groups) group.difference = paired_difference(accuracies(study, group), reference);
  return study;
}

}  // namespace ev3::cli
