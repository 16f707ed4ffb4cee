#include "ev3/cli/run_folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstring>
#include <ctime>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>

#include "autodiff/tensor/error.h"
#include "autodiff/tensor/file.h"
#include "ev3/cli/checkpoint.h"

namespace ev3::cli {
namespace {

namespace fs = std::filesystem;
using autodiff::fail;

[[noreturn]] void refuse(const char* what, const fs::path& path, int error) {
  fail("cannot ", what, ' ', path.string(), ": ", std::strerror(error));
}

// Removes a folder that is not finished, and the parents made for it, unless told to keep them.
class Unfinished {
 public:
  explicit Unfinished(fs::path path) : path_(std::move(path)) {
    fs::path parent = path_.parent_path();
    while (!parent.empty() && !fs::exists(parent)) {
      parents_.push_back(parent);
      parent = parent.parent_path();
    }
  }
  Unfinished(const Unfinished&) = delete;
  Unfinished& operator=(const Unfinished&) = delete;
  ~Unfinished() {
    if (kept_) return;
    std::error_code ignored;
    fs::remove_all(path_, ignored);
    for (const fs::path& parent : parents_) fs::remove(parent, ignored);
  }
  void keep() { kept_ = true; }

 private:
  fs::path path_;
  std::vector<fs::path> parents_;
  bool kept_ = false;
};

// Calls visit(line) for every whole line until it says no, and cuts the file off there.
void keep_lines(const fs::path& path, const std::function<bool(std::string_view)>& visit) {
  if (!fs::exists(path)) return;
  const std::string text = autodiff::read_file(path);
  std::size_t end = 0;
  while (true) {
    const std::size_t next = text.find('\n', end);
    if (next == std::string::npos || !visit(std::string_view(text).substr(end, next - end))) break;
    end = next + 1;
  }
  if (end < text.size() && ::truncate(path.c_str(), static_cast<off_t>(end)) != 0)
    refuse("shorten", path, errno);
}

// The third cell of a line of metrics.csv; 0 in its header.
int csv_round(std::string_view line) {
  for (int i = 0; i < 2; ++i) line.remove_prefix(std::min(line.size(), line.find(',') + 1));
  int round = 0;
  std::from_chars(line.data(), line.data() + line.size(), round);
  return round;
}

int json_round(std::string_view line) {
  const auto json = nlohmann::json::parse(line, nullptr, false);
  return json.is_object() ? json.value("round", 0) : 0;
}

double now() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

// The event file of a folder, or the name of one to be.
fs::path event_file(const fs::path& folder) {
  fs::path found;
  for (const auto& entry : fs::directory_iterator(folder)) {
    const bool is_one = entry.path().filename().string().starts_with(event_file_prefix);
    if (is_one && (found.empty() || entry.path() < found)) found = entry.path();
  }
  return found.empty() ? folder / event_file_name(now()) : found;
}

// Ends of rounds as metrics.jsonl has them, by round.
std::map<int, double> round_ends(const fs::path& metrics) {
  std::map<int, double> out;
  keep_lines(metrics, [&](std::string_view line) {
    const auto json = nlohmann::json::parse(line, nullptr, false);
    if (json.is_object()) out[json.value("round", 0)] = json.value("time", 0.0);
    return true;
  });
  return out;
}

}  // namespace

AppendFile::AppendFile(fs::path path)
    : path_(std::move(path)), file_(::open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666)) {
  if (file_ < 0) refuse("open", path_, errno);
}

AppendFile::~AppendFile() { ::close(file_); }

void AppendFile::append(std::string_view bytes) {
  const off_t size = ::lseek(file_, 0, SEEK_END);
  int error = 0;
  while (!bytes.empty() && error == 0) {
    const ssize_t written = ::write(file_, bytes.data(), bytes.size());
    if (written > 0) bytes.remove_prefix(static_cast<std::size_t>(written));
    if (written < 0 && errno != EINTR) error = errno;
  }
  if (error == 0 && ::fdatasync(file_) != 0) error = errno;
  if (error == 0) return;
  if (size >= 0 && ::ftruncate(file_, size) != 0)
    fail("cannot write ", path_.string(), ", and its end is damaged");
  refuse("write", path_, error);
}

