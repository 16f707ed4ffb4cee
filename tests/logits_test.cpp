// A teacher's recorded logits: the file, the batches drawn from it, the writer; long, as each has refusals.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>
#include <memory>
#include <set>
#include <thread>

#include "autodiff/tensor/file.h"
#include "ev3/logits_batches.h"
#include "ev3/logits_writer.h"
#include "nn/safetensors.h"
#include "tests/catch.h"
#include "tests/files.h"
#include "tests/logits_files.h"

using namespace ev3;
namespace fs = std::filesystem;

namespace {

fs::path put_npz(const TempFolder& folder, const LogitsMaker& maker) {
  const fs::path path = folder / "teacher.npz";
  autodiff::write_file(path, maker.npz());
  return path;
}

std::vector<float> floats(const autodiff::Array& array) { return array.to_floats(); }

// Which rows of the file a batch holds, told by its logits.
std::vector<int> rows_of(const BatchView& batch, const LogitsMaker& maker) {
  const std::vector<float> logits = floats(maker.arrays().at("label"));
  const auto width = static_cast<std::size_t>(maker.classes);
  std::vector<int> out;
  for (std::size_t row = 0; row < batch.logits.size() / width; ++row) {
    for (int i = 0; i < maker.rows; ++i) {
      if (std::equal(logits.begin() + i * maker.classes, logits.begin() + (i + 1) * maker.classes,
                     batch.logits.begin() + static_cast<std::ptrdiff_t>(row * width))) {
        out.push_back(i);
      }
    }
  }
  return out;
}

}  // namespace

TEST_CASE("a mapped file is the bytes of the file, and nothing else is mapped") {
  const TempFolder folder;
  const std::string bytes = "abc\0def";
  autodiff::write_file(folder / "x", bytes);
  autodiff::MappedFile file(folder / "x");
  CHECK(file.bytes() == bytes);
  const char* const there = file.bytes().data();
  const autodiff::MappedFile moved = std::move(file);
  CHECK(moved.bytes().data() == there);
  autodiff::write_file(folder / "x", "another");  // replaced, not changed
  CHECK(moved.bytes() == bytes);
  autodiff::write_file(folder / "empty", "");
  CHECK(autodiff::MappedFile(folder / "empty").bytes().empty());
  CHECK_THAT(error_of([&] { autodiff::MappedFile(folder / "no"); }), ContainsSubstring("No such file"));
  CHECK_THAT(error_of([&] { autodiff::MappedFile(folder / "."); }), ContainsSubstring("it is a directory"));
  CHECK_THAT(error_of([&] { autodiff::MappedFile("/dev/null"); }), ContainsSubstring("a device"));
}

TEST_CASE("a logits file holds images, logits and classes") {
  const TempFolder folder;
  const LogitsMaker maker;
  const LogitsFile file(put_npz(folder, maker));
  CHECK(file.rows() == 10);
  CHECK(file.sample() == autodiff::Shape{6, 5, 3});
  CHECK(file.classes() == 4);
  CHECK(std::memcmp(file.pixels(), maker.arrays().at("feature").bytes.data(), 10 * 90) == 0);
  std::vector<float> logits(12);
  file.copy_logits(7, 3, logits.data());
  const std::vector<float> expected = floats(maker.arrays().at("label"));
  CHECK(std::equal(logits.begin(), logits.end(), expected.begin() + 28));
  CHECK(std::vector<int>(file.labels().begin(), file.labels().end()) ==
        std::vector<int>{0, 1, 2, 3, 0, 1, 2, 3, 0, 1});

  const std::uint64_t hash = file.content_hash();
  CHECK(file.sampled_hash() == hash);  // few rows: all of them
  LogitsMaker other = maker;
  other.truth = autodiff::DType::I64;
  CHECK(LogitsFile(put_npz(folder, other)).content_hash() == hash);
  other.with_class = false;
  const LogitsFile without(put_npz(folder, other));
  CHECK(without.labels().empty());
  CHECK(without.content_hash() != hash);
}

