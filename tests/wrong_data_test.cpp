// Wrong images and wrong files of logits, and options that do not fit them: one clear line, exit code 2, and
// nothing is changed. The rest of what can be wrong is in wrong_input_test.cpp.
#include <vector>

#include "tests/cifar_files.h"
#include "tests/logits_files.h"
#include "tests/wrong_input.h"

using namespace wrong_input;

namespace {

using autodiff::DType;

/// Small but complete: CIFAR-10 with 20 records a file, CIFAR-100 with 120, and a teacher's logits for the
/// latter in 16 x 16 pixels.
void prepare(const fs::path& folder) {
  make_cifar10(folder / "ten", 20);
  make_cifar100(folder / "hundred", 120);
  const LogitsMaker teacher{.rows = 60, .classes = 100, .height = 16, .width = 16};
  put(folder / "teacher.npz", teacher.npz());
}

const std::string cifar10 =
    "run --set data.name=cifar10 --set data.path=@/ten --set data.batch=8 --set pools.test=0 --out @/out ";
const std::string distill =
    "run --set data.name=cifar100 --set data.path=@/hundred --set data.batch=8 --set data.shrink=2 "
    "--set data.logits=@/teacher.npz --set 'loss=[{kind=\"distillation\"}]' "
    "--set pools.test=0 --set pools.explore=0 --out @/out ";

using Change = std::function<void(const fs::path&)>;

Case cifar(
    const char* name, const std::string& options, const std::string& part,
    const Change& change = [](const fs::path&) {}) {
  return {name, cifar10 + options, part, change};
}
Case teacher(
    const char* name, const std::string& options, const std::string& part,
    const Change& change = [](const fs::path&) {}) {
  return {name, distill + options, part, change};
}
/// The teacher's file with something wrong.
Change recorded(const LogitsMaker& maker) {
  return [maker](const fs::path& f) { put(f / "teacher.npz", maker.npz()); };
}
Case config_file(const char* name, const std::string& text, const std::string& part) {
  return {name, "run @/c.toml --out @/out", part, [text](const fs::path& f) { put(f / "c.toml", text); }};
}

const LogitsMaker good{.rows = 60, .classes = 100, .height = 16, .width = 16};
LogitsMaker but(const std::function<void(LogitsMaker&)>& change) {
  LogitsMaker out = good;
  change(out);
  return out;
}

const std::vector<Case>& cases_of_data() {
  static const std::vector<Case> list{
      // files of CIFAR
      cifar("a batch file is missing", "", "cifar10: no file ",
            [](const fs::path& f) { fs::remove(f / "ten/data_batch_4.bin"); }),
      cifar("the test file is missing", "", "test_batch.bin",
            [](const fs::path& f) { fs::remove(f / "ten/test_batch.bin"); }),
      cifar("a truncated record", "", "data_batch_2.bin: want one or more records of 3073 bytes, got 61459",
            [](const fs::path& f) { fs::resize_file(f / "ten/data_batch_2.bin", 20 * 3073 - 1); }),
      cifar("an empty file", "", "got 0 bytes in all",
            [](const fs::path& f) { put(f / "ten/data_batch_5.bin", ""); }),
      cifar("a label out of range", "", "data_batch_1.bin: record 3: want a label in 0 .. 9, got 65",
            [](const fs::path& f) {
              const fs::path path = f / "ten/data_batch_1.bin";
              put(path, patched(content(path), 3 * 3073, "A"));
            }),
      cifar("too few names of classes", "", "batches.meta.txt: want 10 names of classes",
            [](const fs::path& f) { put(f / "ten/batches.meta.txt", "cat\n"); }),
      {"a folder without CIFAR's files",
       "run --set data.name=cifar100 --set data.path=@/ten --set pools.test=0 --out @/out",
       "cifar100: want a folder with train.bin and test.bin"},
      cifar("more samples than there are", "--set data.samples=101",
            "want 101 samples, but there are only 100"),
      cifar("more test samples than there are", "--set data.test_samples=21", "there are only 20"),
      {"data in a folder with nothing known", "data @/out-of-place", "got none of them",
       [](const fs::path& f) { put(f / "out-of-place/x", "y"); }},
      // options of images
      cifar("fine labels of CIFAR-10", "--set data.labels=fine", "unknown key 'data.labels'"),
      {"labels that CIFAR-100 does not have",
       "run --set data.name=cifar100 --set data.path=@/hundred --set data.labels=both --out @/out",
       "data.labels: want one of \"fine\", \"coarse\", got 'both'"},
      cifar("shrink that does not divide", "--set data.shrink=3",
            "shrink wants a factor that divides both sides"),
      cifar("shrink to nothing", "--set data.shrink=0", "data.shrink: want a whole number of at least 1"),
      cifar("unknown scale", "--set data.scale=zscore", "data.scale: want one of \"unit\", \"symmetric\""),
      cifar("a mean without standardize", "--set data.mean=[0.5]", "unknown key 'data.mean'"),
      cifar("a mean of two channels", "--set data.scale=standardize --set data.mean=[0.5,0.5]",
            "standardize wants a mean and a deviation for each of 3 channels, or one for all; got 2 and 3"),
      cifar("a deviation of 0", "--set data.scale=standardize --set data.deviation=[0.5,0.5,0]",
            "data.deviation.2: want a number above 0, got 0"),
      {"standardize without figures",
       "run --set data.name=mnist --set data.path=x --set data.scale=standardize --out @/out",
       "the key 'data.mean' is missing"},
      {"numbers that cannot be scaled",
       "run --set data.name=file --set data.path=@/d.csv --set data.scale=symmetric --out @/out",
       "only images of bytes can be scaled", [](const fs::path& f) { put(f / "d.csv", "1,2,0\n2,3,1\n"); }},
      cifar("a pad as large as the image", "--set data.shrink=4 --set augment.explore.pad=8",
            "want a pad from 0 to 7 for images [8, 8, 3], got 8"),
      cifar("a negative pad", "--set augment.adapt.pad=-1",
            "augment.adapt.pad: want a whole number of at least 0"),
      cifar("augmentation of the test set", "--set augment.test.flip=true", "unknown key 'augment.test'"),
      {"crops of points", "run --set data.name=moons --set augment.explore.flip=true --out @/out",
       "pad and flip want images [H, W, C], got samples [2]"},
      cifar("no batch for assess", "--set data.assess_batch=0",
            "data.assess_batch: want a whole number of at least 1"),
      // files of logits
      teacher("no file of logits", "--set data.logits=@/no.npz", "no.npz: No such file"),
      teacher("logits that are no zip archive", "", "teacher.npz: no zip archive",
              [](const fs::path& f) { put(f / "teacher.npz", "not a zip"); }),
      teacher("truncated logits", "", "end record is missing",
              [](const fs::path& f) { fs::resize_file(f / "teacher.npz", 50000); }),
      teacher("compressed logits", "", "np.savez, not np.savez_compressed",
              [](const fs::path& f) { put(f / "teacher.npz", claiming_deflate(good.npz(), 1)); }),
      teacher("images that are floats", "", "want feature U8 [n, H, W, C], got F32",
              recorded(but([](LogitsMaker& m) { m.feature = DType::F32; }))),
      teacher("logits in double", "", "want label F32 [n, classes], a teacher's logits, got F64",
              recorded(but([](LogitsMaker& m) { m.label = DType::F64; }))),
      teacher("fewer logits than images", "", "want the logits of every image",
              recorded(but([](LogitsMaker& m) { m.label_rows = 59; }))),
      teacher("a class out of range", "", "row 1: want a class in 0 .. 99, got 100",
              recorded(but([](LogitsMaker& m) { m.bad_class = 100; }))),
      teacher("logits for other classes", "--set data.labels=coarse", "logits for 100 classes, but cifar100"),
      teacher("images of another size", "--set data.shrink=1", "has images [16, 16, 3] of bytes"),
      teacher("too few rows for a batch", "--set data.batch=60",
              "want more rows than the 60 of a batch, got 60"),
      teacher("an explore pool nobody draws from", "--set pools.explore=0.5",
              "pools.explore: want 0, as explore draws from data.logits"),
      config_file("cross entropy with logits",
                  "[data]\nname = \"cifar100\"\npath = \"hundred\"\nlogits = \"t.npz\"\n"
                  "[pools]\nexplore = 0\ntest = 0\n[[loss]]\nkind = \"cross_entropy\"",
                  "want \"distillation\" only"),
      config_file("an order without logits",
                  "[data]\nname = \"cifar100\"\npath = \"hundred\"\nlogits_order = \"shuffled\"",
                  "unknown key 'data.logits_order'"),
      // ev3 data and ev3 eval
      {"a split of logits", "data @/teacher.npz --split test", "want no other options"},
      {"coarse labels of CIFAR-10", "data @/ten --labels coarse",
       "only CIFAR-100 has fine and coarse labels"},
      {"no figures to standardize by", "data digits --scale standardize", "for digits give them"},
      {"CIFAR in a split it does not have", "data @/ten --split adapt", "want a split train or test"},
  };
  return list;
}

}  // namespace

TEST_CASE("wrong images and logits get one clear line and change nothing") {
  REQUIRE(cases_of_data().size() >= 40);
  const TempFolder made;
  prepare(made / "x");
  for (const Case& c : cases_of_data()) {
    INFO(c.name << ": ev3 " << c.arguments);
    const TempFolder temp;
    const fs::path folder = temp / "x";
    fs::copy(made / "x", folder, fs::copy_options::recursive);
    c.prepare(folder);
    check_refused(c, folder);
  }
}

TEST_CASE("what the wrong ones are made of is right") {
  const TempFolder temp;
  prepare(temp / "x");
  for (const std::string& arguments :
       {cifar10 + "--dry-run", distill + "--dry-run", std::string("data @/teacher.npz")}) {
    const Outcome outcome = ev3_command(with_folder(arguments, temp / "x"));
    INFO(arguments << outcome.err);
    CHECK(outcome.code == 0);
  }
}
