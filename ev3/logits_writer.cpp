#include "ev3/logits_writer.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>
#include <utility>

#include "autodiff/tensor/error.h"

namespace ev3 {

using autodiff::fail;

namespace {

using Json = nlohmann::ordered_json;

[[noreturn]] void refuse(const std::filesystem::path& path, int error) {
  fail("cannot write ", path.string(), ": ", std::strerror(error));
}

}  // namespace

LogitsWriter::LogitsWriter(const std::filesystem::path& path, const LogitsLayout& layout)
    : path_(path), layout_(layout) {
  if (layout.rows < 1 || layout.classes < 1 || layout.sample.rank() != 3 || layout.sample.size() == 0) {
    fail(path.string(), ": want at least one row of an image [H, W, C] and its logits, got ", layout.rows,
         " of ", layout.sample, " and ", layout.classes, " logits");
  }
  const auto rows = static_cast<std::size_t>(layout.rows);
  const std::size_t class_end = layout.with_class ? 4 * rows : 0;
  const std::size_t label_end = class_end + 4 * rows * static_cast<std::size_t>(layout.classes);
  const std::size_t feature_end = label_end + rows * layout.sample.size();
  const auto& s = layout.sample;
  Json header = Json::object();
  if (!layout.metadata.empty()) header["__metadata__"] = layout.metadata;
  if (layout.with_class) {
    header["class"] = {{"dtype", "I32"}, {"shape", {layout.rows}}, {"data_offsets", {0, class_end}}};
  }
  header["label"] = {
      {"dtype", "F32"}, {"shape", {layout.rows, layout.classes}}, {"data_offsets", {class_end, label_end}}};
  header["feature"] = {{"dtype", "U8"},
                       {"shape", {layout.rows, s[0], s[1], s[2]}},
                       {"data_offsets", {label_end, feature_end}}};
  std::string text;
  try {
    text = header.dump();
  } catch (const Json::exception&) {
    fail(path.string(), ": want metadata in UTF-8");
  }
  text.resize((text.size() + 7) / 8 * 8, ' ');
  const std::uint64_t length = text.size();
  class_at_ = sizeof length + text.size();
  label_at_ = class_at_ + class_end;
  feature_at_ = class_at_ + label_end;

  struct stat info {};
  if (::stat(path_.c_str(), &info) == 0 && !S_ISREG(info.st_mode)) {
    fail("cannot write ", path_.string(), ": want a file, it is ",
         S_ISDIR(info.st_mode) ? "a directory" : "not a regular file");
  }
  file_ = ::open(temporary().c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0666);
  if (file_ < 0) refuse(path_, errno);
  try {
    const int error = ::posix_fallocate(file_, 0, static_cast<off_t>(class_at_ + feature_end));
    if (error != 0) refuse(path_, error);
    write(0, std::as_bytes(std::span(&length, 1)));
    write(sizeof length, std::as_bytes(std::span(text)));
  } catch (...) {
    ::close(std::exchange(file_, -1));
    ::unlink(temporary().c_str());
    throw;
  }
}

LogitsWriter::~LogitsWriter() {
  if (file_ < 0) return;
  ::close(file_);
  ::unlink(temporary().c_str());
}

void LogitsWriter::write(std::size_t at, std::span<const std::byte> bytes) const {
  while (!bytes.empty()) {
    const ssize_t written = ::pwrite(file_, bytes.data(), bytes.size(), static_cast<off_t>(at));
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) refuse(path_, written < 0 ? errno : EIO);
    bytes = bytes.subspan(static_cast<std::size_t>(written));
    at += static_cast<std::size_t>(written);
  }
}

void LogitsWriter::append(std::span<const std::uint8_t> pixels, std::span<const float> logits,
                          std::span<const std::int32_t> labels) {
  const std::size_t image = layout_.sample.size(), width = static_cast<std::size_t>(layout_.classes);
  const std::size_t count = pixels.size() / image, first = static_cast<std::size_t>(done_);
  if (file_ < 0) fail(path_.string(), ": is finished: no rows can be added");
  if (pixels.size() != count * image || logits.size() != count * width ||
      labels.size() != (layout_.with_class ? count : 0)) {
    fail(path_.string(), ": want whole images ", layout_.sample, ", ", width, " logits for each and ",
         layout_.with_class ? "one class" : "no class", "; got ", pixels.size(), " bytes, ", logits.size(),
         " logits and ", labels.size(), " classes");
  }
  if (count > static_cast<std::size_t>(layout_.rows) - first) {
    fail(path_.string(), ": want ", layout_.rows, " rows in all, got ", first + count);
  }
  for (std::size_t i = 0; i < logits.size(); ++i) {
    if (!std::isfinite(logits[i])) {
      fail(path_.string(), ": row ", first + i / width, ": want finite logits, got ", logits[i]);
    }
  }
  for (std::size_t i = 0; i < labels.size(); ++i) {
    if (labels[i] < 0 || labels[i] >= layout_.classes) {
      fail(path_.string(), ": row ", first + i, ": want a class in 0 .. ", width - 1, ", got ", labels[i]);
    }
  }
  write(class_at_ + first * sizeof(std::int32_t), std::as_bytes(labels));
  write(label_at_ + first * width * sizeof(float), std::as_bytes(logits));
  write(feature_at_ + first * image, std::as_bytes(pixels));
  done_ += static_cast<int>(count);
}

void LogitsWriter::finish() {
  if (done_ != layout_.rows) {
    fail(path_.string(), ": want ", layout_.rows, " rows before the end, got ", done_);
  }
  if (file_ < 0) return;
  if (::fsync(file_) != 0) refuse(path_, errno);
  if (::close(std::exchange(file_, -1)) != 0 || ::rename(temporary().c_str(), path_.c_str()) != 0) {
    const int error = errno;
    ::unlink(temporary().c_str());
    refuse(path_, error);
  }
}

}  // namespace ev3
