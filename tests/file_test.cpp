#include "autodiff/tensor/file.h"

#include <sys/resource.h>
#include <unistd.h>

#include <array>
#include <csignal>

#include "autodiff/tensor/deflate.h"
#include "autodiff/tensor/text.h"
#include "tests/catch.h"
#include "tests/files.h"

using namespace autodiff;

namespace {

// "hello hello hello hello\n", by gzip.
const std::string hello_gz = unhex("1f8b0800000000000203cb48cdc9c957c84027b9000088590b18000000");
const std::string hello = "hello hello hello hello\n";

// While it lives, files may not grow beyond `bytes`: writing more fails with EFBIG, as on a full disk with
// ENOSPC.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) : handler_(std::signal(SIGXFSZ, SIG_IGN)) {
    ::getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit limit{bytes, before_.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &limit);
  }
  FileSizeLimit(const FileSizeLimit&) = delete;
  FileSizeLimit& operator=(const FileSizeLimit&) = delete;
  ~FileSizeLimit() {
    ::setrlimit(RLIMIT_FSIZE, &before_);
    std::signal(SIGXFSZ, handler_);
  }

 private:
  rlimit before_{};
  void (*handler_)(int);
};

}  // namespace

TEST_CASE("checksums agree with published values") {
  const std::string digits = "123456789";
  CHECK(crc32(digits) == 0xCBF43926);
  CHECK(crc32c(digits) == 0xE3069283);
  CHECK(crc32c(std::string(32, '\0')) == 0x8A9136AA);
  CHECK(fnv1a64("") == 0xcbf29ce484222325);
  CHECK(fnv1a64("foobar") == 0x85944171f73967e8);
  // The masked one of TensorBoard's records.
  const std::uint32_t crc = crc32c(unhex("1a11") + "CRC test, one two");
  CHECK(((crc >> 15 | crc << 17) + 0xA282EAD8) == 0x5794D08A);
  // Piece by piece, and of bytes instead of characters.
  CHECK(crc32("6789", crc32("12345")) == crc32(digits));
  CHECK(crc32c("6789", crc32c("12345")) == crc32c(digits));
  CHECK(fnv1a64("bar", fnv1a64("foo")) == fnv1a64("foobar"));
  CHECK(crc32c(std::as_bytes(std::span(digits))) == crc32c(digits));
}

TEST_CASE("text helpers") {
  CHECK(nearest("lerning_rate", {"momentum", "learning_rate", "epsilon"}) == "learning_rate");
  CHECK(nearest("b", {"aa", "ab", "bb"}) == "ab");  // the first of two at distance 1
  CHECK(nearest("", {"abc", "x"}) == "x");
  CHECK(nearest("x", {}).empty());
  CHECK(suggestion("lerning_rate", {"momentum", "learning_rate"}) == "did you mean 'learning_rate'?");
  CHECK(suggestion("learning_rat", {"seed", "teachers"}) == "want one of seed, teachers");
  CHECK(suggestion("x", {}) == "want none");
  CHECK(hex(0) == "0000000000000000");
  CHECK(hex(0x0123456789abcdef) == "0123456789abcdef");
  CHECK(in_quotes("a\n\x1b[1mb") == "'a??[1mb'");
  CHECK(in_quotes(std::string(100, 'x')) == "'" + std::string(80, 'x') + "...'");
}

TEST_CASE("a file is read back as written") {
  const TempFolder folder;
  const auto path = folder / "a.bin";
  for (const std::string& bytes : {std::string(), std::string("\0\xff\n", 3), std::string(200000, 'x')}) {
    write_file(path, bytes);
    CHECK(read_file(path) == bytes);
  }
  CHECK(folder.count() == 1);
}

TEST_CASE("reading says what is wrong") {
  const TempFolder folder;
  const std::string missing = (folder / "no.bin").string();
  CHECK(error_of([&] { read_file(missing); }) == "cannot read " + missing + ": No such file or directory");
  CHECK_THAT(error_of([&] { read_file(folder / ""); }), ContainsSubstring("it is a directory"));
  CHECK_THAT(error_of([&] { read_file("/dev/zero"); }), ContainsSubstring("a device"));
  const auto secret = folder / "secret";
  write_file(secret, "x");
  std::filesystem::permissions(secret, std::filesystem::perms::none);
  if (::geteuid() == 0) {
    WARN("skipped: root may read every file");
  } else {
    CHECK_THAT(error_of([&] { read_file(secret); }), ContainsSubstring("Permission denied"));
  }
}

TEST_CASE("a write that fails leaves the old file and nothing else") {
  const TempFolder folder;
  const auto path = folder / "a.bin";
  write_file(path, "old");
  {
    const FileSizeLimit limit(1000);
    CHECK(error_of([&] { write_file(path, std::string(5000, 'x')); }) ==
          "cannot write " + path.string() + ": File too large");
  }
  CHECK(read_file(path) == "old");
  CHECK(folder.count() == 1);

  if (::geteuid() == 0) {
    WARN("skipped: root may write to every folder");
  } else {
    const auto closed = folder / "closed";
    std::filesystem::create_directory(closed);
    std::filesystem::permissions(closed, std::filesystem::perms(0555));
    CHECK_THAT(error_of([&] { write_file(closed / "a", "x"); }), ContainsSubstring("Permission denied"));
  }
}

