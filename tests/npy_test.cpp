#include "autodiff/tensor/npy.h"

#include <cmath>
#include <limits>

#include "autodiff/tensor/deflate.h"
#include "autodiff/tensor/file.h"
#include "tests/catch.h"
#include "tests/files.h"

using namespace autodiff;

namespace {

// np.savez_compressed(x=np.arange(6, dtype='<f4').reshape(2, 3))
const std::string deflated_npz = unhex(
    "504b03042d0000000800000021004fe9002affffffffffffffff05001400782e6e7079010010009800000000000000550000"
    "00000000009bec17ea1b10c9c850c650ad9e925a9c5ca46ea5a06e9366a2aea3a09e965f54529498179f5f94920a12774bcc"
    "294e058a17672416a402f91a463a0ac69a3a0ab50a64032e063068b007120e4004c40d40bcc00100504b01022d032d000000"
    "0800000021004fe9002a5500000098000000050000000000000000000000800100000000782e6e7079504b05060000000001"
    "000100330000008c0000000000");

template <class T>
Array array(DType dtype, std::vector<std::int64_t> shape, std::vector<T> values) {
  return {dtype, std::move(shape), std::string(as_chars(std::span(values)))};
}

// A version 1 file whose header is `header`, data included.
std::string npy(const std::string& header, const std::string& data) {
  return "\x93NUMPY" + unhex("0100") + little_endian(header.size(), 2) + header + data;
}

const Array numbers = array<float>(DType::F32, {2, 3}, {0, 1, 2, 3, 4, 5});

bool same(const Array& a, const Array& b) {
  return a.dtype == b.dtype && a.shape == b.shape && a.bytes == b.bytes;
}

}  // namespace

TEST_CASE("npy files are the bytes NumPy writes") {
  const std::string header = "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 2), }";
  const std::string want = "\x93NUMPY" + unhex("01007600") + header + std::string(117 - header.size(), ' ') +
                           "\n" + unhex("0000c03f000000c0");
  CHECK(npy_bytes(array<float>(DType::F32, {1, 2}, {1.5f, -2})) == want);
}

TEST_CASE("npy arrays of every type and rank come back") {
  const TempFolder folder;
  for (const Array& a :
       {numbers, array<double>(DType::F64, {}, {2.5}), array<std::int32_t>(DType::I32, {3}, {1, -2, 3}),
        array<std::int64_t>(DType::I64, {1, 1, 1, 1, 1, 1, 2}, {-5, 1LL << 40}),
        array<std::uint8_t>(DType::U8, {2, 2}, {0, 255, 1, 2}), array<std::uint8_t>(DType::Bool, {2}, {0, 1}),
        array<float>(DType::F32, {0, 7}, {})}) {
    write_npy(folder / "a.npy", a);
    CHECK(read_file(folder / "a.npy").find('\n') % 64 == 63);  // data begin at a multiple of 64
    CHECK(same(read_npy(folder / "a.npy"), a));
  }
}

TEST_CASE("npy headers of other writers and versions are read") {
  const std::string data = numbers.bytes;
  const std::string header = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }\n";
  const std::string v2 = "\x93NUMPY" + unhex("0200") + little_endian(header.size(), 4) + header + data;
  CHECK(same(parse_npy(v2, "a"), numbers));
  CHECK(same(parse_npy(patched(v2, 6, "\x03"), "a"), numbers));
  CHECK(same(parse_npy(npy("{\"shape\":(2,3),\"descr\":\"<f4\",\"fortran_order\":False}", data), "a"),
             numbers));
  // For one axis both orders are the same.
  const Array line = parse_npy(npy("{'descr': '<f4', 'fortran_order': True, 'shape': (6,), }", data), "a");
  CHECK(line.to_floats() == std::vector<float>{0, 1, 2, 3, 4, 5});
}

