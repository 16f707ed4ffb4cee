#include "autodiff/tensor/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "autodiff/tensor/deflate.h"
#include "autodiff/tensor/error.h"

namespace autodiff {
namespace {

// An open file; closed when it goes out of scope.
class Descriptor {
 public:
  Descriptor(const std::filesystem::path& path, int flags) : number_(::open(path.c_str(), flags, 0666)) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() { close(); }
  /// False when the system reports that earlier writes have failed (network file systems do it here).
  bool close() { return number_ < 0 || ::close(std::exchange(number_, -1)) == 0; }
  bool open() const { return number_ >= 0; }
  int number() const { return number_; }

 private:
  int number_;
};

[[noreturn]] void refuse(const char* what, const std::filesystem::path& path, int error) {
  fail("cannot ", what, ' ', path.string(), ": ", std::strerror(error));
}

// Writes everything and brings it to disk; 0 or the error number.
int write_all(const std::filesystem::path& path, std::string_view bytes) {
  Descriptor file(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC);
  if (!file.open()) return errno;
  while (!bytes.empty()) {
    const ssize_t written =
        ::write(file.number(), bytes.data(), std::min(bytes.size(), std::size_t{1} << 30));
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return written < 0 ? errno : EIO;
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
  if (::fsync(file.number()) != 0) return errno;
  return file.close() ? 0 : errno;
}

}  // namespace

std::string read_file(const std::filesystem::path& path) {
  const Descriptor file(path, O_RDONLY | O_CLOEXEC);
  if (!file.open()) refuse("read", path, errno);
  struct stat info {};
  if (::fstat(file.number(), &info) != 0) refuse("read", path, errno);
  if (S_ISDIR(info.st_mode)) fail("cannot read ", path.string(), ": want a file, it is a directory");
  if (!S_ISREG(info.st_mode) && !S_ISFIFO(info.st_mode)) {
    fail("cannot read ", path.string(), ": want a file, it is a device or a socket");
  }
  // One byte more than the file's size, so that the first read past the end says so; pipes grow as they come.
  std::string bytes(static_cast<std::size_t>(info.st_size) + 1, '\0');
  std::size_t size = 0;
  while (true) {
    if (size == bytes.size()) bytes.resize(2 * size + 65536);
    const ssize_t got = ::read(file.number(), bytes.data() + size, bytes.size() - size);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) refuse("read", path, errno);
    if (got == 0) break;
    size += static_cast<std::size_t>(got);
  }
  bytes.resize(size);
  return bytes;
}

std::string read_gz(const std::filesystem::path& path) {
  std::string bytes = read_file(path);
  return is_gzip(bytes) ? gunzip(bytes, path.string()) : bytes;
}

void write_file(const std::filesystem::path& path, std::string_view bytes) {
  struct stat info {};
  if (::stat(path.c_str(), &info) == 0 && !S_ISREG(info.st_mode)) {
    fail("cannot write ", path.string(), ": want a file, it is ",
         S_ISDIR(info.st_mode) ? "a directory" : "not a regular file");
  }
  const std::filesystem::path folder = path.has_parent_path() ? path.parent_path() : ".";
  const Descriptor directory(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (!directory.open()) {
    fail("cannot write ", path.string(), ": folder ", folder.string(), ": ", std::strerror(errno));
  }
  const std::filesystem::path temporary = path.string() + ".tmp";
  int error = write_all(temporary, bytes);
  if (error == 0 && ::rename(temporary.c_str(), path.c_str()) != 0) error = errno;
  if (error != 0) {
    ::unlink(temporary.c_str());
    refuse("write", path, error);
  }
  // Some file systems cannot sync a folder and say EINVAL; there the rename is as durable as it gets.
  if (::fsync(directory.number()) != 0 && errno != EINVAL) {
    fail("wrote ", path.string(),
         ", but it may not survive a power cut: syncing the folder failed: ", std::strerror(errno));
  }
}

}  // namespace autodiff
