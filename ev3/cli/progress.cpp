#include "ev3/cli/progress.h"

#include <fmt/core.h>
#include <unistd.h>

#include <cstdio>

namespace ev3::cli {
namespace {

using std::chrono::milliseconds;

// Round at which a line, not a bar, is worth its while.
constexpr auto line_every = milliseconds(5000), bar_every = milliseconds(100);

double seconds(std::chrono::steady_clock::duration d) { return std::chrono::duration<double>(d).count(); }

std::string bar(double done) {
  constexpr int width = 24;
  const int full = static_cast<int>(done * width);
  return std::string(static_cast<std::size_t>(full), '#') +
         std::string(static_cast<std::size_t>(width - full), '.');
}

}  // namespace

std::string duration(double s) {
  const auto whole = static_cast<long long>(s + 0.5);
  if (whole >= 3600) return fmt::format("{}:{:02}:{:02}", whole / 3600, whole / 60 % 60, whole % 60);
  return fmt::format("{}:{:02}", whole / 60, whole % 60);
}

ProgressBar::Style ProgressBar::style(bool quiet) {
  if (quiet) return Style::none;
  return ::isatty(STDERR_FILENO) ? Style::bar : Style::lines;
}

ProgressBar::ProgressBar(const Progress& progress, Style style, int rounds)
    : progress_(progress), style_(style), rounds_(rounds), first_(Clock::now()) {
  if (style_ != Style::none) thread_ = std::thread([this] { watch(); });
}

ProgressBar::~ProgressBar() {
  if (!thread_.joinable()) return;
  end();
  {
    const std::lock_guard lock(mutex_);
    over_ = true;
  }
  wake_.notify_one();
  thread_.join();
}

void ProgressBar::begin(int round, std::int64_t steps, const std::string& stable) {
  if (style_ == Style::none) return;
  const std::lock_guard lock(mutex_);
  active_ = true;
  round_ = round;
  steps_ = steps;
  before_ = progress_.steps;
  stable_ = stable;
  started_ = Clock::now();
}

void ProgressBar::end() {
  if (style_ == Style::none) return;
  const std::lock_guard lock(mutex_);
  if (active_) ++rounds_done_;
  active_ = false;
  if (shown_ && style_ == Style::bar) std::fputs("\r\x1b[K", stderr);
  shown_ = false;
}

void ProgressBar::watch() {
  std::unique_lock lock(mutex_);
  Clock::time_point last{};
  while (!over_) {
    wake_.wait_for(lock, bar_every);
    const Clock::time_point now = Clock::now();
    const bool due = style_ == Style::bar || (now - started_ >= line_every && now - last >= line_every);
    if (!active_ || over_ || !due) continue;
    show(now);
    last = now;
  }
}

void ProgressBar::show(Clock::time_point now) {
  const std::int64_t steps = progress_.steps - before_;
  const double done = static_cast<double>(steps) / static_cast<double>(steps_);
  const double elapsed = seconds(now - started_), rate = static_cast<double>(steps) / elapsed;
  const double left_here = steps > 0 ? elapsed / done - elapsed : 0;
  // The rest as long as this one: how long a round takes, from those before or from this one's rate.
  const double per_round = rounds_done_ > 0 ? seconds(started_ - first_) / rounds_done_ : elapsed + left_here;
  const double left = left_here + per_round * (rounds_ - round_);
  const std::string text = fmt::format("{}/{}  {:.0f} steps/s  round {} left, run {} left  {}", steps, steps_,
                                       rate, duration(left_here), duration(left), stable_);
  if (style_ == Style::bar) {
    fmt::print(stderr, "\r{:5}  [{}] {}\x1b[K", round_, bar(done), text);
  } else {
    fmt::print(stderr, "round {}: {}\n", round_, text);
  }
  std::fflush(stderr);
  shown_ = true;
}

}  // namespace ev3::cli