TEST_CASE("broken npy files are refused") {
  const std::string good = npy_bytes(numbers), data = numbers.bytes;
  const auto with = [&](const std::string& header) { return npy(header, data); };
  struct Case {
    const char* name;
    std::string bytes;
    const char* message;
  };
  const std::vector<Case> cases = {
      {"empty", "", "does not begin with"},
      {"wrong magic", patched(good, 1, "M"), "does not begin with"},
      {"cut in the length", good.substr(0, 9), "truncated npy file: 9 bytes"},
      {"unknown version", patched(good, 6, "\x04"), "want npy format 1, 2 or 3, got 4"},
      {"cut in the header", good.substr(0, 50), "header of 118 bytes does not fit into 50"},
      {"no dictionary", with("hello"), "corrupt npy header at 'hello'"},
      {"header never ends", with("{'descr': '<f4'"), "corrupt npy header"},
      {"string never ends", with("{'descr"), "corrupt npy header"},
      {"key missing", with("{'descr': '<f4', 'shape': (2, 3)}"), "one is missing"},
      {"key twice", with("{'descr': '<f4', 'descr': '<f4'}"), "descr occurs twice"},
      {"unknown key", with("{'order': 'C'}"), "unknown key 'order'"},
      {"text after the header", with("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3)} x"),
       "corrupt"},
      {"negative size", with("{'descr': '<f4', 'fortran_order': False, 'shape': (-2, 3)}"),
       "corrupt npy header at"},
      {"size beyond int64",
       with("{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,)}"), "corrupt"},
      {"size overflow", with("{'descr': '<f4', 'fortran_order': False, 'shape': (9999999999, 9999999999)}"),
       "want far too many bytes"},
      {"lying shape", with("{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999,)}"),
       "want 399999999996 bytes of data for shape [99999999999] of <f4, got 24"},
      {"data cut off", good.substr(0, good.size() - 1),
       "want 24 bytes of data for shape [2, 3] of <f4, got 23"},
      {"data too long", good + "x", "got 25"},
      {"big-endian", with("{'descr': '>f4', 'fortran_order': False, 'shape': (2, 3)}"), "got '>f4': convert"},
      {"Python objects", with("{'descr': '|O', 'fortran_order': False, 'shape': (2, 3)}"), "got '|O'"},
      {"named fields", with("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2, 3)}"),
       "named fields"},
      {"columns first", with("{'descr': '<f4', 'fortran_order': True, 'shape': (2, 3)}"),
       "np.ascontiguousarray"},
  };
  for (const Case& c : cases) {
    INFO(c.name);
    const std::string message = error_of([&] { parse_npy(c.bytes, "a.npy"); });
    CHECK_THAT(message, ContainsSubstring("a.npy: "));
    CHECK_THAT(message, ContainsSubstring(c.message));
  }
  CHECK_THAT(error_of([] {
               npy_bytes(Array{DType::F32, {3}, "1234"});
             }),
             ContainsSubstring("shape [3], got 4"));
  CHECK_THAT(error_of([] { npy_bytes(Array{DType::F16, {2}, "1234"}); }), ContainsSubstring("got F16"));
}

TEST_CASE("array elements become floats and ints only without a surprise") {
  const double big = 3e38, inf = std::numeric_limits<double>::infinity();
  CHECK(array<double>(DType::F64, {3}, {0.5, -big, inf}).to_floats() ==
        std::vector<float>{0.5f, static_cast<float>(-big), std::numeric_limits<float>::infinity()});
  CHECK(array<std::uint8_t>(DType::U8, {2}, {0, 255}).to_floats() == std::vector<float>{0, 255});
  CHECK(array<std::int64_t>(DType::I64, {2}, {-2147483648LL, 2147483647}).to_ints() ==
        std::vector<std::int32_t>{-2147483647 - 1, 2147483647});
  CHECK(array<float>(DType::F32, {2}, {-3, 7}).to_ints() == std::vector<std::int32_t>{-3, 7});
  CHECK(array<std::uint8_t>(DType::Bool, {2}, {0, 1}).to_ints() == std::vector<std::int32_t>{0, 1});

  CHECK(error_of([] {
          array<std::int64_t>(DType::I64, {2}, {1, 2147483648}).to_ints("y");
        }) == "y: element 1 is 2147483648, which is no whole number within int32");
  CHECK_THAT(error_of([] { array<double>(DType::F64, {1}, {0.5}).to_ints(); }), ContainsSubstring("is 0.5"));
  CHECK_THAT(error_of([] { array<double>(DType::F64, {1}, {std::nan("")}).to_ints(); }),
             ContainsSubstring("is nan"));
  CHECK_THAT(error_of([] { array<double>(DType::F64, {1}, {0x1p31}).to_ints(); }),
             ContainsSubstring("no whole number"));
  CHECK_THAT(error_of([] { array<double>(DType::F64, {1}, {1e39}).to_floats(); }),
             ContainsSubstring("without loss"));
  CHECK_THAT(error_of([] { array<std::int32_t>(DType::I32, {1}, {16777217}).to_floats(); }),
             ContainsSubstring("16777217"));
  CHECK_THAT(error_of([] {
               Array{DType::F32, {2}, "1234"}.to_floats();
             }),
             ContainsSubstring("F32 [2], got 4"));
  CHECK_THAT(error_of([] { Array{DType::U64, {0}, ""}.to_ints(); }), ContainsSubstring("got U64"));
}

