#include "ev3/cli/checkpoint.h"

#include <charconv>
#include <nlohmann/json.hpp>

#include "autodiff/tensor/file.h"
#include "autodiff/tensor/text.h"
#include "nn/model_file.h"

namespace ev3::cli {
namespace {

using autodiff::fail;
using Json = nlohmann::ordered_json;

constexpr const char* checkpoint_format = "ev3-checkpoint-2";
constexpr std::string_view checksum_key = "\"checksum\":\"", no_checksum = "00000000";

std::string moment_name(std::size_t candidate, std::size_t moment) {
  return autodiff::text("optimizer/", candidate, '/', moment);
}

std::string digits_of(std::uint32_t value) { return autodiff::hex(value).substr(8); }

std::uint64_t from_hex(const std::string& digits) {
  std::uint64_t out = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), out, 16);
  if (error != std::errc() || end != digits.data() + digits.size())
    fail("want 16 digits, got ", autodiff::in_quotes(digits));
  return out;
}

std::string archive_name(const char* list, std::size_t index) {
  return autodiff::text(list, '/', index, '/');
}

Json archive_json(const std::vector<Archived>& archive) {
  Json out = Json::array();
  for (const Archived& a : archive) {
    out.push_back({{"network", Json::parse(nn::to_json(a.network))},
                   {"pass", a.pass},
                   {"round", a.round},
                   {"score", a.score},
                   {"measured", a.measured}});
  }
  return out;
}

std::vector<Archived> archive_from(const Json& json, const nn::Safetensors& file, const char* list,
                                   const std::string& where) {
  std::vector<Archived> out;
  for (const Json& entry : json.at(list)) {
    Archived a{.network = nn::network_from_json(entry.at("network").dump(), where),
               .pass = entry.at("pass"),
               .round = entry.at("round"),
               .score = entry.at("score"),
               .measured = entry.at("measured")};
    a.params = nn::parameters_from(file, archive_name(list, out.size()), nn::layout(a.network));
    out.push_back(std::move(a));
  }
  return out;
}

Json passes_json(const PassesState& p) {
  return {{"pass", p.pass},
          {"round_in_pass", p.round_in_pass},
          {"finished", p.finished},
          {"archive", archive_json(p.archive)},
          {"teacher", archive_json(p.teachers)}};
}

Json state_json(const EvolutionState& s) {
  Json history = Json::array(), optimizers = Json::array();
  for (const HistoryEntry& entry : s.model.history.entries())
    history.push_back({entry.round, entry.significant});
  for (const nn::OptimizerState& o : s.optimizers) {
    optimizers.push_back({{"step", o.step}, {"moments", o.moments.size()}});
  }
  return {{"round", s.round},
          {"gradient_steps", s.gradient_steps},
          {"next_explore", s.next_explore},
          {"next_assess", s.next_assess},
          {"next_adapt", s.next_adapt},
          {"history", history},
          {"history_limit", s.model.history.limit()},
          {"just_expanded", s.model.just_expanded},
          {"growths", s.model.growths},
          {"optimizers", optimizers}};
}

Checkpoint checkpoint_from(const nn::Safetensors& file, const std::string& where) {
  const auto& meta = file.metadata();
  if (!meta.contains("format") || meta.at("format") != checkpoint_format)
    fail("want the format ", checkpoint_format);
  const Json json = Json::parse(meta.at("state"));
  Checkpoint out;
  out.experiment = from_hex(meta.at("experiment"));
  out.data = from_hex(meta.at("data"));
  const Json passes = Json::parse(meta.at("passes"));
  out.passes = {.evolution = {},
                .pass = passes.at("pass"),
                .round_in_pass = passes.at("round_in_pass"),
                .finished = passes.at("finished"),
                .archive = archive_from(passes, file, "archive", where),
                .teachers = archive_from(passes, file, "teacher", where)};
  EvolutionState& s = out.passes.evolution;
  s.round = json.at("round");
  s.gradient_steps = json.at("gradient_steps");
  s.next_explore = json.at("next_explore");
  s.next_assess = json.at("next_assess");
  s.next_adapt = json.at("next_adapt");
  s.model.network = nn::network_from_json(meta.at("network"), where);
  const auto layout = nn::layout(s.model.network);
  s.model.params = nn::parameters_from(file, "params/", layout);
  s.model.stable = nn::parameters_from(file, "stable/", layout);
  s.model.history = History(json.at("history_limit").get<int>());
  for (const Json& entry : json.at("history")) s.model.history.append({entry.at(0), entry.at(1)});
  s.model.just_expanded = json.at("just_expanded");
  s.model.growths = json.at("growths");
  for (std::size_t c = 0; c < json.at("optimizers").size(); ++c) {
    const Json& optimizer = json.at("optimizers")[c];
    nn::OptimizerState state{.step = optimizer.at("step")};
    for (std::size_t m = 0; m < optimizer.at("moments"); ++m) {
      const autodiff::Tensor values = file.tensor(moment_name(c, m), {static_cast<int>(layout->size())});
      std::copy(values.begin(), values.end(), state.moments.emplace_back(values.size()).begin());
    }
    s.optimizers.push_back(std::move(state));
  }
  return out;
}

}  // namespace