TEST_CASE("writing says what is wrong") {
  const TempFolder folder;
  CHECK_THAT(error_of([&] { write_file(folder / "no" / "a", "x"); }),
             ContainsSubstring("no: No such file or directory"));
  CHECK_THAT(error_of([&] { write_file(folder / std::string(300, 'x'), "x"); }),
             ContainsSubstring("File name too long"));
  std::filesystem::create_directory(folder / "b");
  CHECK_THAT(error_of([&] { write_file(folder / "b", "x"); }), ContainsSubstring("it is a directory"));
  CHECK_THAT(error_of([] { write_file("/dev/null", "x"); }), ContainsSubstring("not a regular file"));
  // What a killed run left behind is overwritten; a link is not followed.
  write_file(folder / "a.tmp", "half");
  write_file(folder / "a", "whole");
  CHECK(read_file(folder / "a") == "whole");
  std::filesystem::create_symlink(folder / "a", folder / "c.tmp");
  CHECK_THAT(error_of([&] { write_file(folder / "c", "x"); }), ContainsSubstring("symbolic links"));
  CHECK(read_file(folder / "a") == "whole");
}

TEST_CASE("gzip files are inflated, others come as they are") {
  const TempFolder folder;
  const auto path = folder / "a.gz";
  write_file(path, "plain");
  CHECK(read_gz(path) == "plain");
  write_file(path, hello_gz);
  if (!has_zlib()) {
    CHECK_THAT(error_of([&] { read_gz(path); }), ContainsSubstring("built without zlib"));
    return;
  }
  CHECK(read_gz(path) == hello);
  write_file(path, hello_gz + hello_gz);
  CHECK(read_gz(path) == hello + hello);
}

TEST_CASE("broken gzip data are refused") {
  if (!has_zlib()) {
    WARN("skipped: built without zlib");
    return;
  }
  struct Case {
    const char* name;
    std::string bytes;
    const char* message;
  };
  const std::string &g = hello_gz, end = g.substr(g.size() - 8);
  const std::array cases = {
      Case{"empty after the magic", g.substr(0, 2), "truncated"},
      Case{"half a header", g.substr(0, 7), "truncated"},
      Case{"half the data", g.substr(0, 15), "truncated"},
      Case{"no trailer", g.substr(0, g.size() - 8), "truncated"},
      Case{"last byte missing", g.substr(0, g.size() - 1), "truncated"},
      Case{"second member cut off", g + g.substr(0, 20), "truncated"},
      Case{"unknown method", patched(g, 2, "\x07"), "unknown compression method"},
      Case{"reserved flags", patched(g, 3, "\xe0"), "unknown header flags"},
      Case{"invalid block", patched(g, 10, "\x07"), "invalid block type"},
      Case{"wrong checksum", patched(g, g.size() - 8, "\x01"), "incorrect data check"},
      Case{"wrong length", patched(g, g.size() - 4, "\x01"), "incorrect length check"},
      Case{"bytes after the end", g + "more", "4 unknown bytes after"},
  };
  for (const Case& c : cases) {
    INFO(c.name);
    const std::string message = error_of([&] { gunzip(c.bytes, "a.gz"); });
    CHECK_THAT(message, ContainsSubstring("a.gz: "));
    CHECK_THAT(message, ContainsSubstring(c.message));
  }
  // The trailer is checked, so no damage goes unnoticed that reaches the content.
  for (std::uint64_t i = 0; i < 2000; ++i) {
    std::string out = hello;
    error_of([&] { out = gunzip(damaged(g, i), "a.gz"); });
    REQUIRE(out == hello);
  }
}

TEST_CASE("a raw deflate stream must have the size it is said to have") {
  if (!has_zlib()) return;
  const std::string raw = hello_gz.substr(10, hello_gz.size() - 18);
  CHECK(inflate_raw(raw, hello.size(), "x") == hello);
  CHECK_THAT(error_of([&] { inflate_raw(raw, hello.size() - 1, "x"); }),
             ContainsSubstring("want 23 bytes after inflating, got more"));
  CHECK_THAT(error_of([&] { inflate_raw(raw, hello.size() + 1, "x"); }), ContainsSubstring("want 25 bytes"));
  CHECK_THAT(error_of([&] { inflate_raw(raw + "y", hello.size(), "x"); }),
             ContainsSubstring("1 unknown bytes"));
  CHECK_THAT(error_of([&] { inflate_raw(raw, std::size_t{1} << 62, "x"); }),
             ContainsSubstring("cannot hold"));
}