TEST_CASE("sizes become a shape") {
  CHECK(to_shape(std::vector<std::int64_t>{2, 0, 3}, "x") == Shape{2, 0, 3});
  CHECK_THAT(error_of([] { to_shape(std::vector<std::int64_t>(7, 1), "x"); }),
             ContainsSubstring("x: want at most 6"));
  CHECK_THAT(error_of([] { to_shape(std::vector<std::int64_t>{1LL << 31}, "x"); }),
             ContainsSubstring("[2147483648]"));
}

TEST_CASE("npz files hold arrays by name") {
  const TempFolder folder;
  const Array labels = to_array(Labels(Shape{2}, {4, -1}));
  write_npz(folder / "a.npz", {{"feature", numbers}, {"label", labels}});
  const Npz file = Npz::read(folder / "a.npz");
  const Npz copy = file;
  CHECK(copy.names() == std::vector<std::string>{"feature", "label"});
  CHECK(copy.contains("label"));
  CHECK(same(copy.array("feature"), numbers));
  CHECK(copy.array("label").to_ints() == std::vector<std::int32_t>{4, -1});
  const std::string message = error_of([&] { file.array("labels"); });
  CHECK_THAT(message, ContainsSubstring("a.npz: no array 'labels'; the nearest name is 'label'"));
  CHECK(Npz::parse(npz_bytes({}), "b").names().empty());
}

TEST_CASE("compressed npz files are read") {
  const Npz file = Npz::parse(deflated_npz, "c.npz");
  CHECK(file.names() == std::vector<std::string>{"x"});
  if (has_zlib()) {
    CHECK(same(file.array("x"), numbers));
  } else {
    CHECK_THAT(error_of([&] { file.array("x"); }), ContainsSubstring("built without zlib"));
  }
}

namespace {

// A stored archive with one array: local header at 0, directory and end record at fixed distances from the
// end.
const std::string archive = npz_bytes({{"x", numbers}});
const std::size_t end_at = archive.size() - 22, entry_at = end_at - 46 - 5;

// The same with ZIP64 end records: 32-bit fields saturated, the true values behind.
std::string zip64(std::uint64_t entries, std::uint64_t size, std::uint64_t offset,
                  std::uint64_t end64_offset) {
  return archive.substr(0, end_at) + "PK\x06\x06" + little_endian(44, 8) + little_endian(45, 2) +
         little_endian(45, 2) + little_endian(0, 8) + little_endian(entries, 8) + little_endian(entries, 8) +
         little_endian(size, 8) + little_endian(offset, 8) + "PK\x06\x07" + little_endian(0, 4) +
         little_endian(end64_offset, 8) + little_endian(1, 4) + "PK\x05\x06" + little_endian(0, 4) +
         std::string(12, '\xff') + little_endian(0, 2);
}

}  // namespace

TEST_CASE("archives with ZIP64 records or a comment are read") {
  const std::string big = zip64(1, end_at - entry_at, entry_at, end_at);
  CHECK(same(Npz::parse(big, "z").array("x"), numbers));
  const std::string comment = patched(archive, end_at + 20, little_endian(5, 2)) + "hello";
  CHECK(same(Npz::parse(comment, "z").array("x"), numbers));
  // Sizes and offset of the entry in an extra field.
  const std::string extra = little_endian(1, 2) + little_endian(24, 2) + little_endian(152, 8) +
                            little_endian(152, 8) + little_endian(0, 8);
  std::string entry = archive.substr(entry_at, 46 + 5);
  entry = patched(patched(patched(entry, 20, std::string(8, '\xff')), 30, little_endian(28, 2)), 42,
                  "\xff\xff\xff\xff");
  const std::string end = patched(archive.substr(end_at), 12, little_endian(entry.size() + extra.size(), 4));
  CHECK(same(Npz::parse(archive.substr(0, entry_at) + entry + extra + end, "z").array("x"), numbers));
}

