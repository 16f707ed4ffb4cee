// This program once more, as a child process.
#pragma once

#include <sys/types.h>

#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace ev3::cli {

class ChildProcess {
 public:
  /// Starts `ev3 ARGUMENTS...` with `input` as its standard input. What it prints is dropped, its errors are
  /// kept. Where the system can do it, the child is asked to stop (SIGTERM) when this process ends in any
  /// way. Throws Error when there is no process to be had.
  ChildProcess(const std::vector<std::string>& arguments, const std::string& input);
  ChildProcess(ChildProcess&&) = default;
  ChildProcess& operator=(ChildProcess&&) = default;

  /// Nothing while it runs; then its exit code, or minus the signal that ended it.
  std::optional<int> poll();
  /// Asks it to stop (SIGTERM).
  void stop();
  /// What it wrote to standard error.
  std::string errors() const;

 private:
  struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  using File = std::unique_ptr<std::FILE, Close>;
  static File temporary();

  pid_t id_ = 0;
  File errors_;
  std::optional<int> ended_;
};

}  // namespace ev3::cli