FolderLock::FolderLock(const fs::path& folder)
    : file_(::open((folder / "lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666)) {
  if (file_ < 0) refuse("open", folder / "lock", errno);
  if (::flock(file_, LOCK_EX | LOCK_NB) == 0) return;
  const int error = errno;
  ::close(file_);
  if (error == EWOULDBLOCK)
    fail(folder.string(), ": in use by another process; wait for it, or stop it first");
  refuse("lock", folder / "lock", error);
}

FolderLock::~FolderLock() {
  if (file_ >= 0) ::close(file_);
}

RunFolder::RunFolder(fs::path path, FolderLock lock)
    : path_(std::move(path)), events_(event_file(path_)), lock_(std::move(lock)) {}

void RunFolder::want_free(const fs::path& path) {
  const fs::file_status status = fs::status(path);
  if (!fs::exists(status)) return;
  if (!fs::is_directory(status))
    fail("--out ", path.string(), ": want a folder, there is a file of that name");
  if (fs::is_empty(path)) return;
  fail("--out ", path.string(), ": there is something in it, which is not overwritten; ",
       fs::exists(path / "config.toml") ? "go on with it (ev3 run --resume " + path.string() + "), or name"
                                        : "name",
       " another folder");
}

fs::path RunFolder::next_free() {
  char date[16];
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  ::localtime_r(&now, &parts);
  std::strftime(date, sizeof date, "%Y-%m-%d", &parts);
  for (int n = 1;; ++n) {
    fs::path path = fs::path("runs") / (std::string(date) + '-' + std::to_string(n));
    if (!fs::exists(path)) return path;
  }
}

RunFolder RunFolder::create(const fs::path& path, const Start& start) {
  want_free(path);
  const fs::path target = (path.has_filename() ? path : path.parent_path()).lexically_normal();
  const fs::path temporary = target.string() + ".starting";
  if (fs::exists(temporary)) {
    const FolderLock left_behind(temporary);
    fs::remove_all(temporary);
  }
  Unfinished unfinished(temporary);
  std::error_code error;
  fs::create_directories(temporary / "checkpoints", error);
  if (error) fail("cannot make the folder ", path.string(), ": ", error.message());
  FolderLock lock(temporary);
  autodiff::write_file(temporary / "config.toml", start.config);
  autodiff::write_file(temporary / "env.txt", start.environment);
  autodiff::write_file(temporary / "rounds.jsonl", "");
  autodiff::write_file(temporary / "metrics.jsonl", "");
  autodiff::write_file(temporary / "metrics.csv", metrics_csv_header);
  autodiff::write_file(temporary / event_file_name(now()), first_event(now()));
  nn::write_model(temporary / "model.safetensors", start.model.network, start.model.parameters,
                  start.model.metadata);
  autodiff::write_file(slot(temporary / "checkpoints", 0), start.checkpoint);
  if (::rename(temporary.c_str(), target.c_str()) != 0) refuse("make the folder", path, errno);
  unfinished.keep();
  return {target, std::move(lock)};
}

RunFolder RunFolder::open(const fs::path& path) {
  if (!fs::is_directory(path)) fail("--resume ", path.string(), ": no such folder");
  for (const char* name : {"config.toml", "rounds.jsonl", "checkpoints"}) {
    if (!fs::exists(path / name))
      fail("--resume ", path.string(), ": not the folder of a run: it has no ", name);
  }
  return {path, FolderLock(path)};
}

void RunFolder::append(const Round& round, const RoundTime& time) {
  // The records come last: where they are, the metrics are.
  AppendFile(path_ / "metrics.jsonl").append(metrics_jsonl(round, time));
  AppendFile(path_ / "metrics.csv").append(metrics_csv(round, time));
  AppendFile(events_).append(metrics_event(round, time.end));
  AppendFile(path_ / "rounds.jsonl").append(to_json(round) + "\n");
}

void RunFolder::append_environment(const std::string& text) { AppendFile(path_ / "env.txt").append(text); }

namespace {

void write_unless_same(const fs::path& path, const nn::ModelFile& wanted) {
  try {
    const nn::ModelFile there = nn::read_model(path);
    auto metadata = wanted.metadata;
    metadata["network"] = nn::to_json(wanted.network);
    if (there.parameters == wanted.parameters && there.metadata == metadata) return;
  } catch (const autodiff::Error&) {  // missing or damaged: it is written anew
  }
  nn::write_model(path, wanted.network, wanted.parameters, wanted.metadata);
}

}  // namespace

void RunFolder::write_model(const nn::ModelFile& wanted) const { write_unless_same(model(), wanted); }

void RunFolder::write_archived(const nn::ModelFile& wanted) const {
  std::string name = nn::describe(wanted.network);
  std::replace(name.begin(), name.end(), ' ', '-');
  fs::create_directories(path_ / "archive");
  write_unless_same(path_ / "archive" / (name + ".safetensors"), wanted);
}

std::vector<Round> RunFolder::cut_back(int rounds) const {
  std::vector<Round> records;
  const fs::path path = path_ / "rounds.jsonl";
  const std::string text = autodiff::read_file(path);
  const auto done = [&] { return static_cast<int>(records.size()); };
  // Looked at as a whole before anything is cut.
  for (std::size_t begin = 0; done() < rounds;) {
    const std::size_t end = text.find('\n', begin);
    if (end == std::string::npos) {
      fail(path.string(), ": has the records of ", done(), " rounds, but the checkpoint is that of round ",
           rounds, "; put the whole file back");
    }
    const std::string where = path.string() + ":" + std::to_string(done() + 1);
    records.push_back(round_from_json(std::string_view(text).substr(begin, end - begin), where));
    if (records.back().record.round + 1 != done()) fail(where, ": want the record of round ", done());
    begin = end + 1;
  }
  // What a kill in the middle of autodiff::write_file leaves behind.
  for (const fs::path& file : {config(), model(), slot(checkpoints(), 0), slot(checkpoints(), 1)}) {
    fs::remove(file.string() + ".tmp");
  }
  int kept = 0;
  keep_lines(path, [&](std::string_view) { return kept++ < rounds; });
  keep_lines(path_ / "metrics.jsonl", [&](std::string_view line) { return json_round(line) <= rounds; });
  keep_lines(path_ / "metrics.csv", [&](std::string_view line) { return csv_round(line) <= rounds; });
  cut_back_events(records);
  return records;
}

void RunFolder::cut_back_events(const std::vector<Round>& rounds) const {
  const std::string there = fs::exists(events_) ? autodiff::read_file(events_) : "";
  const WholeEvents whole = whole_events(there, static_cast<int>(rounds.size()) + 1);
  if (whole.bytes < there.size() && ::truncate(events_.c_str(), static_cast<off_t>(whole.bytes)) != 0) {
    refuse("shorten", events_, errno);
  }
  const std::map<int, double> ends = round_ends(path_ / "metrics.jsonl");
  const auto end = [&](int round) { return ends.contains(round) ? ends.at(round) : now(); };
  std::string missing = whole.records == 0 ? first_event(end(1)) : "";
  for (std::size_t i = static_cast<std::size_t>(std::max(whole.records - 1, 0)); i < rounds.size(); ++i) {
    missing += metrics_event(rounds[i], end(rounds[i].record.round + 1));
  }
  if (!missing.empty()) AppendFile(events_).append(missing);
}

}  // namespace ev3::cli
