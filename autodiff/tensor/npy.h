// NumPy's files: .npy holds one array, .npz is a zip archive of them.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "autodiff/tensor/array.h"
#include "autodiff/tensor/zip.h"

namespace autodiff {

/// An array whose bytes live elsewhere, not necessarily aligned.
struct ArrayView {
  DType dtype = DType::F32;
  std::vector<std::int64_t> shape;
  std::string_view bytes;
};

/// The array of a .npy file, format 1.0, 2.0 or 3.0, C order, type <f4 <f8 <i4 <i8 |u1 or |b1. Throws Error
/// with the path for anything else, and for data that are too short or too long for the shape.
Array read_npy(const std::filesystem::path& path);
/// The same from memory; errors begin with `where`.
Array parse_npy(std::string_view bytes, const std::string& where);
/// The same without a copy: the array looks into `bytes`.
ArrayView view_npy(std::string_view bytes, const std::string& where);

/// The .npy file of an array. Throws Error for an array whose bytes do not fit its shape, or the types F16,
/// BF16, I8, I16, U16, U32, U64.
std::string npy_bytes(const Array& array);
void write_npy(const std::filesystem::path& path, const Array& array);

/// An open .npz file: arrays are taken out, and checked, one by one.
class Npz {
 public:
  /// Throws Error with the path when it cannot be read or is no zip archive of .npy files.
  static Npz read(const std::filesystem::path& path);
  /// The same from memory; errors begin with `where`.
  static Npz parse(std::string bytes, std::string where);

  /// Names of the arrays (without ".npy"), sorted.
  std::vector<std::string> names() const;
  bool contains(const std::string& name) const { return members_.contains(name); }
  /// Throws Error with path and name when there is no such array, it is corrupt, or of a kind parse_npy
  /// refuses.
  Array array(const std::string& name) const;

 private:
  std::shared_ptr<const std::string> bytes_;  // shared, so that a copy's members look into it as well
  std::string where_;
  std::map<std::string, ZipMember> members_;
};

/// The .npz file of named arrays, stored without compression; the same arrays give the same bytes. Throws
/// Error as npy_bytes does.
std::string npz_bytes(const std::map<std::string, Array>& arrays);
void write_npz(const std::filesystem::path& path, const std::map<std::string, Array>& arrays);

}  // namespace autodiff