TEST_CASE("hashes and checksums see what they should") {
  const TempFolder folder;
  LogitsMaker maker{.rows = 3000, .classes = 2, .height = 1, .width = 1, .channels = 1};
  const std::string whole = maker.npz();
  const auto with_change = [&](std::size_t row) {
    auto arrays = maker.arrays();
    arrays["feature"].bytes[row] ^= 1;
    autodiff::write_npz(folder / "x.npz", arrays);
    return LogitsFile(folder / "x.npz");
  };
  const LogitsFile file(put_npz(folder, maker));
  CHECK(file.sampled_hash() != file.content_hash());
  CHECK(file.sampled_hash() == LogitsFile(put_npz(folder, maker)).sampled_hash());
  for (const std::size_t row : {0u, 2999u}) CHECK(with_change(row).sampled_hash() != file.sampled_hash());
  CHECK(with_change(1).sampled_hash() == file.sampled_hash());  // between those that are looked at
  CHECK(with_change(1).content_hash() != file.content_hash());

  CHECK_NOTHROW(file.check_sums());
  std::string flipped = whole;
  flipped[whole.find("label.npy") + 1000] ^= 1;  // in the data of the array
  autodiff::write_file(folder / "x.npz", flipped);
  CHECK_THAT(error_of([&] { LogitsFile(folder / "x.npz").check_sums(); }),
             ContainsSubstring("x.npz: 'label': corrupt: its checksum is wrong"));
}

TEST_CASE("logits files that are wrong are refused with what was wanted and what came") {
  using autodiff::DType;
  const TempFolder folder;
  const auto refused = [&](const std::string& bytes, const std::string& says,
                           const std::string& name = "teacher.npz") {
    INFO(says);
    autodiff::write_file(folder / name, bytes);
    const std::string error = error_of([&] { LogitsFile(folder / name); });
    CHECK_THAT(error, ContainsSubstring(says) && ContainsSubstring(name));
  };
  refused(LogitsMaker{.feature = DType::F32}.npz(), "want feature U8 [n, H, W, C], got F32 [10, 6, 5, 3]");
  refused(LogitsMaker{.label = DType::F64}.npz(),
          "want label F32 [n, classes], a teacher's logits, got F64 [10, 4]");
  refused(LogitsMaker{.truth = DType::U8}.npz(), "want class I32 [10], got U8 [10]");
  refused(LogitsMaker{.label_rows = 9}.npz(), "got feature [10, 6, 5, 3] and label [9, 4]");
  refused(LogitsMaker{.rows = 0}.npz(), "want at least one row");
  refused(LogitsMaker{.bad_class = 4}.npz(), "row 1: want a class in 0 .. 3, got 4");
  refused(claiming_deflate(LogitsMaker{}.npz(), 1), "'feature' is compressed");
  const std::string whole = LogitsMaker{}.npz();
  refused(whole.substr(0, whole.size() - 30), "its end record is missing");
  refused("no zip at all", "no zip archive");
  refused("", "no zip archive");
  auto arrays = LogitsMaker{}.arrays();
  arrays.erase("label");
  refused(autodiff::npz_bytes(arrays), "want arrays feature (uint8 [n, H, W, C]) and label");
  arrays = LogitsMaker{}.arrays();
  arrays["class"].shape = {10, 1};
  refused(autodiff::npz_bytes(arrays), "want class I32 [10], got I32 [10, 1]");
  arrays = LogitsMaker{}.arrays();
  arrays["feature"].shape = {10, 90};
  refused(autodiff::npz_bytes(arrays), "got U8 [10, 90]");
  refused(whole, "want a file .npz or .safetensors", "teacher.zip");
  refused(whole, "safetensors", "teacher.safetensors");

  // Damaged files are refused or read, but never crash; a row that is read is finite.
  for (std::uint64_t i = 0; i < 300; ++i) {
    std::ofstream(folder / "d.npz", std::ios::binary) << damaged(whole, i);
    error_of([&] {
      const LogitsFile file(folder / "d.npz");
      std::vector<float> row(static_cast<std::size_t>(file.classes()));
      file.copy_logits(static_cast<std::size_t>(file.rows()) - 1, 1, row.data());
      CHECK(std::isfinite(row.back()));
      file.content_hash();
    });
  }
}

TEST_CASE("windows begin where the formula says and never hold the last row") {
  const TempFolder folder;
  const LogitsMaker maker;
  const auto file = std::make_shared<const LogitsFile>(put_npz(folder, maker));
  const LogitsBatches batches(file, {.batch = 4, .seed = 5});
  // Random(Seed{5}.stream("windows")).below(k, 6), computed by another program.
  const int first[12] = {4, 4, 5, 2, 3, 3, 2, 0, 2, 5, 3, 1};
  datasets::Batch buffer;
  const std::vector<float> logits = floats(maker.arrays().at("label"));
  const std::string pixels = maker.arrays().at("feature").bytes;
  for (int k = 11; k >= 0; --k) {
    const BatchView batch = batches.read(k, buffer);
    const int at = first[k];
    CHECK(rows_of(batch, maker) == std::vector<int>{at, at + 1, at + 2, at + 3});
    CHECK(batch.labels[1] == (at + 1) % 4);
    REQUIRE(batch.features.size() == 4 * 90);
    for (std::size_t i = 0; i < 4 * 90; ++i) {
      const auto byte = static_cast<unsigned char>(pixels[static_cast<std::size_t>(at) * 90 + i]);
      if (batch.features[i] != static_cast<float>(byte) / 255.0f) FAIL("feature " << i);
    }
    CHECK(!batch.target().logits.empty());
  }
  std::set<int> seen;
  for (int k = 0; k < 200; ++k) seen.insert(rows_of(batches.read(k, buffer), maker).back());
  CHECK(seen == std::set<int>{3, 4, 5, 6, 7, 8});
}

