// Recording what a teacher says: the .safetensors file that LogitsFile reads, batch by batch.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>

#include "autodiff/tensor/shape.h"

namespace ev3 {

/// What the file will hold; its size follows from it, so that a full disk is noticed at the start.
struct LogitsLayout {
  int rows = 0;
  autodiff::Shape sample;  ///< of one image, [H, W, C]
  int classes = 0;
  bool with_class = true;                         ///< whether the true classes are recorded, too
  std::map<std::string, std::string> metadata{};  ///< of the file, such as who the teacher was
};

/// Writes to `path`.tmp, which `finish` renames; without it, nothing is left behind.
class LogitsWriter {
 public:
  /// Throws Error for a layout without rows, images [H, W, C] or classes, metadata that are not UTF-8, and
  /// when there is no room or no permission for the file.
  LogitsWriter(const std::filesystem::path& path, const LogitsLayout& layout);
  LogitsWriter(const LogitsWriter&) = delete;
  LogitsWriter& operator=(const LogitsWriter&) = delete;
  ~LogitsWriter();

  /// The next m rows: pixels [m, H, W, C], logits [m, classes], labels [m] (empty without with_class). Throws
  /// Error for sizes that do not fit together, more rows than were announced, logits that are not finite,
  /// labels out of range, and when the file cannot be written.
  void append(std::span<const std::uint8_t> pixels, std::span<const float> logits,
              std::span<const std::int32_t> labels);
  /// Rows so far.
  int rows() const { return done_; }
  /// Brings everything to disk and gives the file its name. Throws Error unless all rows were appended.
  void finish();

 private:
  std::filesystem::path temporary() const { return path_.string() + ".tmp"; }
  void write(std::size_t at, std::span<const std::byte> bytes) const;

  std::filesystem::path path_;
  LogitsLayout layout_;
  int file_ = -1, done_ = 0;
  std::size_t class_at_ = 0, label_at_ = 0, feature_at_ = 0;  // where the arrays begin
};

}  // namespace ev3
