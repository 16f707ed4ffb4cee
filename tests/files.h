// What the tests of files share: a folder that vanishes, the text of an error, bytes and damage.
#pragma once

#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <string_view>

#include "autodiff/tensor/error.h"
#include "autodiff/tensor/random.h"

/// A new empty folder, removed with all it holds at the end of the test.
class TempFolder {
 public:
  TempFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "ev3-test-XXXXXX").string();
    if (!::mkdtemp(name.data())) autodiff::fail("cannot make a temporary folder ", name);
    path_ = name;
  }
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;
  ~TempFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  std::filesystem::path operator/(const std::string& name) const { return path_ / name; }
  /// How many files and folders are in it.
  int count() const {
    int n = 0;
    for (const auto& entry : std::filesystem::directory_iterator(path_)) n += entry.path().empty() ? 0 : 1;
    return n;
  }

 private:
  std::filesystem::path path_;
};

/// The text of the Error that `action` throws, or "no error".
template <class Action>
std::string error_of(const Action& action) {
  try {
    action();
  } catch (const autodiff::Error& error) {
    return error.what();
  }
  return "no error";
}

/// Bytes from hexadecimal digits.
inline std::string unhex(std::string_view digits) {
  std::string out;
  for (std::size_t i = 0; i + 1 < digits.size(); i += 2) {
    out += static_cast<char>(std::stoi(std::string(digits.substr(i, 2)), nullptr, 16));
  }
  return out;
}

/// `count` bytes, the least significant first.
inline std::string little_endian(std::uint64_t value, int count) {
  std::string out;
  for (int i = 0; i < count; ++i) out += static_cast<char>(value >> 8 * i & 0xff);
  return out;
}

/// `bytes` with `part` written over what begins at `at`.
inline std::string patched(std::string bytes, std::size_t at, std::string_view part) {
  return bytes.replace(at, part.size(), part);
}

/// Damages `bytes` in the way number `index` of a seed: one to three bytes replaced, and now and then the end
/// cut off.
inline std::string damaged(std::string bytes, std::uint64_t index) {
  const autodiff::Random random(autodiff::Seed{7}.stream(index));
  const std::uint64_t changes = 1 + random.below(0, 3);
  for (std::uint64_t i = 0; i < changes; ++i) {
    bytes[random.below(1 + 2 * i, bytes.size())] = static_cast<char>(random.below(2 + 2 * i, 256));
  }
  if (random.below(10, 8) == 0) bytes.resize(random.below(11, bytes.size()));
  return bytes;
}
