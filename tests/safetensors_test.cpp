#include "nn/safetensors.h"

#include <algorithm>
#include <cstdlib>

#include "autodiff/tensor/file.h"
#include "tests/catch.h"
#include "tests/files.h"

using namespace autodiff;
using nn::Safetensors;
using nn::SafetensorsWriter;

namespace {

std::string file(const std::string& header, const std::string& data = "") {
  return little_endian(header.size(), 8) + header + data;
}

SafetensorsWriter example() {
  SafetensorsWriter writer;
  writer.add("w", Tensor(Shape{1, 2}, {1, 2}));
  writer.add("n", std::vector<std::int64_t>{3}, Shape{1});
  writer.metadata("format", "x");
  return writer;
}

}  // namespace

TEST_CASE("the writer's bytes are those of the reference implementation") {
  const std::string header =
      R"({"__metadata__":{"format":"x"},"n":{"dtype":"I64","shape":[1],"data_offsets":[0,8]},)"
      R"("w":{"dtype":"F32","shape":[1,2],"data_offsets":[8,16]}}    )";
  CHECK(example().bytes() == file(header, unhex("03000000000000000000803f00000040")));
  CHECK(SafetensorsWriter().bytes() == file("{}      "));
}

TEST_CASE("arrays and metadata come back") {
  const TempFolder folder;
  SafetensorsWriter writer;
  writer.add("params/dense1.kernel", Tensor(Shape{2, 3}, {1, -2, 3.5f, 0, 1e-30f, 1e30f}));
  writer.add("scalar", Tensor(Shape{}, {7}));
  writer.add("empty", Tensor(Shape{0, 4}));
  writer.add("label", Labels(Shape{3}, {1, -5, 2147483647}));
  writer.add("long", std::vector<std::int64_t>{4, -5}, Shape{2, 1});
  writer.add("huge", std::vector<std::int64_t>{1LL << 40}, Shape{1});
  writer.add("mean", std::vector<double>{0.1, -0.2}, Shape{2});
  writer.metadata("graph", "{\"a\": \"\xc3\xa4\\\n\"}");
  writer.write(folder / "a.safetensors");

  const Safetensors read = Safetensors::read(folder / "a.safetensors");
  const Safetensors copy = read;
  CHECK(copy.entries().size() == 7);
  CHECK(std::is_sorted(copy.entries().begin(), copy.entries().end(),
                       [](const auto& a, const auto& b) { return a.name < b.name; }));
  const Tensor kernel = copy.tensor("params/dense1.kernel", Shape{2, 3});
  CHECK(std::vector<float>(kernel.begin(), kernel.end()) ==
        std::vector<float>{1, -2, 3.5f, 0, 1e-30f, 1e30f});
  CHECK(copy.tensor("scalar").item() == 7);
  CHECK(copy.tensor("empty").shape() == Shape{0, 4});
  const Labels labels = copy.labels("label"), from_long = copy.labels("long");
  CHECK(std::vector<int>(labels.begin(), labels.end()) == std::vector<int>{1, -5, 2147483647});
  CHECK(from_long.shape() == Shape{2, 1});
  CHECK(from_long[1] == -5);
  CHECK(copy.doubles("mean") == std::vector<double>{0.1, -0.2});
  CHECK(copy.integers("huge") == std::vector<std::int64_t>{1LL << 40});
  CHECK(copy.metadata() == std::map<std::string, std::string>{{"graph", "{\"a\": \"\xc3\xa4\\\n\"}"}});
  CHECK(copy.contains("mean"));
  CHECK_FALSE(copy.contains("median"));
  CHECK(copy.find("median") == nullptr);
  REQUIRE(copy.find("mean") != nullptr);
  CHECK(copy.find("mean")->dtype == DType::F64);
}

