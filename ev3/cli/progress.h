// What is shown while a round is being computed: a bar on a terminal, else a line now and then.
#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>

#include "ev3/explore.h"

namespace ev3::cli {

/// "0:42", "12:05", "3:20:00"
std::string duration(double seconds);

/// Shows how far explore is, on standard error, from a thread of its own, from begin() to end() of each
/// round.
class ProgressBar {
 public:
  enum class Style { none, bar, lines };
  /// A bar where standard error is a terminal, else lines; none when quiet.
  static Style style(bool quiet);

  ProgressBar(const Progress& progress, Style style, int rounds);
  ~ProgressBar();
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;

  /// A round of so many gradient steps begins; `round` from 1. `stable` is shown beside it: "stable .944".
  void begin(int round, std::int64_t steps, const std::string& stable);
  /// It is over: nothing of it remains on the terminal.
  void end();

 private:
  using Clock = std::chrono::steady_clock;
  void watch();
  void show(Clock::time_point now);

  const Progress& progress_;
  Style style_;
  int rounds_;
  std::mutex mutex_;
  std::condition_variable wake_;
  bool active_ = false, shown_ = false, over_ = false;
  int round_ = 0, rounds_done_ = 0;
  std::int64_t steps_ = 0, before_ = 0;
  std::string stable_;
  Clock::time_point started_, first_;
  std::thread thread_;  // the last member: it uses the others
};

}  // namespace ev3::cli
