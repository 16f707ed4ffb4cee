// CIFAR's binary files: small ones made here, the real ones where they are, and what is refused.
#include "datasets/cifar.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "datasets/describe.h"
#include "datasets/load.h"
#include "tests/catch.h"
#include "tests/cifar_files.h"
#include "tests/files.h"

using namespace datasets;
namespace fs = std::filesystem;

namespace {

// A folder that `expand` of the large data sets has filled; says so and returns nothing where it is not.
fs::path expanded(const std::string& name) {
  const char* told = std::getenv("EV3_CIFAR");
  if (told && fs::exists(fs::path(told) / name)) return fs::path(told) / name;
  WARN("skipped: needs " << name << " in the folder that EV3_CIFAR names");
  return {};
}

}  // namespace

TEST_CASE("CIFAR-10: five files one after the other, planes become pixels") {
  const TempFolder folder;
  const std::string where = (folder / "x").string();
  make_cifar10(folder / "x", 3);
  const Dataset data = cifar10(where);
  check(data);
  CHECK(data.name == "cifar10");
  CHECK(data.shape() == autodiff::Shape{15, 32, 32, 3});
  CHECK(data.classes == 10);
  CHECK(data.class_names.empty());
  const auto view = data.pixels.view();
  int wrong = 0;
  for (int i = 0; i < 15; ++i) {
    CHECK(data.labels[static_cast<std::size_t>(i)] == i % 10);
    for (int y = 0; y < 32; ++y) {
      for (int x = 0; x < 32; ++x) {
        for (int c = 0; c < 3; ++c) wrong += view(i, y, x, c) != cifar_byte(i, c, y, x);
      }
    }
  }
  CHECK(wrong == 0);

  const Dataset first = cifar10(where, {.samples = 7});  // across the border of two files
  CHECK(content_hash(first) == content_hash(take(data, std::vector<int>{0, 1, 2, 3, 4, 5, 6})));
  CHECK(cifar10(where, {.part = Part::test}).size() == 3);
  CHECK(load(where).size() == 15);
  CHECK(load(where, {.part = Part::test}).size() == 3);
  put(folder / "x/batches.meta.txt",
      "airplane\nautomobile\nbird\ncat\ndeer\ndog\nfrog\nhorse\nship\r\ntruck\n\n");
  CHECK(cifar10(where).class_name(8) == "ship");
}

TEST_CASE("CIFAR-100: fine and coarse labels") {
  const TempFolder folder;
  make_cifar100(folder / "cifar-100-binary", 120);
  const std::string where = (folder / "cifar-100-binary").parent_path().string();  // found one level below
  const Dataset fine = cifar100(where), coarse = cifar100(where, {.labels = CifarLabels::coarse});
  CHECK(fine.classes == 100);
  CHECK(fine.labels[119] == 19);
  CHECK(coarse.classes == 20);
  CHECK(coarse.labels[119] == 3);
  CHECK(coarse.pixels.view()(119, 31, 0, 2) == cifar_byte(119, 2, 31, 0));
  CHECK(load(where, {.labels = CifarLabels::coarse}).classes == 20);
  std::string names;
  for (int i = 0; i < 20; ++i) names += "group " + std::to_string(i) + "\n";
  put(folder / "cifar-100-binary/coarse_label_names.txt", names);
  CHECK(cifar100(where, {.labels = CifarLabels::coarse}).class_name(3) == "group 3");
  CHECK(cifar100(where).class_names.empty());

  make_cifar10(folder / "cifar-10-batches-bin", 2);
  CHECK(cifar10(where).size() == 10);
  CHECK(cifar100(where).size() == 120);
  CHECK_THROWS_WITH(load(where),
                    ContainsSubstring("it holds CIFAR-10 (") && ContainsSubstring("CIFAR-100 ("));
}

