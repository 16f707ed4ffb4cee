#include "ev3/cli/run_records.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>

#include "autodiff/tensor/error.h"
#include "autodiff/tensor/file.h"

namespace ev3::cli {
namespace {

namespace fs = std::filesystem;
using autodiff::fail;

// Calls visit(line, number) for every line that has an end.
template <class Visit>
void whole_lines(const std::string& text, const Visit& visit) {
  std::size_t begin = 0, number = 1;
  for (std::size_t end; (end = text.find('\n', begin)) != text.npos; begin = end + 1) {
    visit(std::string_view(text).substr(begin, end - begin), number++);
  }
}

std::vector<Round> read_rounds(const fs::path& path) {
  std::vector<Round> rounds;
  whole_lines(autodiff::read_file(path), [&](std::string_view line, std::size_t number) {
    const std::string where = autodiff::text(path.string(), ':', number);
    rounds.push_back(round_from_json(line, where));
    if (rounds.back().record.round + 1 != static_cast<int>(number)) {
      fail(where, ": want the record of round ", number, ", got that of round ",
           rounds.back().record.round + 1);
    }
  });
  return rounds;
}

std::vector<nn::Loss> losses_of(const Experiment& experiment, std::size_t archived) {
  return pass_losses(experiment.losses, static_cast<int>(experiment.teachers.size()),
                     static_cast<int>(archived));
}

// Every candidate is a loss and an optimizer of the config. Numbers its losses by run.losses, which has those
// of each pass in their order.
void number_candidates(RunRecords& run) {
  const auto below = [](int index, std::size_t size) {
    return index >= 0 && static_cast<std::size_t>(index) < size;
  };
  std::size_t archived = 0;
  for (const Round& round : run.rounds) archived = std::max(archived, round.record.archived_teachers.size());
  run.losses = losses_of(run.experiment, archived);
  for (Round& round : run.rounds) {
    const std::vector<nn::Loss> losses = losses_of(run.experiment, round.record.archived_teachers.size());
    std::vector<int> numbers;
    for (std::size_t i = 0; numbers.size() < losses.size(); ++i) {
      if (run.losses[i] == losses[numbers.size()]) numbers.push_back(static_cast<int>(i));
    }
    for (StepRecord::Trajectory& t : round.record.candidates) {
      if (below(t.loss, losses.size()) && below(t.optimizer, run.experiment.optimizers.size())) {
        t.loss = numbers[static_cast<std::size_t>(t.loss)];
        continue;
      }
      fail(run.path.string(), ": round ", round.record.round + 1, " has a candidate of loss ", t.loss,
           " and optimizer ", t.optimizer,
           ", which config.toml does not have; put back the config of the run");
    }
  }
}

std::vector<double> read_seconds(const fs::path& path, std::size_t rounds) {
  std::vector<double> seconds(rounds, std::numeric_limits<double>::quiet_NaN());
  if (!fs::exists(path)) return seconds;
  whole_lines(autodiff::read_file(path), [&](std::string_view line, std::size_t) {
    const auto json = nlohmann::json::parse(line, nullptr, false);
    if (!json.is_object() || !json.contains("round") || !json.contains("seconds")) return;
    if (!json["round"].is_number_unsigned() || !json["seconds"].is_number()) return;
    const auto round = json["round"].get<std::size_t>();
    if (round >= 1 && round <= rounds) seconds[round - 1] = json["seconds"];
  });
  return seconds;
}

// Networks of early records: a record names its network in words. Known in full are those that a growth made,
// that of the model, and for perceptrons the one of the config.
void fill_in_networks(RunRecords& run) {
  std::vector<nn::Network> known{run.network};
  for (const Round& round : run.rounds) {
    if (round.record.growth) known.push_back(round.record.growth->larger);
  }
  if (const auto* mlp = std::get_if<nn::Mlp>(&run.network)) {
    known.push_back(
        nn::Mlp{.inputs = mlp->inputs, .hidden = run.experiment.model.hidden, .classes = mlp->classes});
  }
  for (Round& round : run.rounds) {
    if (round.network) continue;
    const auto same = std::find_if(known.begin(), known.end(), [&](const nn::Network& net) {
      return nn::describe(net) == round.record.network;
    });
    if (same != known.end()) round.network = *same;
  }
}

int count_sessions(const std::string& environment) {
  int sessions = 0;
  whole_lines(environment,
              [&](std::string_view line, std::size_t) { sessions += line.starts_with("started "); });
  return std::max(sessions, 1);
}

// Numbers within names by their value: seed=2 before seed=10.
bool natural_less(const std::string& a, const std::string& b) {
  const auto digit = [](char c) { return std::isdigit(static_cast<unsigned char>(c)) != 0; };
  std::size_t i = 0, j = 0;
  while (i < a.size() && j < b.size()) {
    if (!digit(a[i]) || !digit(b[j])) {
      if (a[i] != b[j]) return a[i] < b[j];
      ++i, ++j;
      continue;
    }
    std::size_t m = i, n = j;
    while (m < a.size() && digit(a[m])) ++m;
    while (n < b.size() && digit(b[n])) ++n;
    const std::string x = a.substr(i, m - i), y = b.substr(j, n - j);
    if (x.size() != y.size()) return x.size() < y.size();
    if (x != y) return x < y;
    i = m, j = n;
  }
  return a.size() - i < b.size() - j;
}

void collect(const fs::path& path, std::vector<fs::path>& out) {
  if (is_run_folder(path)) {
    out.push_back(path);
    return;
  }
  std::vector<std::string> below;
  for (const auto& entry : fs::directory_iterator(path)) {
    // A folder NAME.starting is a run that is being made.
    if (entry.is_directory() && entry.path().extension() != ".starting")
      below.push_back(entry.path().string());
  }
  std::sort(below.begin(), below.end(), natural_less);
  for (const std::string& folder : below) collect(folder, out);
}

}  // namespace

bool is_run_folder(const fs::path& path) {
  return fs::exists(path / "config.toml") && fs::exists(path / "rounds.jsonl");
}

RunRecords read_run(const fs::path& path) {
  RunRecords run;
  run.path = path;
  const fs::path config = path / "config.toml", environment = path / "env.txt";
  run.experiment = parse_experiment(autodiff::read_file(config), config.string());
  run.rounds = read_rounds(path / "rounds.jsonl");
  number_candidates(run);
  run.seconds = read_seconds(path / "metrics.jsonl", run.rounds.size());
  if (fs::exists(environment)) run.environment = autodiff::read_file(environment);
  run.sessions = count_sessions(run.environment);
  const nn::ModelFile model = nn::read_model(path / "model.safetensors");
  run.network = model.network;
  run.parameters = model.parameters.size();
  const std::string since = model.metadata.contains("round") ? model.metadata.at("round") : "";
  std::from_chars(since.data(), since.data() + since.size(), run.kept_since);
  fill_in_networks(run);
  return run;
}

std::vector<fs::path> find_runs(const std::vector<std::string>& paths) {
  std::vector<fs::path> out;
  std::set<fs::path> seen;
  for (const std::string& path : paths) {
    if (!fs::is_directory(path)) {
      fail(path, ": want the folder of a run or of runs, ",
           fs::exists(path) ? "this is a file" : "there is nothing of that name");
    }
    std::vector<fs::path> found;
    collect(path, found);
    if (found.empty()) fail(path, ": no run in it: want a folder, or folders in it, that ev3 run made");
    for (const fs::path& run : found) {
      if (seen.insert(fs::canonical(run)).second) out.push_back(run);
    }
  }
  return out;
}

}  // namespace ev3::cli
