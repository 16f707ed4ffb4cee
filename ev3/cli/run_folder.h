// The folder of a run: what is in it, who may write to it, and how it survives a kill at any moment.
//
//   config.toml          the resolved experiment
//   rounds.jsonl         one line a round: its whole record
//   metrics.jsonl, .csv  the figures of each round, for plotting
//   events.out.tfevents. the same for TensorBoard; the name goes on with the time, the host and the process
//   checkpoints/         a.safetensors and b.safetensors, see checkpoint.h
//   model.safetensors    the parameters to keep, see nn/model_file.h
//   archive/             of a run with passes: the best network of each size, as the last pass left them
//   env.txt              by what it was computed, session by session
//   lock                 held (flock) by the process that computes
//
// A new folder is made under another name, complete with the checkpoint of round 0, and then renamed. After
// that each round appends its lines, syncs them, and then writes its checkpoint: the lines are never behind
// it.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "ev3/cli/record_json.h"
#include "ev3/cli/run_metrics.h"
#include "nn/model_file.h"

namespace ev3::cli {

/// A file that only grows, by whole pieces.
class AppendFile {
 public:
  /// Opens or creates. Throws Error with the path and the reason.
  explicit AppendFile(std::filesystem::path path);
  AppendFile(const AppendFile&) = delete;
  AppendFile& operator=(const AppendFile&) = delete;
  ~AppendFile();
  /// Appends and syncs. Throws Error when it cannot, and then the file is as it was.
  void append(std::string_view bytes);

 private:
  std::filesystem::path path_;
  int file_;
};

/// Keeps others out of a folder, as long as it lives. Throws Error when another process is in.
class FolderLock {
 public:
  explicit FolderLock(const std::filesystem::path& folder);
  FolderLock(FolderLock&& other) noexcept : file_(std::exchange(other.file_, -1)) {}
  FolderLock& operator=(FolderLock&&) = delete;
  ~FolderLock();

 private:
  int file_;
};

class RunFolder {
 public:
  /// What a folder begins with.
  struct Start {
    std::string config, checkpoint, environment;  ///< contents of files
    nn::ModelFile model;
  };
  /// Throws Error unless `path` is free: nothing, or an empty folder.
  static void want_free(const std::filesystem::path& path);
  /// runs/DATE-N with the first N that is free.
  static std::filesystem::path next_free();
  /// Makes a new one. Throws Error for a path that is taken or in use; then nothing has changed.
  static RunFolder create(const std::filesystem::path& path, const Start& start);
  /// One that is there, to go on with it. Throws Error for what is no run folder, or in use.
  static RunFolder open(const std::filesystem::path& path);

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path config() const { return path_ / "config.toml"; }
  std::filesystem::path checkpoints() const { return path_ / "checkpoints"; }
  std::filesystem::path model() const { return path_ / "model.safetensors"; }

  /// Appends what is known of a round.
  void append(const Round& round, const RoundTime& time);
  /// Appends to env.txt.
  void append_environment(const std::string& text);
  /// Writes model.safetensors, unless it is the same already.
  void write_model(const nn::ModelFile& model) const;
  /// Writes a network of the archive, unless it is the same already: archive/resnet-16x1-1-1.safetensors.
  void write_archived(const nn::ModelFile& model) const;
  /// The records of rounds 1 to `rounds`; what comes after them in any of the files is cut off. Throws Error
  /// when one of them is missing or damaged. An event file that is missing or damaged is written anew.
  std::vector<Round> cut_back(int rounds) const;

 private:
  RunFolder(std::filesystem::path path, FolderLock lock);
  void cut_back_events(const std::vector<Round>& rounds) const;

  std::filesystem::path path_, events_;
  FolderLock lock_;
};

}  // namespace ev3::cli