TEST_CASE("CIFAR files that are wrong are refused by name") {
  const auto refused = [](const char* says, const auto& damage, const CifarOptions& options = {}) {
    const TempFolder folder;
    make_cifar10(folder / "ten", 3);
    make_cifar100(folder / "hundred", 4);
    damage(folder);
    INFO(says);
    const std::string ten = error_of([&] { cifar10(folder / "ten", options); });
    const std::string hundred = error_of([&] { cifar100(folder / "hundred", options); });
    CHECK((ten == "no error") != (hundred == "no error"));
    CHECK_THAT(ten + hundred, ContainsSubstring(says));
  };
  refused("no file", [](const TempFolder& f) { fs::remove(f / "ten/data_batch_3.bin"); });
  refused("data_batch_3.bin", [](const TempFolder& f) { fs::remove(f / "ten/data_batch_3.bin"); });
  refused("no file", [](const TempFolder& f) {
    fs::remove(f / "ten/data_batch_3.bin");
    fs::create_directory(f / "ten/data_batch_3.bin");
  });
  refused("data_batch_5.bin: want one or more records of 3073 bytes, got 9218 bytes in all",
          [](const TempFolder& f) { fs::resize_file(f / "ten/data_batch_5.bin", 3 * 3073 - 1); });
  refused("data_batch_1.bin: want one or more records of 3073 bytes, got 0 bytes",
          [](const TempFolder& f) { put(f / "ten/data_batch_1.bin", ""); });
  refused("train.bin: want one or more records of 3074 bytes",
          [](const TempFolder& f) { put(f / "hundred/train.bin", std::string(3073, '\0')); });
  refused("data_batch_2.bin: record 1: want a label in 0 .. 9, got 10", [](const TempFolder& f) {
    put(f / "ten/data_batch_2.bin", patched(content(f / "ten/data_batch_2.bin"), 3073, "\n"));
  });
  refused("train.bin: record 2: want a label in 0 .. 99, got 255", [](const TempFolder& f) {
    put(f / "hundred/train.bin", patched(content(f / "hundred/train.bin"), 2 * 3074 + 1, "\xff"));
  });
  refused("batches.meta.txt: want 10 names of classes, one a line, got 2",
          [](const TempFolder& f) { put(f / "ten/batches.meta.txt", "cat\ndog\n"); });
  refused("cifar100: want 5 samples, but there are only 4", [](const TempFolder&) {}, {.samples = 5});
  const TempFolder empty;
  CHECK_THROWS_WITH(cifar10(empty / "x"), ContainsSubstring("want a folder with data_batch_1.bin"));
  CHECK_THROWS_WITH(cifar100(empty / "x"), ContainsSubstring("want a folder with train.bin and test.bin"));
  make_cifar100(empty / "x", 1);
  fs::remove(empty / "x/test.bin");
  CHECK_THROWS_WITH(cifar100(empty / "x", {.part = Part::test}), ContainsSubstring("test.bin"));
}

TEST_CASE("CIFAR itself") {
  const fs::path ten = expanded("cifar-10-batches-bin"), hundred = expanded("cifar-100-binary");
  if (!ten.empty()) {
    const Dataset test = cifar10(ten, {.part = Part::test});
    CHECK(class_counts(test) == std::vector<int>(10, 1000));
    CHECK(test.class_name(test.labels[0]) == "cat");  // as every tutorial shows it
    CHECK(cifar10(ten).size() == 50000);
  }
  if (!hundred.empty()) {
    const Dataset train = cifar100(hundred);
    CHECK(class_counts(train) == std::vector<int>(100, 500));
    CHECK(train.class_name(train.labels[0]) == "cattle");
    const Description d = describe(train);
    CHECK(d.minimum == 0);
    CHECK(d.maximum == 1);
    CHECK(d.mean == Approx((0.5071 + 0.4867 + 0.4408) / 3).margin(1e-4));  // the published means
    const Dataset coarse = cifar100(hundred, {.part = Part::test, .labels = CifarLabels::coarse});
    CHECK(class_counts(coarse) == std::vector<int>(20, 500));
  }
}