std::string to_bytes(const Checkpoint& checkpoint) {
  const EvolutionState& s = checkpoint.passes.evolution;
  nn::SafetensorsWriter writer;
  nn::add_parameters(writer, "params/", s.model.params);
  nn::add_parameters(writer, "stable/", s.model.stable);
  const std::vector<nn::OptimizerState>& optimizers = s.optimizers;
  for (std::size_t c = 0; c < optimizers.size(); ++c) {
    for (std::size_t m = 0; m < optimizers[c].moments.size(); ++m) {
      const auto& values = optimizers[c].moments[m];
      writer.add(moment_name(c, m), values, {static_cast<int>(values.size())});
    }
  }
  const auto add_archive = [&writer](const char* list, const std::vector<Archived>& archive) {
    for (std::size_t i = 0; i < archive.size(); ++i) {
      nn::add_parameters(writer, archive_name(list, i), archive[i].params);
    }
  };
  add_archive("archive", checkpoint.passes.archive);
  add_archive("teacher", checkpoint.passes.teachers);
  writer.metadata("format", checkpoint_format);
  writer.metadata("network", nn::to_json(s.model.network));
  writer.metadata("state", state_json(s).dump());
  writer.metadata("passes", passes_json(checkpoint.passes).dump());
  writer.metadata("experiment", autodiff::hex(checkpoint.experiment));
  writer.metadata("data", autodiff::hex(checkpoint.data));
  writer.metadata("checksum", std::string(no_checksum));
  std::string bytes = writer.bytes();
  const std::size_t at = bytes.find(checksum_key) + checksum_key.size();
  return bytes.replace(at, no_checksum.size(), digits_of(autodiff::crc32c(bytes)));
}

Checkpoint parse_checkpoint(std::string bytes, const std::string& where) {
  const std::size_t at = bytes.find(checksum_key) + checksum_key.size();
  if (at < checksum_key.size() || at + no_checksum.size() > bytes.size()) {
    fail(where, ": not a checkpoint: it has no checksum");
  }
  const std::string digits = bytes.substr(at, no_checksum.size());
  bytes.replace(at, no_checksum.size(), no_checksum);
  if (const std::string sum = digits_of(autodiff::crc32c(bytes)); sum != digits) {
    fail(where, ": damaged: its checksum is ", sum, ", want ", autodiff::in_quotes(digits));
  }
  try {
    return checkpoint_from(nn::Safetensors::parse(std::move(bytes), where), where);
  } catch (const std::exception& error) {
    fail(where, ": not a checkpoint: ", error.what());
  }
}

std::filesystem::path slot(const std::filesystem::path& folder, int round) {
  return folder / (round % 2 == 0 ? "a.safetensors" : "b.safetensors");
}

void write_checkpoint(const std::filesystem::path& folder, const Checkpoint& checkpoint) {
  autodiff::write_file(slot(folder, checkpoint.passes.evolution.round), to_bytes(checkpoint));
}

Newest read_newest(const std::filesystem::path& folder) {
  std::optional<Checkpoint> newest;
  std::string warning;
  for (const int round : {0, 1}) {
    const std::filesystem::path path = slot(folder, round);
    if (!std::filesystem::exists(path)) continue;
    try {
      Checkpoint checkpoint = parse_checkpoint(autodiff::read_file(path), path.string());
      if (!newest || checkpoint.passes.evolution.round > newest->passes.evolution.round)
        newest = std::move(checkpoint);
    } catch (const autodiff::Error& error) {
      warning += (warning.empty() ? "" : "; ") + std::string(error.what());
    }
  }
  if (newest) return {std::move(*newest), warning};
  fail(folder.string(), ": no checkpoint to go on from", warning.empty() ? "" : ": ", warning);
}

}  // namespace ev3::cli
