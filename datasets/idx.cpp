#include "datasets/idx.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "autodiff/tensor/error.h"
#include "autodiff/tensor/file.h"

namespace datasets {
namespace {

using autodiff::fail;

// `count` bytes from `at`, the first the most significant.
std::uint64_t big_endian(const std::string& bytes, std::size_t at, std::size_t count) {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < count; ++i) value = value << 8 | static_cast<unsigned char>(bytes[at + i]);
  return value;
}

// Bytes of an element; 0 for an unknown type.
std::size_t element_size(int type) {
  switch (type) {
    case 0x08:
    case 0x09:
      return 1;
    case 0x0B:
      return 2;
    case 0x0C:
    case 0x0D:
      return 4;
    case 0x0E:
      return 8;
    default:
      return 0;
  }
}

std::filesystem::path find_mnist(const std::filesystem::path& where, const std::string& name) {
  std::filesystem::path plain = where;
  const bool is_folder = std::filesystem::is_directory(where);
  if (is_folder) plain /= "";
  plain += name;
  if (std::filesystem::exists(plain)) return plain;
  std::filesystem::path packed = plain;
  packed += ".gz";
  if (std::filesystem::exists(packed)) return packed;
  const std::string folder = is_folder ? "" : "folder " + where.string() + ", and no ";
  fail("mnist: no ", folder, "file ", plain.string(), " or ", packed.string());
}

}  // namespace

double Idx::operator[](std::size_t i) const {
  const std::size_t size = element_size(type);
  const std::uint64_t bits = big_endian(bytes, i * size, size);
  switch (type) {
    case 0x09:
      return static_cast<std::int8_t>(bits);
    case 0x0B:
      return static_cast<std::int16_t>(bits);
    case 0x0C:
      return static_cast<std::int32_t>(bits);
    case 0x0D:
      return std::bit_cast<float>(static_cast<std::uint32_t>(bits));
    case 0x0E:
      return std::bit_cast<double>(bits);
    default:
      return static_cast<double>(bits);
  }
}

Idx read_idx(const std::filesystem::path& path) {
  std::string bytes = autodiff::read_gz(path);
  const std::string name = path.string();
  if (bytes.size() < 4) fail(name, ": want an IDX file, got only ", bytes.size(), " bytes");
  if (bytes[0] != 0 || bytes[1] != 0) {
    fail(name, ": want an IDX file, which begins with two zero bytes (wrong magic number)");
  }
  const int type = static_cast<unsigned char>(bytes[2]), rank = static_cast<unsigned char>(bytes[3]);
  const std::size_t size = element_size(type), header = 4 + 4 * static_cast<std::size_t>(rank);
  if (size == 0) {
    fail(name, ": want an IDX type of 8, 9, 11, 12, 13 or 14, got ", type, " (wrong magic number)");
  }
  if (rank > autodiff::Shape::max_rank) {
    fail(name, ": want at most ", autodiff::Shape::max_rank, " axes, got ", rank);
  }
  if (bytes.size() < header) fail(name, ": truncated inside the header");

  std::vector<int> dims;
  std::uint64_t product = 1;  // of the sizes, zeros left out: what Shape limits
  for (std::size_t at = 4; at < header; at += 4) {
    const std::uint64_t dim = big_endian(bytes, at, 4), factor = std::max<std::uint64_t>(dim, 1);
    if (dim > std::numeric_limits<int>::max()) fail(name, ": an axis of ", dim, " elements is too long");
    if (product > (std::uint64_t{1} << 48) / factor) fail(name, ": the header says more than 2^48 elements");
    product *= factor;
    dims.push_back(static_cast<int>(dim));
  }
  const autodiff::Shape shape{std::span<const int>(dims)};
  const std::size_t want = header + shape.size() * size;
  if (bytes.size() != want) {
    fail(name, bytes.size() < want ? ": truncated: want " : ": too long: want ", want, " bytes for shape ",
         shape, ", got ", bytes.size());
  }
  bytes.erase(0, header);
  return {.shape = shape, .type = type, .bytes = std::move(bytes)};
}

Dataset read_idx(const std::filesystem::path& images, const std::filesystem::path& labels, int classes) {
  const Idx x = read_idx(images), y = read_idx(labels);
  if (x.shape.rank() != 3) fail(images.string(), ": want images [n, H, W], got shape ", x.shape);
  if (y.shape.rank() != 1) fail(labels.string(), ": want labels [n], got shape ", y.shape);
  const int n = x.shape[0];
  if (y.shape[0] != n) {
    fail("want one label per image, got ", n, " images in ", images.string(), " and ", y.shape[0],
         " labels in ", labels.string());
  }
  const autodiff::Shape shape{n, x.shape[1], x.shape[2], 1};
  Dataset out{.name = images.string(), .labels = autodiff::Labels(y.shape), .classes = classes};
  if (x.type == 0x08) {
    out.pixels = Pixels(shape);
    std::copy(x.bytes.begin(), x.bytes.end(), out.pixels.begin());
  } else {
    out.features = autodiff::Tensor(shape);
    for (std::size_t i = 0; i < out.features.size(); ++i) out.features[i] = static_cast<float>(x[i]);
  }
  for (std::size_t i = 0; i < out.labels.size(); ++i) {
    if (!(y[i] >= 0 && y[i] < classes) || y[i] != std::floor(y[i])) {
      fail(labels.string(), ": sample ", i, ": want a label in 0 .. ", classes - 1, ", got ", y[i]);
    }
    out.labels[i] = static_cast<std::int32_t>(y[i]);
  }
  check(out);
  check_classes(out);
  return out;
}

Dataset mnist(const std::filesystem::path& where, Part part) {
  const std::string prefix = part == Part::train ? "train" : "t10k";
  const std::filesystem::path images = find_mnist(where, prefix + "-images-idx3-ubyte");
  return read_idx(images, find_mnist(where, prefix + "-labels-idx1-ubyte"), 10);
}

}  // namespace datasets