TEST_CASE("the bytes do not depend on the order of adding") {
  SafetensorsWriter a, b;
  const Tensor x(Shape{2}, {1, 2}), y(Shape{1}, {3});
  const Labels z(Shape{1}, {4});
  a.add("x", x), a.add("y", y), a.add("z", z), a.metadata("k", "1"), a.metadata("j", "2");
  b.metadata("j", "2"), b.add("z", z), b.add("y", y), b.metadata("k", "0"), b.add("x", x),
      b.metadata("k", "1");
  CHECK(a.bytes() == b.bytes());
}

TEST_CASE("asking for the wrong thing says what is there") {
  SafetensorsWriter writer = example();
  writer.add("d", std::vector<double>{1}, Shape{1});
  writer.add("far", std::vector<std::int64_t>{0, 1LL << 31}, Shape{2});
  const Safetensors a = Safetensors::parse(writer.bytes(), "m.safetensors");
  CHECK(error_of([&] { a.tensor("n"); }) == "m.safetensors: 'n': want dtype F32, got I64");
  CHECK(error_of([&] { a.tensor("v"); }).starts_with("m.safetensors: no array 'v'; the nearest name is '"));
  CHECK(error_of([&] { a.tensor("fer"); }) == "m.safetensors: no array 'fer'; the nearest name is 'far'");
  CHECK(error_of([&] { a.tensor("w", Shape{2}); }) == "m.safetensors: 'w': want shape [2], got [1, 2]");
  CHECK(error_of([&] { a.labels("w"); }) == "m.safetensors: 'w': want dtype I32 or I64, got F32");
  CHECK(error_of([&] { a.labels("far"); }) ==
        "m.safetensors: 'far': want values within int32, element 1 is 2147483648");
  CHECK_THAT(error_of([&] { a.doubles("w"); }), ContainsSubstring("want dtype F64, got F32"));
  CHECK_THAT(error_of([&] { a.integers("d"); }), ContainsSubstring("want dtype I64, got F64"));
  const std::string flat = R"({"t":{"dtype":"F32","shape":[1,1,1,1,1,1,1],"data_offsets":[0,4]}})";
  CHECK_THAT(error_of([&] { Safetensors::parse(file(flat, "1234"), "f").tensor("t"); }),
             ContainsSubstring("f: 't': want at most 6 axes"));
}

TEST_CASE("the writer refuses what would make no file") {
  SafetensorsWriter writer;
  writer.add("a", Tensor(Shape{1}));
  CHECK_THAT(error_of([&] { writer.add("a", Labels(Shape{1})); }), ContainsSubstring("'a': added twice"));
  CHECK_THAT(error_of([&] { writer.add("__metadata__", Tensor()); }),
             ContainsSubstring("no name for an array"));
  CHECK_THAT(error_of([&] {
               writer.add("b", std::vector<float>{1, 2}, Shape{3});
             }),
             ContainsSubstring("'b': want 3 values for shape [3], got 2"));
  CHECK(Safetensors::parse(writer.bytes(), "w").entries().size() == 1);
  writer.add("\xff", Tensor());
  CHECK_THAT(error_of([&] { writer.bytes(); }), ContainsSubstring("UTF-8"));
  CHECK_THAT(error_of([] { SafetensorsWriter().write("/no/such/folder/a"); }),
             ContainsSubstring("/no/such/folder/a"));
}

