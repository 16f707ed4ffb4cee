#include "datasets/cifar.h"

#include <algorithm>
#include <fstream>
#include <span>
#include <sstream>
#include <string>
#include <vector>

#include "autodiff/tensor/error.h"
#include "autodiff/tensor/file.h"

namespace datasets {
namespace {

using autodiff::fail;
namespace fs = std::filesystem;

constexpr std::size_t plane = 32 * 32, image = 3 * plane;

/// What tells the two sets apart.
struct Format {
  std::string name;
  std::vector<std::string> files;
  std::size_t label_bytes = 1;  // before the pixels
  std::size_t label_at = 0;     // the one that counts
  int classes = 10;
  std::string names;  // file with the names of the classes
  std::size_t record() const { return label_bytes + image; }
};

bool holds_one_of(const fs::path& folder, const std::vector<std::string>& files) {
  return std::any_of(files.begin(), files.end(), [&](const auto& file) { return fs::exists(folder / file); });
}

fs::path find(const fs::path& where, const char* folder, const std::vector<std::string>& files) {
  for (const fs::path& candidate : {where, where / folder}) {
    if (holds_one_of(candidate, files)) return candidate;
  }
  return {};
}

// Number of records of a file, by its size.
std::size_t records_in(const fs::path& path, const Format& format) {
  std::error_code error;
  if (!fs::is_regular_file(path, error)) fail(format.name, ": no file ", path.string());
  const auto size = fs::file_size(path, error);
  if (error) fail("cannot read ", path.string(), ": ", error.message());
  if (size == 0 || size % format.record() != 0) {
    fail(path.string(), ": want one or more records of ", format.record(), " bytes, got ", size,
         " bytes in all");
  }
  return size / format.record();
}

// Three planes [3, 32, 32] to pixels [32, 32, 3].
void interleave(const char* planes, std::uint8_t* pixels) {
  for (std::size_t i = 0; i < plane; ++i) {
    for (std::size_t c = 0; c < 3; ++c) pixels[3 * i + c] = static_cast<std::uint8_t>(planes[c * plane + i]);
  }
}

// Reads the first `count` records of a file to samples `first`, `first` + 1, ... of `out`.
void read_records(const fs::path& path, const Format& format, std::size_t count, std::size_t first,
                  Dataset& out) {
  std::ifstream file(path, std::ios::binary);
  std::vector<char> record(format.record());
  for (std::size_t i = 0; i < count; ++i) {
    if (!file.read(record.data(), static_cast<std::streamsize>(record.size()))) {
      fail("cannot read ", path.string(), ": it ends or fails in record ", i);
    }
    const int label = static_cast<unsigned char>(record[format.label_at]);
    if (label >= format.classes) {
      fail(path.string(), ": record ", i, ": want a label in 0 .. ", format.classes - 1, ", got ", label);
    }
    out.labels[first + i] = label;
    interleave(record.data() + format.label_bytes, out.pixels.data() + (first + i) * image);
  }
}

// One name a line, empty lines left out; none where there is no file.
std::vector<std::string> read_names(const fs::path& path, int classes) {
  std::vector<std::string> names;
  if (!fs::exists(path)) return names;
  std::istringstream lines(autodiff::read_file(path));
  for (std::string line; std::getline(lines, line);) {
    line.erase(line.find_last_not_of(" \t\r") + 1);
    if (!line.empty()) names.push_back(line);
  }
  if (names.size() != static_cast<std::size_t>(classes)) {
    fail(path.string(), ": want ", classes, " names of classes, one a line, got ", names.size());
  }
  return names;
}

Dataset read(const fs::path& folder, const Format& format, int samples) {
  std::vector<std::size_t> counts;
  std::size_t all = 0;
  for (const std::string& file : format.files) {
    counts.push_back(records_in(folder / file, format));
    all += counts.back();
  }
  const auto wanted = samples > 0 ? static_cast<std::size_t>(samples) : all;
  if (wanted > all) {
    fail(format.name, ": want ", wanted, " samples, but there are only ", all, " in ", folder.string());
  }
  const int n = static_cast<int>(wanted);
  Dataset out{.name = format.name,
              .labels = autodiff::Labels(autodiff::Shape{n}),
              .classes = format.classes,
              .class_names = read_names(folder / format.names, format.classes),
              .pixels = Pixels({n, 32, 32, 3})};
  std::size_t first = 0;
  for (std::size_t i = 0; i < counts.size() && first < wanted; ++i) {
    const std::size_t count = std::min(counts[i], wanted - first);
    read_records(folder / format.files[i], format, count, first, out);
    first += count;
  }
  return out;
}

const std::vector<std::string> train10{"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin",
                                       "data_batch_4.bin", "data_batch_5.bin"};

}  // namespace

fs::path find_cifar10(const fs::path& where) {
  std::vector<std::string> files = train10;
  files.emplace_back("test_batch.bin");
  return find(where, "cifar-10-batches-bin", files);
}

fs::path find_cifar100(const fs::path& where) {
  return find(where, "cifar-100-binary", {"train.bin", "test.bin"});
}

Dataset cifar10(const fs::path& where, const CifarOptions& options) {
  const fs::path folder = find_cifar10(where);
  if (folder.empty()) {
    fail("cifar10: want a folder with data_batch_1.bin .. data_batch_5.bin and test_batch.bin, got ",
         where.string());
  }
  const bool train = options.part == Part::train;
  return read(folder,
              {.name = "cifar10",
               .files = train ? train10 : std::vector<std::string>{"test_batch.bin"},
               .names = "batches.meta.txt"},
              options.samples);
}

Dataset cifar100(const fs::path& where, const CifarOptions& options) {
  const fs::path folder = find_cifar100(where);
  if (folder.empty()) {
    fail("cifar100: want a folder with train.bin and test.bin, got ", where.string());
  }
  const bool fine = options.labels == CifarLabels::fine;
  return read(folder,
              {.name = "cifar100",
               .files = {options.part == Part::train ? "train.bin" : "test.bin"},
               .label_bytes = 2,
               .label_at = fine ? 1u : 0u,
               .classes = fine ? 100 : 20,
               .names = fine ? "fine_label_names.txt" : "coarse_label_names.txt"},
              options.samples);
}

}  // namespace datasets
