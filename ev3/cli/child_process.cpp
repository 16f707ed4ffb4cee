#include "ev3/cli/child_process.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#if __has_include(<sys/prctl.h>)
#include <sys/prctl.h>
#endif

#include <cerrno>
#include <cstring>

#include "autodiff/tensor/error.h"

namespace ev3::cli {
namespace {

using autodiff::fail;

constexpr int not_started = 127;

// In the child, between fork and exec: system calls only.
[[noreturn]] void become(char* const* arguments, int input, int errors, pid_t parent) {
#if defined(PR_SET_PDEATHSIG)
  ::prctl(PR_SET_PDEATHSIG, SIGTERM);
#endif
  const int nowhere = ::open("/dev/null", O_WRONLY);
  const bool ready = ::getppid() == parent && nowhere >= 0 && ::dup2(input, STDIN_FILENO) >= 0 &&
                     ::dup2(nowhere, STDOUT_FILENO) >= 0 && ::dup2(errors, STDERR_FILENO) >= 0;
  if (ready) ::execv("/proc/self/exe", arguments);
  ::_exit(not_started);
}

}  // namespace

ChildProcess::File ChildProcess::temporary() {
  File file(std::tmpfile());
  if (!file) fail("cannot make a temporary file: ", std::strerror(errno));
  return file;
}

ChildProcess::ChildProcess(const std::vector<std::string>& arguments, const std::string& input)
    : errors_(temporary()) {
  const File in = temporary();
  if (std::fwrite(input.data(), 1, input.size(), in.get()) != input.size() || std::fflush(in.get()) != 0) {
    fail("cannot write a temporary file: ", std::strerror(errno));
  }
  std::rewind(in.get());
  std::vector<std::string> words = arguments;
  words.insert(words.begin(), "ev3");
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  const pid_t parent = ::getpid();
  id_ = ::fork();
  if (id_ == 0) become(argv.data(), ::fileno(in.get()), ::fileno(errors_.get()), parent);
  if (id_ < 0) fail("cannot start a process: ", std::strerror(errno));
}

std::optional<int> ChildProcess::poll() {
  int status = 0;
  if (!ended_ && ::waitpid(id_, &status, WNOHANG) == id_) {
    ended_ = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  }
  return ended_;
}

void ChildProcess::stop() {
  if (!ended_) ::kill(id_, SIGTERM);
}

std::string ChildProcess::errors() const {
  std::string out;
  char piece[4096];
  std::rewind(errors_.get());
  while (const std::size_t size = std::fread(piece, 1, sizeof piece, errors_.get())) out.append(piece, size);
  return out;
}

}  // namespace ev3::cli
