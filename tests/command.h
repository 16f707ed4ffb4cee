// Running the program `ev3` as a user does: arguments in, output and exit code out.
#pragma once

#include <sys/wait.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <string>

#include "tests/files.h"

struct Outcome {
  int code = -1;         ///< exit code; -1 when a signal ended it
  std::string out, err;  ///< standard output and error
};

inline std::string content_of(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// The content of every file below a folder but those that tell times: what two equal runs have in common.
inline std::map<std::string, std::string> lasting_files(const std::filesystem::path& folder) {
  std::map<std::string, std::string> out;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    const std::string file = entry.path().filename().string();
    const bool tells_times = file.starts_with("metrics") || file.starts_with("events") || file == "env.txt";
    const std::string name = std::filesystem::relative(entry.path(), folder).string();
    if (entry.is_regular_file() && !tells_times) out[name] = content_of(entry.path());
  }
  return out;
}

/// `ev3 ARGUMENTS`, which the shell splits; in the current folder.
inline Outcome ev3_command(const std::string& arguments) {
  const TempFolder folder;
  const std::string out = folder / "out", err = folder / "err";
  const int status =
      std::system((EV3_PROGRAM " " + arguments + " >" + out + " 2>" + err + " </dev/null").c_str());
  return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, content_of(out), content_of(err)};
}
