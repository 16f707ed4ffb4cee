// Ctrl-C: the first one asks, the second one kills.
#pragma once

#include <atomic>

namespace ev3::cli {

/// While it lives, SIGINT and SIGTERM set `stop` once and are then as before: another one ends the process.
/// SIGXFSZ is ignored meanwhile, so that a file size limit is an error of write(). One at a time.
class Interrupt {
 public:
  explicit Interrupt(std::atomic<bool>& stop);
  ~Interrupt();
  Interrupt(const Interrupt&) = delete;
  Interrupt& operator=(const Interrupt&) = delete;
};

}  // namespace ev3::cli
