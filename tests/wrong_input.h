// What the tables of wrong input share: a case, and the check that it is refused.
#pragma once

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <string>

#include "tests/catch.h"
#include "tests/command.h"

namespace wrong_input {

namespace fs = std::filesystem;

/// Writes a file, and the folder it is in.
inline void write(const fs::path& path, const std::string& bytes) {
  fs::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary) << bytes;
}

/// "name: content" of everything below a folder.
inline std::map<std::string, std::string> snapshot(const fs::path& folder) {
  std::map<std::string, std::string> out;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    const std::string name = fs::relative(entry.path(), folder).string();
    out[name] = entry.is_regular_file() ? content_of(entry.path()) : "not a file";
  }
  return out;
}

/// One wrong input, and what is said about it.
struct Case {
  const char* name;
  std::string arguments;  ///< @ stands for the folder of the case
  std::string part;       ///< of the message
  std::function<void(const fs::path&)> prepare = [](const fs::path&) {};
};

/// The text with every @ replaced.
inline std::string with_folder(std::string text, const fs::path& folder) {
  for (std::size_t at = 0; (at = text.find('@', at)) != text.npos;) text.replace(at, 1, folder.string());
  return text;
}

/// Runs the case in its folder: one line that contains the part, exit code 2, nothing changed.
inline void check_refused(const Case& c, const fs::path& folder) {
  const auto before = snapshot(folder);
  const Outcome outcome = ev3_command(with_folder(c.arguments, folder));
  CHECK(outcome.code == 2);
  CHECK(outcome.out == "");
  CHECK_THAT(outcome.err, ContainsSubstring(c.part));
  CHECK(std::count(outcome.err.begin(), outcome.err.end(), '\n') == 1);
  CHECK(snapshot(folder) == before);
}

}  // namespace wrong_input
