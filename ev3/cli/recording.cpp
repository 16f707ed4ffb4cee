#include "ev3/cli/recording.h"

#include <charconv>

#include "autodiff/tensor/error.h"
#include "ev3/cli/run_report.h"

namespace ev3::cli {

using autodiff::fail;

Recording::Recording(std::filesystem::path folder, const std::string& iterations)
    : folder_(std::move(folder)) {
  const char *begin = iterations.data(), *end = begin + iterations.size();
  const auto first = std::from_chars(begin, end, first_);
  const bool dots = end - first.ptr > 2 && first.ptr[0] == '.' && first.ptr[1] == '.';
  const auto last = dots ? std::from_chars(first.ptr + 2, end, last_) : first;
  if (first.ec != std::errc() || !dots || last.ec != std::errc() || last.ptr != end || first_ < 0 ||
      last_ < first_) {
    fail("--iterations: want FIRST..LAST, counted from 0, such as 0..2; got '", iterations, "'");
  }
  if (std::filesystem::exists(folder_) &&
      !(std::filesystem::is_directory(folder_) && std::filesystem::is_empty(folder_))) {
    fail("--record-bundle ", folder_.string(), ": want a new or empty folder");
  }
}

void Recording::before(const Evolution& evolution) {
  if (written_ || recorder_) return;
  if (evolution.round() > first_) {
    fail("--iterations: iteration ", first_, " is over already; want one from ", evolution.round(), " on");
  }
  if (evolution.round() == first_) recorder_.emplace(evolution, folder_.filename().string());
}

void Recording::after(const Evolution& evolution, const StepRecord& record) {
  if (!recorder_ || written_) return;
  recorder_->record(evolution, record);
  if (record.round < last_) return;
  recorder_->write(folder_);
  written_ = true;
}

std::string Recording::summary() const {
  const std::string which = std::to_string(first_) + ".." + std::to_string(last_);
  if (written_) return "iterations " + which + " recorded: " + program_name() + " replay " + folder_.string();
  return "iterations " + which + " were not reached: nothing recorded in " + folder_.string();
}

}  // namespace ev3::cli
