#include "ev3/cli/interrupt.h"

#include <csignal>

namespace ev3::cli {
namespace {

std::atomic<std::atomic<bool>*> to_set{nullptr};
static_assert(std::atomic<std::atomic<bool>*>::is_always_lock_free && std::atomic<bool>::is_always_lock_free);

void on_signal(int) {
  if (std::atomic<bool>* stop = to_set.load()) *stop = true;
}

void handle(int signal, void (*handler)(int), int flags) {
  struct sigaction action {};
  action.sa_handler = handler;
  action.sa_flags = flags;
  ::sigaction(signal, &action, nullptr);
}

}  // namespace

void ignore_file_size_signal() { handle(SIGXFSZ, SIG_IGN, 0); }

Interrupt::Interrupt(std::atomic<bool>& stop) {
  to_set = &stop;
  for (const int signal : {SIGINT, SIGTERM})
    handle(signal, on_signal, static_cast<int>(SA_RESETHAND) | SA_RESTART);
}

Interrupt::~Interrupt() {
  for (const int signal : {SIGINT, SIGTERM}) handle(signal, SIG_DFL, 0);
  to_set = nullptr;
}

}  // namespace ev3::cli