TEST_CASE("broken safetensors files are refused") {
  const std::string a = R"("a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]})";
  const auto entry = [](const std::string& text) { return file("{\"t\":" + text + "}", "12345678"); };
  const std::string good = example().bytes();
  struct Case {
    const char* name;
    std::string bytes;
    const char* message;
  };
  const std::vector<Case> cases = {
      {"empty", "", "want at least 8 bytes, got 0"},
      {"length cut off", good.substr(0, 7), "want at least 8 bytes, got 7"},
      {"header above the limit", little_endian(100'000'001, 8) + "{}",
       "at most 100000000 bytes, got 100000001"},
      {"huge header", std::string(8, '\xff') + "{}", "got 18446744073709551615"},
      {"header cut off", good.substr(0, 60), "truncated: want a header of 144 bytes, got 52"},
      {"empty header", file(""), "does not begin with '{'"},
      {"a list", file("[]"), "does not begin with '{'"},
      {"space first", file(" {}"), "does not begin with '{'"},
      {"byte order mark", file("\xef\xbb\xbf{}"), "does not begin with '{'"},
      {"no JSON", file("{hello}"), "corrupt header: parse error"},
      {"JSON never ends", file("{\"a\":"), "corrupt header: parse error"},
      {"two values", file("{}{}"), "corrupt header: parse error"},
      {"not UTF-8", file("{\"\xff\":1}"), "ill-formed UTF-8"},
      {"half a surrogate", file(R"({"\ud800":1})"), "corrupt header"},
      {"nesting", file("{\"a\":" + std::string(100000, '[')), "nested too deeply"},
      {"name twice", file("{" + a + "," + a + "}", "1234"), "key 'a' occurs twice"},
      {"key twice", entry(R"({"dtype":"F32","dtype":"F32","shape":[2],"data_offsets":[0,8]})"),
       "'dtype' occurs twice"},
      {"metadata key twice", file(R"({"__metadata__":{"k":"1","k":"2"}})"), "'k' occurs twice"},
      {"metadata twice", file(R"({"__metadata__":{},"__metadata__":{}})"), "'__metadata__' occurs twice"},
      {"metadata no object", file(R"({"__metadata__":"x"})"), "__metadata__: want an object, got string"},
      {"metadata no string", file(R"({"__metadata__":{"k":1}})"), "'k': want a string, got number"},
      {"entry no object", entry("1"), "'t': want an object, got number"},
      {"key missing", entry(R"({"dtype":"F32","shape":[2]})"), "'t': data_offsets is missing"},
      {"unknown key", entry(R"({"dtype":"F32","shape":[2],"data_offsets":[0,8],"strides":[1]})"),
       "unknown key 'strides'"},
      {"dtype no string", entry(R"({"dtype":1,"shape":[2],"data_offsets":[0,8]})"), "dtype: want a string"},
      {"unknown dtype", entry(R"({"dtype":"F33","shape":[2],"data_offsets":[0,8]})"),
       "'t': unknown dtype 'F33'"},
      {"shape no list", entry(R"({"dtype":"F32","shape":2,"data_offsets":[0,8]})"), "shape: want a list"},
      {"negative size", entry(R"({"dtype":"F32","shape":[-2],"data_offsets":[0,8]})"),
       "shape: want whole numbers from 0"},
      {"fraction", entry(R"({"dtype":"F32","shape":[2.0],"data_offsets":[0,8]})"), "got 2.0"},
      {"size beyond int64", entry(R"({"dtype":"F32","shape":[9223372036854775808],"data_offsets":[0,8]})"),
       "got 9223372036854775808"},
      {"product overflows", entry(R"({"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,8]})"),
       "its size overflows"},
      {"product overflows beside a zero",
       entry(R"({"dtype":"F32","shape":[0,4294967296,4294967296],"data_offsets":[0,0]})"),
       "its size overflows"},
      {"wrong shape", entry(R"({"dtype":"F32","shape":[3],"data_offsets":[0,8]})"),
       "'t': want 12 bytes for shape [3] of F32, got 8"},
      {"one offset", entry(R"({"dtype":"F32","shape":[2],"data_offsets":[8]})"),
       "want [begin, end], got [8]"},
      {"offsets reversed", entry(R"({"dtype":"F32","shape":[2],"data_offsets":[8,0]})"),
       "want [begin, end], got [8, 0]"},
      {"offsets beyond the end", entry(R"({"dtype":"F32","shape":[4],"data_offsets":[0,16]})"),
       "'t': truncated: its data end at byte 16 of 8"},
      {"gap at the beginning", entry(R"({"dtype":"F32","shape":[1],"data_offsets":[4,8]})"),
       "leaving a gap: want 0"},
      {"gap between", file("{" + a + R"(,"b":{"dtype":"U8","shape":[1],"data_offsets":[5,6]}})", "123456"),
       "'b': its data begin at byte 5, leaving a gap: want 4"},
      {"overlap", file("{" + a + R"(,"b":{"dtype":"U8","shape":[4],"data_offsets":[2,6]}})", "123456"),
       "'b': its data begin at byte 2, inside those of another array"},
      {"same place", file("{" + a + R"(,"b":{"dtype":"I32","shape":[1],"data_offsets":[0,4]}})", "1234"),
       "inside those of"},
      {"empty one inside", file("{" + a + R"(,"b":{"dtype":"U8","shape":[0],"data_offsets":[2,2]}})", "1234"),
       "inside those of"},
      {"unaligned",
       file(R"({"b":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},)"
            R"("c":{"dtype":"F32","shape":[1],"data_offsets":[1,5]}})",
            "12345"),
       "'c': want its data to begin at a multiple of 4, they begin at 1"},
      {"bytes at the end", good + "xyz", "3 bytes at the end belong to no array"},
      {"data cut off", good.substr(0, good.size() - 1), "'w': truncated"},
  };
  for (const Case& c : cases) {
    INFO(c.name);
    const std::string message = error_of([&] { Safetensors::parse(c.bytes, "a.safetensors"); });
    CHECK_THAT(message, ContainsSubstring("a.safetensors: "));
    CHECK_THAT(message, ContainsSubstring(c.message));
    CHECK(message.size() < 400);
  }
  CHECK_THAT(error_of([] { Safetensors::read("/no/a.safetensors"); }),
             ContainsSubstring("/no/a.safetensors"));
}

