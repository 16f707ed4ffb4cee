// Ctrl-C: the first one asks, the second one kills.
#pragma once

#include <atomic>

namespace ev3::cli {

/// From here on a file size limit is an error of write(), as a full disk is, and no longer the end of the
/// process.
void ignore_file_size_signal();

/// While it lives, SIGINT and SIGTERM set `stop` once and are then as before: another one ends the process.
/// One at a time.
class Interrupt {
 public:
  explicit Interrupt(std::atomic<bool>& stop);
  ~Interrupt();
  Interrupt(const Interrupt&) = delete;
  Interrupt& operator=(const Interrupt&) = delete;
};

}  // namespace ev3::cli
