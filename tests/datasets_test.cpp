// Readers, digits, descriptions, and what is refused; long because every reader has its table of wrong files.
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <limits>
#include <map>
#include <string>

#include "autodiff/tensor/deflate.h"
#include "autodiff/tensor/file.h"
#include "autodiff/tensor/npy.h"
#include "datasets/describe.h"
#include "datasets/digits.h"
#include "datasets/load.h"
#include "datasets/npz.h"
#include "datasets/sample_reader.h"
#include "tests/catch.h"

using namespace datasets;
namespace fs = std::filesystem;

namespace {

// A folder that is empty at first and gone at the end.
class Folder {
 public:
  Folder() {
    std::string name = (fs::temp_directory_path() / "ev3-datasets-XXXXXX").string();
    path_ = mkdtemp(name.data());
  }
  ~Folder() { fs::remove_all(path_); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;

  // Writes a file; returns its path.
  std::string file(const std::string& name, const std::string& bytes) const {
    std::ofstream(path_ / name, std::ios::binary) << bytes;
    return (path_ / name).string();
  }
  std::string str() const { return path_.string(); }

 private:
  fs::path path_;
};

std::string bytes(std::initializer_list<int> values) {
  std::string out;
  for (const int value : values) out += static_cast<char>(value);
  return out;
}

std::string idx_labels(std::initializer_list<int> values) {
  return bytes({0, 0, 8, 1, 0, 0, 0, static_cast<int>(values.size())}) + bytes(values);
}

std::string idx_images(int n, int h, int w) {
  return bytes({0, 0, 8, 3, 0, 0, 0, n, 0, 0, 0, h, 0, 0, 0, w}) +
         std::string(static_cast<std::size_t>(n * h * w), '\x33');
}

// All features, row after row.
std::vector<float> numbers(const Dataset& data) {
  std::vector<float> out(data.shape().size());
  const SampleReader reader(data);
  for (std::size_t i = 0; i < data.labels.size(); ++i) {
    reader.read(i, out.data() + i * data.sample().size());
  }
  return out;
}

// data/`name` of the folder with the large data sets, all in .gz files; says so and returns nothing when it
// is not there or this build cannot read it.
fs::path shared_data(const std::string& name) {
  const char* told = std::getenv("EV3_SHARED");
  const fs::path path = (told ? fs::path(told) : fs::path(EV3_SOURCE_DIR) / "../shared") / "data" / name;
  if (autodiff::has_zlib() && fs::exists(path)) return path;
  WARN("skipped: needs zlib and " << path << " (EV3_SHARED names the folder that holds data/)");
  return {};
}

}  // namespace

TEST_CASE("the digits are compiled in") {
  const Dataset data = digits();
  check(data);
  CHECK(data.size() == 1797);
  CHECK(data.sample() == autodiff::Shape{8, 8, 1});
  CHECK(class_counts(data) == std::vector<int>{178, 182, 177, 183, 181, 182, 181, 179, 174, 180});
  CHECK(data.labels[0] == 0);
  CHECK(data.features[2] == 5 / 16.0f);  // the first row of the file begins 0, 0, 5, 13
  CHECK(data.features[3] == 13 / 16.0f);
  CHECK(content_hash(data) == 0x6af462dc88611cd6u);
  CHECK(data.class_name(7) == "7");
}

TEST_CASE("check names the first sample at fault") {
  const auto broken = [](auto&& change) {
    Dataset data = gaussian({.samples = 10});
    change(data);
    return data;
  };
  using autodiff::Labels, autodiff::Shape, autodiff::Tensor;
  constexpr float infinity = std::numeric_limits<float>::infinity();
  const std::pair<Dataset, std::string> cases[] = {
      {broken([](Dataset& d) { d.labels[3] = 2; }), "gaussian: sample 3: want a label in 0 .. 1, got 2"},
      {broken([](Dataset& d) { d.labels[4] = -1; }), "sample 4"},
      {broken([](Dataset& d) { d.features[11] = std::nanf(""); }),
       "sample 5: want finite features, got nan for feature 1"},
      {broken([=](Dataset& d) { d.features[0] = infinity; }), "got inf"},
      {broken([](Dataset& d) { d.labels = Labels(Shape{9}); }), "features [10, 2] and labels [9]"},
      {broken([](Dataset& d) { d.features = Tensor(Shape{10}); }), "want features [n, sample...]"},
      {broken([](Dataset& d) { d.class_names = {"a"}; }), "1 names for 2 classes"},
      {broken([](Dataset& d) { d.classes = 0; }), "at least one class"},
      {broken([](Dataset& d) {
         d.pixels = Pixels({10, 2});
       }),
       "want features or pixels, got both"},
  };
  for (const auto& [data, says] : cases) CHECK_THROWS_WITH(check(data), ContainsSubstring(says));

  Dataset gap = broken([](Dataset& d) { d.classes = 3; });
  check(gap);
  CHECK_THROWS_WITH(check_classes(gap), ContainsSubstring("none of class 2"));
}

TEST_CASE("take copies samples by index") {
  const Dataset data = gaussian({.samples = 10});
  const Dataset some = take(data, std::vector<int>{7, 0, 7});
  CHECK(some.size() == 3);
  CHECK(some.features[0] == data.features[14]);
  CHECK(some.features[5] == data.features[15]);
  CHECK(some.labels[1] == data.labels[0]);
  CHECK(take(data, {}).size() == 0);
  CHECK_THROWS_WITH(take(data, std::vector<int>{10}), ContainsSubstring("0 .. 9, got 10"));
  CHECK_THROWS_WITH(take(data, std::vector<int>{-1}), ContainsSubstring("got -1"));
}

TEST_CASE("the content hash sees shape, features and labels") {
  const Dataset data = gaussian({.samples = 10});
  Dataset other = data;
  other.name = "renamed";
  CHECK(content_hash(other) == content_hash(data));
  other.features[3] += 1;
  CHECK(content_hash(other) != content_hash(data));
  other = data;
  other.labels[3] ^= 1;
  CHECK(content_hash(other) != content_hash(data));
  other = data;
  other.features = autodiff::Tensor({10, 2, 1}, {data.features.data(), data.features.size()});
  CHECK(content_hash(other) != content_hash(data));
}

TEST_CASE("IDX: every element type") {
  const Folder folder;
  const struct {
    std::string content;
    double value;
  } cases[] = {
      {bytes({0, 0, 0x08, 1, 0, 0, 0, 1, 200}), 200},
      {bytes({0, 0, 0x09, 1, 0, 0, 0, 1, 200}), -56},
      {bytes({0, 0, 0x0B, 1, 0, 0, 0, 1, 0xff, 0xfe}), -2},
      {bytes({0, 0, 0x0C, 1, 0, 0, 0, 1, 0x80, 0, 0, 1}), -2147483647},
      {bytes({0, 0, 0x0D, 1, 0, 0, 0, 1, 0xc0, 0x20, 0, 0}), -2.5},
      {bytes({0, 0, 0x0E, 1, 0, 0, 0, 1, 0x3f, 0xb9, 0x99, 0x99, 0x99, 0x99, 0x99, 0x9a}), 0.1},
  };
  for (const auto& c : cases) CHECK(read_idx(folder.file("x", c.content))[0] == c.value);
}

TEST_CASE("IDX: images and labels make a data set, wrong files a message") {
  const Folder folder;
  const std::string x = folder.file("x", idx_images(3, 2, 4)), y = folder.file("y", idx_labels({1, 0, 1}));
  const Dataset data = read_idx(x, y, 2);
  CHECK(data.pixels.shape() == autodiff::Shape{3, 2, 4, 1});
  CHECK(numbers(data)[5] == 0x33 / 255.0f);
  CHECK(data.labels[2] == 1);

  const auto wrong = [&](const std::string& content, const std::string& says) {
    INFO(says);
    const std::string path = folder.file("wrong", content);
    CHECK_THROWS_WITH(read_idx(path), ContainsSubstring(says) && ContainsSubstring(path));
  };
  wrong("", "got only 0 bytes");
  wrong("P5 8 8", "wrong magic number");
  wrong(bytes({0, 0, 7, 1, 0, 0, 0, 0}), "got 7 (wrong magic number)");
  wrong(bytes({0, 0, 8, 7}), "at most 6 axes, got 7");
  wrong(bytes({0, 0, 8, 3, 0, 0, 0, 1}), "truncated inside the header");
  wrong(bytes({0, 0, 8, 1, 0, 0, 0, 2, 9}), "truncated: want 10 bytes for shape [2], got 9");
  wrong(bytes({0, 0, 8, 1, 0, 0, 0, 1, 9, 9}), "too long");
  wrong(bytes({0, 0, 8, 1, 255, 255, 255, 255}), "4294967295");
  wrong(bytes({0, 0, 8, 2, 127, 0, 0, 0, 127, 0, 0, 0}), "more than 2^48 elements");

  const auto refused = [&](const std::string& labels, int classes, const std::string& says) {
    CHECK_THROWS_WITH(read_idx(x, folder.file("labels", labels), classes), ContainsSubstring(says));
  };
  refused(idx_labels({1, 0}), 2, "got 3 images in " + x + " and 2 labels");
  refused(idx_labels({1, 0, 2}), 2, "sample 2: want a label in 0 .. 1, got 2");
  refused(idx_labels({0, 0, 0}), 2, "none of class 1");
  refused(idx_images(3, 1, 1), 2, "want labels [n], got shape [3, 1, 1]");
  CHECK_THROWS_WITH(read_idx(y, y, 2), ContainsSubstring("want images [n, H, W]"));
}

TEST_CASE("MNIST is found by folder or prefix") {
  const Folder folder;
  CHECK_THROWS_WITH(mnist(folder.str()), ContainsSubstring("train-images-idx3-ubyte.gz"));
  folder.file("my-t10k-images-idx3-ubyte", idx_images(10, 2, 2));
  folder.file("my-t10k-labels-idx1-ubyte", idx_labels({0, 1, 2, 3, 4, 5, 6, 7, 8, 9}));
  CHECK(mnist(folder.str() + "/my-", Part::test).size() == 10);
  CHECK_THROWS_WITH(mnist(folder.str() + "/my-", Part::train), ContainsSubstring("my-train-images"));
}

TEST_CASE("MNIST itself") {
  const fs::path folder = shared_data("mnist");
  if (folder.empty()) return;
  const Dataset test = load(folder.string(), {.part = Part::test});
  CHECK(test.shape() == autodiff::Shape{10000, 28, 28, 1});
  CHECK(content_hash(test) == 0x867100f1c644d5e6u);
  CHECK(class_counts(test) == std::vector<int>{980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009});
  const Description description = describe(test);
  CHECK(description.minimum == 0);
  CHECK(description.maximum == 1);
  CHECK(description.mean == Approx(0.1325).margin(0.0001));  // the published mean of the test images
  CHECK(mnist(folder).size() == 60000);
}

TEST_CASE("CSV: headers, labels and quotes") {
  const Folder folder;
  const auto read = [&](const std::string& text, const CsvOptions& options = {}) {
    return read_csv(folder.file("data.csv", text), options);
  };
  const Dataset plain = read("1,2,0\n3,4.5,1\n");
  CHECK(plain.features.shape() == autodiff::Shape{2, 2});
  CHECK(plain.features[3] == 4.5f);
  CHECK(plain.labels[1] == 1);
  CHECK(plain.class_names.empty());

  const Dataset named = read("width,kind,height\r\n1,cat,2\r\n\r\n-3e2, ant ,+4", {.label = "kind"});
  CHECK(named.class_names == std::vector<std::string>{"ant", "cat"});
  CHECK(named.labels[0] == 1);
  CHECK(named.features[2] == -300);
  CHECK(named.features[3] == 4);

  CHECK(read("1;0\n2;1\n", {.separator = ';'}).size() == 2);
  CHECK(read("0,5\n1,6\n", {.label = "0"}).features[1] == 6);
  CHECK(read("5,0,6\n7,1,8\n", {.label = "-2"}).labels[1] == 1);
  CHECK(read("a,b\n1,x\n").size() == 1);                           // header: no feature is a number
  CHECK(read("1,x\n2,y\n").size() == 2);                           // none: the label's name says nothing
  CHECK(read("1,2\n5,0\n", {.header = Header::yes}).size() == 1);  // numbers as names, when told so
  CHECK(read("\xEF\xBB\xBF"
             "1,0\n2,1.0\n")
            .labels[1] == 1);  // byte order mark; 1.0 is whole
  const Dataset quoted = read("\"1\",\"a, \"\"b\"\"\n c\"\n2,d\n");
  CHECK(quoted.class_names == std::vector<std::string>{"a, \"b\"\n c", "d"});
}

TEST_CASE("CSV: what is wrong is named by line and column") {
  const Folder folder;
  const struct {
    const char* text;
    CsvOptions options;
    const char* says;
  } cases[] = {
      {"", {}, "empty file"},
      {"a,b\n", {}, "only a header"},
      {"1\n2\n", {}, "at least 2 columns separated by ',', got 1"},
      {"1,2,0\n3,1\n", {}, "line 2: want 3 columns, got 2"},
      {"1,2,0\n3,,1\n", {}, "line 2, column 2: want a number, got an empty cell"},
      {"1,2,0\n3,4,\n", {}, "line 2, column 3: want a label, got an empty cell"},
      {"x,y,c\n1,2,0\n3,five,1\n", {}, "line 3, column 2 'y': want a number, got 'five'"},
      {"1,x,0\n3,5,1\n", {}, "line 1, column 2: want a number, got 'x'"},
      {"1,2,0\n3,nan,1\n", {}, "line 2, column 2: want a finite float, got 'nan'"},
      {"1,2,0\n3,1e99,1\n", {}, "want a finite float, got '1e99'"},
      {"1,2,0\n3,4 5,1\n", {}, "got '4 5'"},
      {"1,\"a\nb\"\n2,c\nx,d\n", {}, "line 4, column 1"},  // the quoted line break counts
      {"1,2,0\n3,\"4,1\n", {}, "line 2: a quote does not close"},
      {"1,\"2\"3,0\n", {}, "after a cell, got '3'"},
      {"width,kind\n1,0\n", {.label = "knd"}, "no column 'knd' among 'width', 'kind': did you mean 'kind'?"},
      {"1,0\n", {.label = "kind", .header = Header::no}, "has no header"},
      {"1,0\n", {.label = "2"}, "no column 2: there are 2"},
      {"1,0\n", {.label = "-3"}, "no column -3"},
      {"1,0.5\n1,1\n", {}, "sample 0: want a whole number or a name as label, got '0.5'"},
      {"1,1\n1,-1\n", {}, "sample 1: want labels 0, 1, 2, ... without gaps, got -1"},
      {"1,2\n1,0\n1,0\n", {}, "none of class 1"},
      {"1,2\n1,1\n", {}, "got 2 among 2 samples"},
      {"1,999999999999\n1,0\n", {}, "sample 0"},
  };
  for (const auto& c : cases) {
    INFO(c.text);
    const std::string path = folder.file("data.csv", c.text);
    CHECK_THROWS_WITH(read_csv(path, c.options), ContainsSubstring(c.says) && ContainsSubstring(path));
  }
}

TEST_CASE("npz: features and labels under their usual names") {
  const Folder folder;
  const std::string path = folder.str() + "/data.npz";
  using autodiff::Array, autodiff::DType;
  const Array images{.dtype = DType::U8, .shape = {2, 1, 2}, .bytes = bytes({0, 51, 102, 255})};
  const Array floats = to_array(autodiff::Tensor({2, 3}, {1, 2, 3, 4, 5, 6}));
  const Array labels = to_array(autodiff::Labels(autodiff::Shape{2}, {1, 0}));

  autodiff::write_npz(path, {{"feature", images}, {"label", labels}});
  const Dataset data = load(path);
  CHECK(data.pixels.shape() == autodiff::Shape{2, 1, 2, 1});
  CHECK(numbers(data)[1] == 51 / 255.0f);
  CHECK(data.labels[0] == 1);
  autodiff::write_npz(path, {{"x", floats}, {"y", labels}});
  CHECK(read_npz(path).features[5] == 6);

  const std::pair<std::map<std::string, Array>, std::string> cases[] = {
      {{{"x", floats}, {"z", labels}}, "want an array named one of label, labels, y, got x, z"},
      {{{"x", floats}, {"y", floats}}, "want one class per sample, y [n], got [2, 3]"},
      {{{"x", labels}, {"y", labels}}, "want x [n, sample...], got [2]"},
      {{{"x", floats}, {"y", to_array(autodiff::Tensor({2}, {0.5f, 1}))}}, "y"},
      {{{"x", floats}, {"y", to_array(autodiff::Labels(autodiff::Shape{3}, {0, 1, 0}))}},
       "want one label per sample"},
      {{{"x", floats}, {"y", to_array(autodiff::Labels(autodiff::Shape{2}, {0, 7}))}},
       "got 7 among 2 samples"},
      {{{"x", to_array(autodiff::Tensor({2, 1}, {1, std::nanf("")}))}, {"y", labels}},
       "sample 1: want finite features"},
  };
  for (const auto& [arrays, says] : cases) {
    INFO(says);
    autodiff::write_npz(path, arrays);
    CHECK_THROWS_WITH(load(path), ContainsSubstring(says) && ContainsSubstring(path));
  }
}

TEST_CASE("load takes names, folders and files") {
  CHECK(names() == std::vector<std::string>{"digits", "gaussian", "moons", "spirals", "xor"});
  CHECK(load("digits").size() == 1797);
  CHECK(load("gaussian", {.gaussian = {.samples = 7, .labels = 5}}).classes == 5);
  for (const char* name : {"moons", "spirals", "xor"})
    CHECK(load(name, {.plane = {.samples = 9}}).size() == 9);
  const Folder folder;
  CHECK(load(folder.file("data.csv", "1,0\n2,1\n")).size() == 2);
  CHECK_THROWS_WITH(load("digit"), ContainsSubstring("moons") && ContainsSubstring("'digits' is nearest"));
  CHECK_THROWS_WITH(load("nowhere/data.csv"), ContainsSubstring("no such file"));
  CHECK_THROWS_WITH(load(folder.file("data.txt", "1,0\n")), ContainsSubstring("data.txt: want a folder"));
  CHECK_THROWS_WITH(load(folder.str()), ContainsSubstring("train-images"));
}

TEST_CASE("the embedded digits are those of the file, and half a .gz file is refused") {
  const fs::path digits_file = shared_data("digits/digits.csv.gz");
  if (digits_file.empty()) return;
  const Folder folder;
  const std::string whole = autodiff::read_file(digits_file);
  const Dataset data = load(folder.file("whole.csv.gz", whole));
  CHECK(data.size() == 1797);
  Dataset scaled = data;
  for (float& x : scaled.features) x /= 16;
  const Dataset embedded = digits();
  CHECK(std::equal(scaled.features.begin(), scaled.features.end(), embedded.features.begin()));
  CHECK(std::equal(data.labels.begin(), data.labels.end(), embedded.labels.begin()));
  const std::string cut = folder.file("cut.csv.gz", whole.substr(0, whole.size() / 2));
  CHECK_THROWS_WITH(load(cut), ContainsSubstring("cut.csv.gz"));
}

TEST_CASE("descriptions hold the figures") {
  Dataset data{.name = "tiny",
               .features = autodiff::Tensor({4, 1}, {1, 2, 3, 6}),
               .labels = autodiff::Labels(autodiff::Shape{4}, {0, 1, 1, 1}),
               .classes = 2,
               .class_names = {"no", "yes"}};
  const Description d = describe(data);
  CHECK(d.minimum == 1);
  CHECK(d.maximum == 6);
  CHECK(d.mean == Approx(3).epsilon(1e-15));
  CHECK(d.deviation == Approx(std::sqrt(3.5)).epsilon(1e-15));
  CHECK(d.class_counts == std::vector<int>{1, 3});
  const std::string text = d.str();
  CHECK_THAT(text, ContainsSubstring("tiny: 4 samples [1], 2 classes"));
  CHECK_THAT(text, ContainsSubstring("yes        3   75.0%"));
  CHECK_THROWS_WITH(describe(take(data, {})), ContainsSubstring("at least one sample"));
}

TEST_CASE("samples are drawn with characters") {
  Dataset data{.name = "corner",
               .features = autodiff::Tensor({2, 2, 2, 1}, {0, 1, 0.5f, 0, 3, 3, 3, 3}),
               .labels = autodiff::Labels(autodiff::Shape{2}, {0, 1}),
               .classes = 2};
  CHECK(draw(data, 0) == std::vector<std::string>{"  @@", "++  "});
  CHECK(draw(data, 1) == std::vector<std::string>{"    ", "    "});  // no contrast
  CHECK(gallery(data, std::vector<int>{0, 1, 0}, 20) ==
        "#0: 0  #1: 1  #0: 0\n  @@            @@\n++            ++\n");
  CHECK(gallery(data, std::vector<int>{0, 1}, 5) == "#0: 0\n  @@\n++\n#1: 1\n\n\n");
  CHECK(gallery(data, {}).empty());
  CHECK(draw(gaussian({.samples = 1, .features = 20}), 0)[0].ends_with(", ..."));
  CHECK_THROWS_WITH(draw(data, 2), ContainsSubstring("0 .. 1, got 2"));
  data.features = autodiff::Tensor({2, 3, 20, 1});  // wide: two rows a line
  CHECK(draw(data, 0).size() == 2);
  CHECK(draw(data, 0)[0].size() == 20);
}