TEST_CASE("shuffled rows come once an epoch; scaling, augmentation and threads") {
  const TempFolder folder;
  LogitsMaker maker;
  maker.with_class = false;
  const auto file = std::make_shared<const LogitsFile>(put_npz(folder, maker));
  const LogitsOptions options{.batch = 4,
                              .seed = 5,
                              .order = RowOrder::shuffled,
                              .scaling = {.kind = datasets::Scale::symmetric},
                              .augmentation = {.pad = 2, .flip = true}};
  const LogitsBatches batches(file, options);
  std::vector<int> rows;
  datasets::Batch buffer;
  for (int k = 0; k < 5; ++k) {
    const BatchView batch = batches.read(k, buffer);
    CHECK(batch.labels.empty());
    for (const int row : rows_of(batch, maker)) rows.push_back(row);
  }
  for (int epoch = 0; epoch < 2; ++epoch) {
    const std::set<int> once(rows.begin() + 10 * epoch, rows.begin() + 10 * (epoch + 1));
    CHECK(once.size() == 10);
  }
  CHECK_FALSE(std::equal(rows.begin(), rows.begin() + 10, rows.begin() + 10));

  // Row 2 of batch 3, at position 14, as the placement of that position has it.
  const BatchView batch = batches.read(3, buffer);
  const datasets::SampleReader reader(file->pixels(), file->sample(), options.scaling, "x");
  const autodiff::Random random(autodiff::Seed{5}.stream("augment"));
  std::vector<float> expected(90);
  reader.read(static_cast<std::size_t>(rows[14]), placement(options.augmentation, random, 14),
              expected.data());
  CHECK(std::equal(expected.begin(), expected.end(), batch.features.begin() + 2 * 90));

  std::vector<std::vector<float>> serial;
  for (int k = 0; k < 20; ++k) {
    const BatchView b = batches.read(k, buffer);
    serial.emplace_back(b.features.begin(), b.features.end());
  }
  std::vector<int> wrong(3);
  std::vector<std::thread> threads;
  for (std::size_t t = 0; t < wrong.size(); ++t) {
    threads.emplace_back([&, t] {
      datasets::Batch own;
      for (int k = 19; k >= 0; --k) {
        const BatchView b = batches.read(k, own);
        const auto& there = serial[static_cast<std::size_t>(k)];
        wrong[t] += !std::equal(there.begin(), there.end(), b.features.begin());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(wrong == std::vector<int>(3));
}

TEST_CASE("batches of logits refuse what they cannot do") {
  const TempFolder folder;
  LogitsMaker maker;
  const auto file = std::make_shared<const LogitsFile>(put_npz(folder, maker));
  const auto refused = [&](const LogitsOptions& options) {
    return error_of([&] { LogitsBatches(file, options); });
  };
  CHECK_THAT(refused({.batch = 10}), ContainsSubstring("want more rows than the 10 of a batch, got 10"));
  CHECK(refused({.batch = 9}) == "no error");
  CHECK(refused({.batch = 30, .order = RowOrder::shuffled}) == "no error");
  CHECK_THAT(refused({.batch = 0}), ContainsSubstring("a batch of at least 1, got 0"));
  CHECK_THAT(refused({.batch = 4, .augmentation = {.pad = 5}}), ContainsSubstring("a pad from 0 to 4"));
  CHECK_THAT(refused({.batch = 4, .scaling = {.kind = datasets::Scale::standardize}}),
             ContainsSubstring("standardize wants a mean"));
  datasets::Batch buffer;
  CHECK_THAT(error_of([&] { LogitsBatches(file, {.batch = 4}).read(-1, buffer); }),
             ContainsSubstring("got -1"));

  auto arrays = maker.arrays();
  const float infinite = std::numeric_limits<float>::infinity();
  arrays["label"].bytes.replace(4 * (4 * 6 + 1), 4, autodiff::as_chars(std::span(&infinite, 1)));
  autodiff::write_npz(folder / "inf.npz", arrays);
  const LogitsBatches bad(std::make_shared<const LogitsFile>(folder / "inf.npz"),
                          {.batch = 10, .order = RowOrder::shuffled});
  CHECK_THAT(error_of([&] { bad.read(0, buffer); }),
             ContainsSubstring("inf.npz: row 6: want finite logits, got inf for class 1"));
}

TEST_CASE("what is written batch by batch is what is read") {
  const TempFolder folder;
  const LogitsMaker maker;
  const auto arrays = maker.arrays();
  const std::vector<float> logits = floats(arrays.at("label"));
  const std::vector<std::int32_t> classes = arrays.at("class").to_ints();
  const auto* pixels = reinterpret_cast<const std::uint8_t*>(arrays.at("feature").bytes.data());
  const fs::path path = folder / "t.safetensors";
  const LogitsLayout layout{
      .rows = 10, .sample = {6, 5, 3}, .classes = 4, .metadata = {{"teacher", "a \"net\""}}};
  {
    LogitsWriter writer(path, layout);
    for (const auto& [first, count] : {std::pair<std::size_t, std::size_t>{0, 3}, {3, 6}, {9, 1}}) {
      CHECK_FALSE(fs::exists(path));
      writer.append({pixels + 90 * first, 90 * count}, std::span(logits).subspan(4 * first, 4 * count),
                    std::span(classes).subspan(first, count));
    }
    CHECK(writer.rows() == 10);
    writer.finish();
  }
  CHECK(folder.count() == 1);
  const LogitsFile written(path);
  CHECK(written.content_hash() == LogitsFile(put_npz(folder, maker)).content_hash());
  CHECK(nn::Safetensors::read(path).metadata().at("teacher") == "a \"net\"");
  // The bytes of the general writer, which holds everything in memory, differ in nothing but the metadata.
  CHECK(nn::Safetensors::read(path).labels("class")[5] == 1);

  LogitsLayout without = layout;
  without.with_class = false;
  LogitsWriter writer(folder / "u.safetensors", without);
  writer.append({pixels, 900}, logits, {});
  writer.finish();
  CHECK(LogitsFile(folder / "u.safetensors").labels().empty());
}

TEST_CASE("an unfinished or refused logits file leaves nothing behind") {
  const TempFolder folder;
  const std::vector<std::uint8_t> pixels(90);
  std::vector<float> logits(4);
  const std::vector<std::int32_t> classes{3};
  const LogitsLayout layout{.rows = 2, .sample = {6, 5, 3}, .classes = 4};
  {
    LogitsWriter writer(folder / "t.safetensors", layout);
    const auto append = [&](std::span<const std::uint8_t> p, std::span<const float> l,
                            std::span<const std::int32_t> c) {
      return error_of([&] { writer.append(p, l, c); });
    };
    CHECK(append(pixels, logits, classes) == "no error");
    CHECK_THAT(append({pixels.data(), 89}, logits, classes),
               ContainsSubstring("want whole images [6, 5, 3]"));
    CHECK_THAT(append(pixels, {logits.data(), 3}, classes), ContainsSubstring("got 90 bytes, 3 logits"));
    CHECK_THAT(append(pixels, logits, {}), ContainsSubstring("0 classes"));
    CHECK_THAT(append(pixels, logits, std::vector<std::int32_t>{4}),
               ContainsSubstring("row 1: want a class in 0 .. 3, got 4"));
    logits[2] = std::nanf("");
    CHECK_THAT(append(pixels, logits, classes), ContainsSubstring("row 1: want finite logits, got nan"));
    logits[2] = 0;
    CHECK_THAT(error_of([&] { writer.finish(); }), ContainsSubstring("want 2 rows before the end, got 1"));
    CHECK(append(pixels, logits, classes) == "no error");
    CHECK_THAT(append(pixels, logits, classes), ContainsSubstring("want 2 rows in all, got 3"));
  }
  CHECK(folder.count() == 0);
  const auto refused = [&](const fs::path& path, const LogitsLayout& wrong) {
    return error_of([&] { LogitsWriter(path, wrong); });
  };
  CHECK_THAT(refused(folder / "t", {.rows = 0, .sample = {2, 2, 1}, .classes = 2}),
             ContainsSubstring("want at least one row"));
  CHECK_THAT(refused(folder / "t", {.rows = 2, .sample = {2}, .classes = 2}), ContainsSubstring("image"));
  CHECK_THAT(refused(folder / "no/t", layout), ContainsSubstring("No such file"));
  CHECK_THAT(refused(folder / ".", layout), ContainsSubstring("a directory"));
  LogitsLayout latin = layout;
  latin.metadata = {{"teacher", "\xff"}};
  CHECK_THAT(refused(folder / "t", latin), ContainsSubstring("UTF-8"));
  CHECK(folder.count() == 0);
}
