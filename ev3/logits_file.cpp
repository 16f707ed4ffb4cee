#include "ev3/logits_file.h"

#include <cmath>
#include <cstring>
#include <map>
#include <utility>

#include "autodiff/tensor/array.h"
#include "autodiff/tensor/error.h"
#include "autodiff/tensor/hash.h"
#include "autodiff/tensor/npy.h"
#include "autodiff/tensor/text.h"
#include "autodiff/tensor/zip.h"
#include "nn/safetensors_header.h"

namespace ev3 {

using autodiff::ArrayView;
using autodiff::DType;
using autodiff::fail;

struct LogitsFile::Arrays {
  std::string where;
  std::map<std::string, ArrayView> list{};
  std::vector<Sum> sums{};
  // The array of that name; null for "class" where there is none.
  const ArrayView* find(const std::string& name) const {
    const auto found = list.find(name);
    if (found != list.end()) return &found->second;
    if (name == "class") return nullptr;
    std::string present;
    for (const auto& [key, array] : list) present += (present.empty() ? "" : ", ") + key;
    fail(where, ": want arrays feature (uint8 [n, H, W, C]) and label (float32 [n, classes]), got ",
         present.empty() ? "none" : present);
  }
};

namespace {

// Element i of int32 or int64 values, which need not be aligned.
std::int64_t whole(const ArrayView& array, std::size_t i) {
  if (array.dtype == DType::I32) {
    std::int32_t out = 0;
    std::memcpy(&out, array.bytes.data() + i * sizeof out, sizeof out);
    return out;
  }
  std::int64_t out = 0;
  std::memcpy(&out, array.bytes.data() + i * sizeof out, sizeof out);
  return out;
}

std::string what(const ArrayView& array) {
  return std::string(autodiff::dtype_name(array.dtype)) + " " + autodiff::sizes_text(array.shape);
}

}  // namespace

bool is_logits_file(const std::filesystem::path& path) {
  const std::string name = path.string();
  if (name.ends_with(".safetensors")) return true;
  if (!name.ends_with(".npz")) return false;
  try {
    const autodiff::MappedFile file(path);
    for (const autodiff::ZipMember& member : autodiff::zip_members(file.bytes(), name)) {
      if (member.name != "label.npy") continue;
      const std::string unpacked = member.method == 0 ? "" : autodiff::zip_extract(member, name);
      return autodiff::view_npy(unpacked.empty() ? member.data : unpacked, name).shape.size() == 2;
    }
  } catch (const autodiff::Error&) {
  }
  return false;
}

LogitsFile::Arrays LogitsFile::npz_arrays(std::string_view bytes, const std::string& where) {
  Arrays out{.where = where};
  for (const autodiff::ZipMember& member : autodiff::zip_members(bytes, where)) {
    if (!member.name.ends_with(".npy")) continue;
    const std::string name = member.name.substr(0, member.name.size() - 4);
    if (name != "feature" && name != "label" && name != "class") continue;
    const std::string array = where + ": " + autodiff::in_quotes(name);
    if (member.method != 0) {
      fail(array,
           " is compressed, and so cannot be read piece by piece: save it with np.savez, not "
           "np.savez_compressed");
    }
    if (member.size != member.data.size()) {
      fail(array, ": corrupt: want ", member.size, " bytes, got ", member.data.size());
    }
    out.list[name] = autodiff::view_npy(member.data, array);
    out.sums.push_back({array, member.data, member.crc});
  }
  return out;
}

LogitsFile::Arrays LogitsFile::safetensors_arrays(std::string_view bytes, const std::string& where) {
  Arrays out{.where = where};
  for (const nn::SafetensorsEntry& entry : nn::parse_safetensors(bytes, where).entries) {
    out.list[entry.name] = {
        entry.dtype, entry.shape, {reinterpret_cast<const char*>(entry.bytes.data()), entry.bytes.size()}};
  }
  return out;
}

LogitsFile::LogitsFile(const std::filesystem::path& path) : name_(path.string()), file_(path) {
  if (name_.ends_with(".npz")) {
    take(npz_arrays(file_.bytes(), name_));
  } else if (name_.ends_with(".safetensors")) {
    take(safetensors_arrays(file_.bytes(), name_));
  } else {
    fail(name_, ": want a file .npz or .safetensors with a teacher's logits");
  }
}

void LogitsFile::take(const Arrays& arrays) {
  const ArrayView &feature = *arrays.find("feature"), &label = *arrays.find("label");
  const ArrayView* const truth = arrays.find("class");
  if (feature.dtype != DType::U8 || feature.shape.size() != 4) {
    fail(name_, ": want feature U8 [n, H, W, C], got ", what(feature));
  }
  if (label.dtype != DType::F32 || label.shape.size() != 2) {
    fail(name_, ": want label F32 [n, classes], a teacher's logits, got ", what(label));
  }
  const auto images = autodiff::to_shape(feature.shape, name_ + ": feature");
  const auto answers = autodiff::to_shape(label.shape, name_ + ": label");
  rows_ = images[0];
  classes_ = answers[1];
  sample_ = images.sample();
  if (answers[0] != rows_) {
    fail(name_, ": want the logits of every image, got feature ", images, " and label ", answers);
  }
  if (rows_ == 0 || sample_.size() == 0 || classes_ == 0) {
    fail(name_, ": want at least one row, got feature ", images, " and label ", answers);
  }
  pixels_ = reinterpret_cast<const std::uint8_t*>(feature.bytes.data());
  logits_ = label.bytes.data();
  sums_ = arrays.sums;
  if (!truth) return;
  if ((truth->dtype != DType::I32 && truth->dtype != DType::I64) ||
      truth->shape != std::vector<std::int64_t>{rows_}) {
    fail(name_, ": want class I32 [", rows_, "], got ", what(*truth));
  }
  labels_.resize(static_cast<std::size_t>(rows_));
  for (std::size_t i = 0; i < labels_.size(); ++i) {
    const std::int64_t value = whole(*truth, i);
    if (value < 0 || value >= classes_) {
      fail(name_, ": row ", i, ": want a class in 0 .. ", classes_ - 1, ", got ", value);
    }
    labels_[i] = static_cast<std::int32_t>(value);
  }
}

void LogitsFile::copy_logits(std::size_t first, std::size_t count, float* to) const {
  const auto width = static_cast<std::size_t>(classes_);
  std::memcpy(to, logits_ + first * width * sizeof(float), count * width * sizeof(float));
  for (std::size_t i = 0; i < count * width; ++i) {
    if (!std::isfinite(to[i])) {
      fail(name_, ": row ", first + i / width, ": want finite logits, got ", to[i], " for class ", i % width);
    }
  }
}

void LogitsFile::check_sums() const {
  for (const Sum& sum : sums_) {
    if (autodiff::crc32(sum.bytes) != sum.crc) fail(sum.name, ": corrupt: its checksum is wrong");
  }
}

std::uint64_t LogitsFile::hash_start() const {
  const std::vector<int> sizes{rows_, sample_[0], sample_[1], sample_[2], classes_, labels_.empty() ? 0 : 1};
  return autodiff::fnv1a64(std::as_bytes(std::span(sizes)));
}

std::uint64_t LogitsFile::hash_rows(std::size_t first, std::size_t count, std::uint64_t hash) const {
  const auto logits = static_cast<std::size_t>(classes_) * sizeof(float);
  hash = autodiff::fnv1a64(std::as_bytes(std::span(pixels_ + first * sample_.size(), count * sample_.size())),
                           hash);
  hash = autodiff::fnv1a64(std::string_view(logits_ + first * logits, count * logits), hash);
  if (labels_.empty()) return hash;
  return autodiff::fnv1a64(std::as_bytes(std::span(labels_).subspan(first, count)), hash);
}

std::uint64_t LogitsFile::content_hash() const {
  return hash_rows(0, static_cast<std::size_t>(rows_), hash_start());
}

std::uint64_t LogitsFile::sampled_hash() const {
  constexpr std::size_t most = 1024;
  const auto rows = static_cast<std::size_t>(rows_);
  if (rows <= most) return content_hash();
  std::uint64_t hash = hash_start();
  for (std::size_t i = 0; i < most; ++i) hash = hash_rows(i * (rows - 1) / (most - 1), 1, hash);
  return hash;
}

}  // namespace ev3