TEST_CASE("broken npz files are refused") {
  struct Case {
    const char* name;
    std::string bytes;
    const char* message;
  };
  const std::string& a = archive;
  const std::size_t directory = end_at - entry_at;
  const std::vector<Case> cases = {
      {"empty", "", "no zip archive"},
      {"an npy file", npy_bytes(numbers), "no zip archive"},
      {"end cut off", a.substr(0, a.size() - 1), "no zip archive, or a truncated one"},
      {"two volumes", patched(a, end_at + 4, "\x01"), "one volume"},
      {"directory beyond the end", patched(a, end_at + 16, little_endian(1 << 30, 4)), "beyond its end"},
      {"directory too long", patched(a, end_at + 12, little_endian(1 << 30, 4)), "beyond its end"},
      {"fewer entries than said", patched(a, end_at + 8, unhex("02000200")), "reaches beyond its end"},
      {"more entries than said", patched(a, end_at + 8, unhex("00000000")), "more than its 0 entries"},
      {"no entry", patched(a, entry_at, "XX"), "an entry of its directory is missing"},
      {"encrypted", patched(a, entry_at + 8, "\x01"), "'x.npy' is encrypted"},
      {"unknown method", patched(a, entry_at + 10, "\x0c"), "compression method 12"},
      {"checksum in the directory", patched(a, entry_at + 16, "\x01\x02"), "checksum is wrong"},
      {"data damaged", patched(a, 30 + 5 + 128 + 3, "\x01"), "checksum is wrong"},
      {"data longer than the archive", patched(a, entry_at + 20, little_endian(1 << 30, 4)),
       "reaches beyond its end"},
      {"size of the content", patched(a, entry_at + 24, little_endian(7, 4)), "want 7 bytes, got 152"},
      {"local header beyond the end", patched(a, entry_at + 42, little_endian(1 << 30, 4)),
       "a record begins at byte"},
      {"no local header", patched(a, 0, "XX"), "no data for 'x.npy'"},
      {"local name", patched(a, 30, "y"), "another name beside its data"},
      {"no npy file", patched(patched(a, 30, "x.txt"), entry_at + 46, "x.txt"), "got 'x.txt' in it"},
      {"name twice",
       zip_bytes(std::vector<std::pair<std::string, std::string>>{{"a.npy", ""}, {"a.npy", ""}}),
       "'a.npy' occurs twice"},
      {"deflate said, stored is", patched(a, entry_at + 10, "\x08"),
       has_zlib() ? "'x.npy': " : "without zlib"},
      {"no npy inside", zip_bytes(std::vector<std::pair<std::string, std::string>>{{"x.npy", "hello"}}),
       "'x': no npy file"},
      {"ZIP64 record missing", patched(a, end_at + 16, "\xff\xff\xff\xff"), "ZIP64 end record is missing"},
      {"ZIP64 record elsewhere", zip64(1, directory, entry_at, 3), "ZIP64 end record is missing"},
      {"ZIP64 record beyond the end", zip64(1, directory, entry_at, ~0ull), "a record begins at byte"},
      {"ZIP64 directory beyond the end", zip64(1, ~0ull, entry_at, end_at), "beyond its end"},
      {"ZIP64 huge count", zip64(~0ull, directory, entry_at, end_at), "reaches beyond its end"},
  };
  for (const Case& c : cases) {
    INFO(c.name);
    const std::string message = error_of([&] { Npz::parse(c.bytes, "a.npz").array("x"); });
    CHECK_THAT(message, ContainsSubstring("a.npz: "));
    CHECK_THAT(message, ContainsSubstring(c.message));
  }
}

TEST_CASE("damaged npy and npz files give an error or an array, nothing else") {
  int refused = 0;
  const std::string npy_file = npy_bytes(numbers);
  for (std::uint64_t i = 0; i < 5000; ++i) {
    refused += error_of([&] { parse_npy(damaged(npy_file, i), "a"); }) != "no error";
    for (const std::string& file : {archive, deflated_npz, zip64(1, end_at - entry_at, entry_at, end_at)}) {
      const std::string message = error_of([&] {
        const Npz npz = Npz::parse(damaged(file, i), "a");
        for (const std::string& name : npz.names()) npz.array(name);
      });
      refused += message != "no error";
    }
  }
  CHECK(refused > 10000);  // the rest is damage to padding, dates and other fields that are not looked at
}
