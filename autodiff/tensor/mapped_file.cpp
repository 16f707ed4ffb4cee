#include "autodiff/tensor/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "autodiff/tensor/error.h"

namespace autodiff {

MappedFile::MappedFile(const std::filesystem::path& path) {
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);  // a pipe must not block
  if (file < 0) fail("cannot read ", path.string(), ": ", std::strerror(errno));
  struct stat info {};
  const bool known = ::fstat(file, &info) == 0;
  int error = known ? 0 : errno;
  if (known && S_ISREG(info.st_mode) && info.st_size > 0) {
    size_ = static_cast<std::size_t>(info.st_size);
    data_ = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, file, 0);
    if (data_ == MAP_FAILED) {
      error = errno;
      data_ = nullptr;
    }
  }
  ::close(file);  // the mapping stays
  if (error != 0) fail("cannot read ", path.string(), ": ", std::strerror(error));
  if (!S_ISREG(info.st_mode)) {
    fail("cannot read ", path.string(), ": want a file, it is ",
         S_ISDIR(info.st_mode) ? "a directory" : "a device, a pipe or a socket");
  }
}

MappedFile::~MappedFile() {
  if (data_) ::munmap(data_, size_);
}

}  // namespace autodiff
