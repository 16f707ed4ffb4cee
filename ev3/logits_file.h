// What a teacher said about images, recorded in a file: the data of distillation.
//
//   feature  uint8   [n, H, W, C]   the images
//   label    float32 [n, classes]   the teacher's logits for them
//   class    int32   [n]            their true classes (int64 will do), or absent
//
// in a .npz file, whose arrays must be stored as they are (np.savez, not np.savez_compressed), or in a
// .safetensors file. Such files are larger than memory: they are mapped, and rows are read when needed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "autodiff/tensor/mapped_file.h"
#include "autodiff/tensor/shape.h"

namespace ev3 {

/// Whether a file is meant as one of these: .safetensors, or .npz with a `label` of two axes (with one it is
/// data with classes). False for what cannot be read.
bool is_logits_file(const std::filesystem::path& path);

class LogitsFile {
 public:
  /// Throws Error naming the path for what is no such file: an array that is missing, compressed, of another
  /// type or shape, fewer rows in one array than in another, no rows, a class out of range, and what
  /// nn::parse_safetensors and autodiff::zip_members refuse. The logits themselves are looked at by
  /// copy_logits, the checksums of a .npz file by check_sums.
  explicit LogitsFile(const std::filesystem::path& path);

  const std::string& name() const { return name_; }  ///< the path
  int rows() const { return rows_; }
  /// Shape of one image, [H, W, C].
  const autodiff::Shape& sample() const { return sample_; }
  int classes() const { return classes_; }
  /// All images [n, H, W, C].
  const std::uint8_t* pixels() const { return pixels_; }
  /// The logits of `count` rows from `first` on, to `to` [count, classes]. Throws Error naming the row when
  /// one is not finite. The rows are not checked.
  void copy_logits(std::size_t first, std::size_t count, float* to) const;
  /// The true classes [n], or empty.
  std::span<const std::int32_t> labels() const { return labels_; }

  /// Reads the whole file and throws Error when an array of a .npz file has another checksum than the file
  /// says; .safetensors files have none.
  void check_sums() const;

  /// 64 bits that tell files apart by what they hold: FNV-1a over shapes, images, logits and classes. Reads
  /// the whole file.
  std::uint64_t content_hash() const;
  /// The same of the first and last rows and 1,022 between them: changes with the file, not with the time
  /// that it takes.
  std::uint64_t sampled_hash() const;

 private:
  struct Arrays;
  struct Sum {  // of an array in a .npz file, with its header
    std::string name;
    std::string_view bytes;
    std::uint32_t crc;
  };
  static Arrays npz_arrays(std::string_view bytes, const std::string& where);
  static Arrays safetensors_arrays(std::string_view bytes, const std::string& where);
  void take(const Arrays& arrays);
  std::uint64_t hash_rows(std::size_t first, std::size_t count, std::uint64_t hash) const;
  std::uint64_t hash_start() const;

  std::string name_;
  autodiff::MappedFile file_;
  int rows_ = 0, classes_ = 0;
  autodiff::Shape sample_;
  const std::uint8_t* pixels_ = nullptr;
  const char* logits_ = nullptr;  // not necessarily aligned
  std::vector<std::int32_t> labels_;
  std::vector<Sum> sums_;
};

}  // namespace ev3
