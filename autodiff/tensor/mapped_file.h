// Files larger than memory, as bytes.
#pragma once

#include <cstddef>
#include <filesystem>
#include <string_view>
#include <utility>

namespace autodiff {

/// The bytes of a file, which the system reads when they are looked at and forgets when memory is short. The
/// file must not be made shorter meanwhile: whoever then looks at what is gone is ended by the system
/// (SIGBUS). Replacing the file by another of the same name is harmless.
class MappedFile {
 public:
  /// Throws Error with the path and the reason when it is missing, no regular file or not readable.
  explicit MappedFile(const std::filesystem::path& path);
  MappedFile(MappedFile&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  MappedFile& operator=(MappedFile&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  ~MappedFile();

  /// Valid as long as this object, or the one it was moved to, lives.
  std::string_view bytes() const { return {static_cast<const char*>(data_), size_}; }

 private:
  void* data_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace autodiff
