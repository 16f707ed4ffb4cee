// What the tests of wrong input share: a case is a command line, what its error says, and what is prepared in
// a folder that holds a finished run.
#pragma once

#include <algorithm>
#include <fstream>
#include <functional>
#include <map>
#include <vector>

#include "tests/catch.h"
#include "tests/command.h"

namespace wrong_input {

namespace fs = std::filesystem;

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

inline const std::string small =
    "--set data.name=moons --set data.samples=300 --set rounds=3 --set explore.trajectory_length=5 ";

struct Case {
  const char* name;
  std::string arguments;  ///< @ stands for the folder of the case
  std::string part;       ///< of the message
  std::function<void(const fs::path&)> prepare = [](const fs::path&) {};
};

inline void replace(const fs::path& path, const std::string& from, const std::string& to) {
  std::string text = content_of(path);
  const std::size_t at = text.find(from);
  REQUIRE(at != text.npos);
  write(path, text.replace(at, from.size(), to));
}

/// A finished run in a folder "run", made once.
inline const fs::path& finished() {
  static const TempFolder folder;
  static const fs::path path = [] {
    REQUIRE(ev3_command("run --quiet " + small + "--out " + (folder / "run").string()).code == 0);
    return (folder / "run").parent_path();
  }();
  return path;
}

inline std::string with_folder(std::string text, const fs::path& folder) {
  for (std::size_t at = 0; (at = text.find('@', at)) != text.npos;) text.replace(at, 1, folder.string());
  return text;
}

inline void check_refused(const Case& c, const fs::path& folder) {
  const auto before = snapshot(folder);
  const Outcome outcome = ev3_command(with_folder(c.arguments, folder));
  CHECK(outcome.code == 2);
  CHECK(outcome.out == "");
  CHECK_THAT(outcome.err, ContainsSubstring(c.part));
  CHECK(std::count(outcome.err.begin(), outcome.err.end(), '\n') == 1);
  CHECK(snapshot(folder) == before);
}

/// Each case in a folder of its own, beside a finished run.
inline void check_all_refused(const std::vector<Case>& cases) {
  for (const Case& c : cases) {
    INFO(c.name << ": ev3 " << c.arguments);
    const TempFolder temp;
    const fs::path folder = temp / "x";
    fs::copy(finished(), folder, fs::copy_options::recursive);
    c.prepare(folder);
    check_refused(c, folder);
  }
}

}  // namespace wrong_input