TEST_CASE("damaged safetensors files give an error or arrays, nothing else") {
  SafetensorsWriter writer = example();
  writer.add("label", Labels(Shape{3}, {1, 2, 3}));
  writer.add("mean", std::vector<double>{0.1, -0.2}, Shape{2});
  const std::string good = writer.bytes();
  int refused = 0;
  for (std::uint64_t i = 0; i < 10000; ++i) {
    const std::string message = error_of([&] {
      const Safetensors a = Safetensors::parse(damaged(good, i), "a");
      for (const auto& entry : a.entries()) {
        if (entry.dtype == DType::F32) a.tensor(entry.name);
        if (entry.dtype == DType::I32 || entry.dtype == DType::I64) a.labels(entry.name);
      }
    });
    if (message != "no error") ++refused;
  }
  CHECK(refused > 5000);  // the rest is damage to values, metadata, names
}

TEST_CASE("the recorded bundles are read, and come back when written") {
  const char* const shared = std::getenv("EV3_SHARED");
  const std::filesystem::path golden =
      (shared ? std::filesystem::path(shared) : std::filesystem::path(EV3_SOURCE_DIR) / "../shared") /
      "golden";
  if (!std::filesystem::is_directory(golden)) {
    WARN("skipped: no recorded bundles (EV3_SHARED names the folder that holds golden/)");
    return;
  }
  int files = 0;
  for (const auto& item : std::filesystem::recursive_directory_iterator(golden)) {
    if (item.path().extension() != ".safetensors") continue;
    INFO(item.path().string());
    ++files;
    const Safetensors a = Safetensors::read(item.path());
    SafetensorsWriter writer;
    for (const auto& [key, value] : a.metadata()) writer.metadata(key, value);
    for (const auto& entry : a.entries()) {
      if (entry.dtype == DType::F32) {
        writer.add(entry.name, a.tensor(entry.name));
      } else {
        writer.add(entry.name, a.labels(entry.name));
      }
    }
    const Safetensors b = Safetensors::parse(writer.bytes(), "copy");
    REQUIRE(b.entries().size() == a.entries().size());
    for (std::size_t i = 0; i < a.entries().size(); ++i) {
      const auto &x = a.entries()[i], &y = b.entries()[i];
      CHECK((x.name == y.name && x.dtype == y.dtype && x.shape == y.shape &&
             std::ranges::equal(x.bytes, y.bytes)));
    }
  }
  CHECK(files > 0);
}
