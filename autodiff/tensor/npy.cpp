#include "autodiff/tensor/npy.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "autodiff/tensor/file.h"
#include "autodiff/tensor/text.h"

namespace autodiff {
namespace {

constexpr std::string_view magic = "\x93NUMPY";
constexpr std::pair<std::string_view, DType> descriptions[] = {{"<f4", DType::F32}, {"<f8", DType::F64},
                                                               {"<i4", DType::I32}, {"<i8", DType::I64},
                                                               {"|u1", DType::U8},  {"|b1", DType::Bool}};

struct Header {
  std::string description;
  bool fortran_order = false;
  std::vector<std::int64_t> shape;
};

// Reads the Python dictionary {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }, its keys in any
// order.
class HeaderParser {
 public:
  HeaderParser(std::string_view text, const std::string& where) : text_(text), where_(where) {}

  Header parse() {
    Header out;
    bool seen[3] = {};
    const auto once = [&](bool& flag, const std::string& key) {
      if (std::exchange(flag, true)) fail(where_, ": corrupt npy header: ", key, " occurs twice");
    };
    expect('{');
    while (!accept('}')) {
      const std::string key = string();
      expect(':');
      if (key == "descr") {
        once(seen[0], key);
        out.description = description();
      } else if (key == "fortran_order") {
        once(seen[1], key);
        out.fortran_order = boolean();
      } else if (key == "shape") {
        once(seen[2], key);
        out.shape = tuple();
      } else {
        fail(where_, ": corrupt npy header: unknown key ", in_quotes(key));
      }
      if (!accept(',') && !next_is('}')) refuse();
    }
    skip_space();
    if (!text_.empty()) refuse();
    if (!seen[0] || !seen[1] || !seen[2]) {
      fail(where_, ": corrupt npy header: want descr, fortran_order and shape, one is missing");
    }
    return out;
  }

 private:
  [[noreturn]] void refuse() const {
    fail(where_, ": corrupt npy header at ", in_quotes(text_.substr(0, 20)),
         ": want {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }");
  }
  void skip_space() { text_.remove_prefix(std::min(text_.find_first_not_of(" \n"), text_.size())); }
  bool next_is(char c) {
    skip_space();
    return !text_.empty() && text_.front() == c;
  }
  bool accept(char c) {
    if (!next_is(c)) return false;
    text_.remove_prefix(1);
    return true;
  }
  void expect(char c) {
    if (!accept(c)) refuse();
  }
  std::string string() {
    skip_space();
    const std::size_t end = text_.empty() ? text_.npos : text_.find(text_.front(), 1);
    if (end == text_.npos || (text_.front() != '\'' && text_.front() != '"')) refuse();
    std::string out(text_.substr(1, end - 1));
    text_.remove_prefix(end + 1);
    return out;
  }
  std::string description() {
    if (next_is('['))
      fail(where_, ": want an array of numbers, got one with named fields: save each as its own array");
    return string();
  }
  bool boolean() {
    skip_space();
    for (const auto& [word, value] : {std::pair("True", true), std::pair("False", false)}) {
      if (!text_.starts_with(word)) continue;
      text_.remove_prefix(std::string_view(word).size());
      return value;
    }
    refuse();
  }
  std::vector<std::int64_t> tuple() {
    std::vector<std::int64_t> out;
    expect('(');
    while (!accept(')')) {
      skip_space();
      std::int64_t size = 0;
      const auto [end, error] = std::from_chars(text_.data(), text_.data() + text_.size(), size);
      if (error != std::errc() || size < 0) refuse();
      text_.remove_prefix(static_cast<std::size_t>(end - text_.data()));
      out.push_back(size);
      if (!accept(',') && !next_is(')')) refuse();
    }
    return out;
  }

