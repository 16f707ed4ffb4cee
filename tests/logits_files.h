// Files of a teacher's logits for tests, right and wrong.
#pragma once

#include <map>
#include <string>

#include "autodiff/tensor/npy.h"
#include "autodiff/tensor/random.h"

/// How such a file may be wrong.
struct LogitsMaker {
  int rows = 10, classes = 4, height = 6, width = 5, channels = 3;
  int label_rows = -1;  ///< -1: as many as images
  bool with_class = true;
  autodiff::DType feature = autodiff::DType::U8, label = autodiff::DType::F32, truth = autodiff::DType::I32;
  int bad_class = -1;  ///< of row 1

  /// "feature", "label" and "class": random bytes, logits in [-3, 3], class = row % classes.
  std::map<std::string, autodiff::Array> arrays() const {
    const autodiff::Random random(autodiff::Seed{21});
    const auto filled = [&](autodiff::DType dtype, std::vector<std::int64_t> shape, std::uint64_t at) {
      autodiff::Array out{dtype, std::move(shape), {}};
      const std::size_t bytes = *autodiff::byte_count(dtype, out.shape);
      if (dtype == autodiff::DType::F32) {
        std::vector<float> values(bytes / 4);
        for (float& x : values) x = static_cast<float>(random.uniform(at++, -3, 3));
        out.bytes = autodiff::as_chars(std::span(values));
      } else {
        for (std::size_t i = 0; i < bytes; ++i) out.bytes += static_cast<char>(random.below(at++, 256));
      }
      return out;
    };
    std::map<std::string, autodiff::Array> out;
    out["feature"] = filled(feature, {rows, height, width, channels}, 0);
    out["label"] = filled(label, {label_rows < 0 ? rows : label_rows, classes}, 1'000'000);
    if (with_class) {
      std::string bytes;
      for (int i = 0; i < rows; ++i) {
        const std::int64_t value = i == 1 && bad_class >= 0 ? bad_class : i % classes;
        bytes += autodiff::as_chars(std::span(&value, 1)).substr(0, autodiff::dtype_size(truth));
      }
      out["class"] = {truth, {rows}, bytes};
    }
    return out;
  }
  std::string npz() const { return autodiff::npz_bytes(arrays()); }
};

/// A .npz file whose array number `index` claims to be compressed.
inline std::string claiming_deflate(std::string npz, int index = 0) {
  std::size_t at = npz.find("PK\1\2");
  for (int i = 0; i < index; ++i) at = npz.find("PK\1\2", at + 4);
  npz.at(at + 10) = 8;
  return npz;
}
