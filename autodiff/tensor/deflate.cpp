// The only file that knows zlib.
#include "autodiff/tensor/deflate.h"

#ifdef EV3_HAVE_ZLIB
#include <zlib.h>
#endif

#include <algorithm>
#include <limits>

#include "autodiff/tensor/error.h"

namespace autodiff {

bool is_gzip(std::string_view bytes) { return bytes.substr(0, 2) == "\x1f\x8b"; }

#ifdef EV3_HAVE_ZLIB

namespace {

// One zlib stream over bytes in memory.
class Inflater {
 public:
  Inflater(std::string_view in, int window_bits, const std::string& where) : in_(in), where_(where) {
    if (inflateInit2(&stream_, window_bits) != Z_OK) fail(where_, ": zlib has no memory for its tables");
  }
  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;
  ~Inflater() { inflateEnd(&stream_); }

  /// Fills `out` from `filled` on as far as the stream goes and moves `filled`; true when the stream has
  /// ended.
  bool inflate_into(std::string& out, std::size_t& filled) {
    // zlib counts in unsigned int, so longer buffers are handed over in pieces.
    constexpr std::size_t piece = std::numeric_limits<uInt>::max() / 2;
    while (true) {
      const std::size_t offered = std::min(in_.size(), piece), room = std::min(out.size() - filled, piece);
      stream_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(in_.data()));  // zlib only reads there
      stream_.avail_in = static_cast<uInt>(offered);
      stream_.next_out = reinterpret_cast<Bytef*>(out.data() + filled);
      stream_.avail_out = static_cast<uInt>(room);
      const int code = inflate(&stream_, Z_NO_FLUSH);
      const std::size_t taken = offered - stream_.avail_in, made = room - stream_.avail_out;
      in_.remove_prefix(taken);
      filled += made;
      if (code == Z_STREAM_END) return true;
      if (code != Z_OK && code != Z_BUF_ERROR) {
        fail(where_, ": corrupt compressed data", stream_.msg ? ": " : "", stream_.msg ? stream_.msg : "");
      }
      if (filled == out.size()) return false;
      if (taken == 0 && made == 0) fail(where_, ": truncated: the compressed data end too early");
    }
  }
  /// What comes after the part already consumed.
  std::string_view rest() const { return in_; }
  /// Makes ready for another stream of the same kind.
  void restart() {
    if (inflateReset(&stream_) != Z_OK) fail(where_, ": zlib cannot start over");
  }

 private:
  z_stream stream_{};
  std::string_view in_;
  const std::string& where_;
};

}  // namespace

bool has_zlib() { return true; }

std::string gunzip(std::string_view bytes, const std::string& where) {
  Inflater inflater(bytes, 16 + MAX_WBITS, where);  // 16: a gzip header and trailer around the stream
  std::string out(std::max<std::size_t>(4 * bytes.size(), 4096), '\0');
  std::size_t filled = 0;
  while (true) {
    if (!inflater.inflate_into(out, filled)) {
      out.resize(2 * out.size());
    } else if (inflater.rest().empty()) {
      break;
    } else if (is_gzip(inflater.rest())) {
      inflater.restart();
    } else {
      fail(where, ": ", inflater.rest().size(), " unknown bytes after the compressed data");
    }
  }
  out.resize(filled);
  return out;
}

std::string inflate_raw(std::string_view bytes, std::size_t size, const std::string& where) {
  if (size / 1032 > bytes.size()) {  // deflate cannot do better than 1032 to 1
    fail(where, ": ", bytes.size(), " compressed bytes cannot hold ", size);
  }
  Inflater inflater(bytes, -MAX_WBITS, where);  // negative: no header, no trailer
  std::string out(size + 1, '\0');              // room for one too many, which tells a stream that goes on
  std::size_t filled = 0;
  inflater.inflate_into(out, filled);
  if (filled != size) {
    fail(where, ": want ", size, " bytes after inflating, got ",
         filled > size ? "more" : std::to_string(filled));
  }
  if (!inflater.rest().empty())
    fail(where, ": ", inflater.rest().size(), " unknown bytes after the compressed data");
  out.resize(size);
  return out;
}

#else

namespace {

[[noreturn]] void refuse(const std::string& where) {
  fail(where,
       ": compressed, and this program was built without zlib: decompress it first or build with zlib");
}

}  // namespace

bool has_zlib() { return false; }
std::string gunzip(std::string_view, const std::string& where) { refuse(where); }
std::string inflate_raw(std::string_view, std::size_t, const std::string& where) { refuse(where); }

#endif

}  // namespace autodiff