  std::string_view text_;
  const std::string& where_;
};

std::size_t little_endian(std::string_view bytes) {
  std::size_t out = 0;
  for (std::size_t i = bytes.size(); i-- > 0;) out = out << 8 | static_cast<unsigned char>(bytes[i]);
  return out;
}

DType checked_type(const Header& header, const std::string& where) {
  for (const auto& [description, dtype] : descriptions) {
    if (header.description == description) return dtype;
  }
  fail(where, ": want elements of type <f4, <f8, <i4, <i8, |u1 or |b1, got ", in_quotes(header.description),
       ": convert them before saving, for example a.astype('<f4')");
}

}  // namespace

ArrayView view_npy(std::string_view bytes, const std::string& where) {
  if (!bytes.starts_with(magic)) fail(where, ": no npy file: it does not begin with \\x93NUMPY");
  if (bytes.size() < 12) fail(where, ": truncated npy file: ", bytes.size(), " bytes");
  const int version = bytes[6];
  if (version < 1 || version > 3) fail(where, ": want npy format 1, 2 or 3, got ", version);
  const std::size_t begin = version == 1 ? 10 : 12;
  const std::size_t length = little_endian(bytes.substr(8, begin - 8));
  if (length > bytes.size() - begin) {
    fail(where, ": truncated npy file: a header of ", length, " bytes does not fit into ", bytes.size());
  }
  const Header header = HeaderParser(bytes.substr(begin, length), where).parse();
  const DType dtype = checked_type(header, where);
  if (header.fortran_order && header.shape.size() > 1) {
    fail(where,
         ": want rows stored one after the other, got fortran_order True: save np.ascontiguousarray(a)");
  }
  const std::string_view data = bytes.substr(begin + length);
  const auto want = byte_count(dtype, header.shape);
  if (want != data.size()) {
    fail(where, ": want ", want ? std::to_string(*want) : "far too many", " bytes of data for shape ",
         sizes_text(header.shape), " of ", header.description, ", got ", data.size());
  }
  return {dtype, header.shape, data};
}

Array parse_npy(std::string_view bytes, const std::string& where) {
  const ArrayView view = view_npy(bytes, where);
  return {view.dtype, view.shape, std::string(view.bytes)};
}

Array read_npy(const std::filesystem::path& path) { return parse_npy(read_file(path), path.string()); }

std::string npy_bytes(const Array& array) {
  const auto* const row = std::find_if(std::begin(descriptions), std::end(descriptions),
                                       [&](const auto& entry) { return entry.second == array.dtype; });
  if (row == std::end(descriptions)) {
    fail("npy: want elements of type F32, F64, I32, I64, U8 or BOOL, got ", dtype_name(array.dtype));
  }
  if (byte_count(array.dtype, array.shape) != array.bytes.size()) {
    fail("npy: want the bytes of shape ", sizes_text(array.shape), ", got ", array.bytes.size());
  }
  std::string header = text("{'descr': '", row->first, "', 'fortran_order': False, 'shape': (");
  for (std::size_t i = 0; i < array.shape.size(); ++i) header += text(i ? ", " : "", array.shape[i]);
  header += array.shape.size() == 1 ? ",), }" : "), }";
  // Data begin at a multiple of 64; before the header come 10 bytes (version 1), which allow 65,535 of it.
  header.append(63 - (10 + header.size()) % 64, ' ');
  header += '\n';
  if (header.size() > 0xffff) fail("npy: too many axes: ", array.shape.size());
  std::string out = text(magic, '\x01', '\x00');
  out += static_cast<char>(header.size() & 0xff);
  out += static_cast<char>(header.size() >> 8);
  return out + header + array.bytes;
}

void write_npy(const std::filesystem::path& path, const Array& array) { write_file(path, npy_bytes(array)); }

Npz Npz::read(const std::filesystem::path& path) { return parse(read_file(path), path.string()); }

Npz Npz::parse(std::string bytes, std::string where) {
  Npz out;
  out.bytes_ = std::make_shared<const std::string>(std::move(bytes));
  out.where_ = std::move(where);
  for (const ZipMember& member : zip_members(*out.bytes_, out.where_)) {
    if (!member.name.ends_with(".npy")) {
      fail(out.where_, ": want a zip archive of .npy files, got ", in_quotes(member.name), " in it");
    }
    out.members_.emplace(member.name.substr(0, member.name.size() - 4), member);
  }
  return out;
}

std::vector<std::string> Npz::names() const {
  std::vector<std::string> out;
  for (const auto& [name, member] : members_) out.push_back(name);
  return out;
}

Array Npz::array(const std::string& name) const {
  const auto found = members_.find(name);
  if (found == members_.end()) {
    const std::string near = nearest(name, names());
    fail(where_, ": no array ", in_quotes(name),
         near.empty() ? ": it is empty" : "; the nearest name is " + in_quotes(near));
  }
  return parse_npy(zip_extract(found->second, where_), where_ + ": " + in_quotes(name));
}

std::string npz_bytes(const std::map<std::string, Array>& arrays) {
  std::vector<std::pair<std::string, std::string>> files;
  for (const auto& [name, array] : arrays) files.emplace_back(name + ".npy", npy_bytes(array));
  return zip_bytes(files);
}

void write_npz(const std::filesystem::path& path, const std::map<std::string, Array>& arrays) {
  write_file(path, npz_bytes(arrays));
}

}  // namespace autodiff
