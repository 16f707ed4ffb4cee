#include "autodiff/tensor/zip.h"

#include <set>

#include "autodiff/tensor/deflate.h"
#include "autodiff/tensor/error.h"
#include "autodiff/tensor/hash.h"
#include "autodiff/tensor/text.h"

namespace autodiff {
namespace {

constexpr std::uint32_t local_magic = 0x04034b50, central_magic = 0x02014b50, end_magic = 0x06054b50;
constexpr std::uint32_t end64_magic = 0x06064b50, locator64_magic = 0x07064b50;
constexpr std::size_t end_size = 22, locator64_size = 20;

// Little-endian fields read one after the other; a read past the end throws.
class Fields {
 public:
  Fields(std::string_view bytes, const std::string& where) : bytes_(bytes), where_(where) {}
  std::string_view take(std::uint64_t count) {
    if (count > bytes_.size()) fail(where_, ": corrupt zip archive: a record reaches beyond its end");
    const std::string_view out = bytes_.substr(0, static_cast<std::size_t>(count));
    bytes_.remove_prefix(out.size());
    return out;
  }
  std::uint64_t number(std::size_t count) {
    std::uint64_t out = 0;
    const std::string_view field = take(count);
    for (std::size_t i = count; i-- > 0;) out = out << 8 | static_cast<unsigned char>(field[i]);
    return out;
  }
  std::uint16_t u16() { return static_cast<std::uint16_t>(number(2)); }
  std::uint32_t u32() { return static_cast<std::uint32_t>(number(4)); }
  std::uint64_t u64() { return number(8); }
  bool empty() const { return bytes_.empty(); }

 private:
  std::string_view bytes_;
  const std::string& where_;
};

// The central directory: how many entries, and their bytes.
struct Directory {
  std::uint64_t entries, offset, size;
};

// Where a record of the archive begins, checked; `limit` is the first byte it may not reach.
std::string_view part(std::string_view bytes, std::uint64_t offset, std::uint64_t limit,
                      const std::string& where) {
  if (offset > limit)
    fail(where, ": corrupt zip archive: a record begins at byte ", offset, " of ", bytes.size());
  return bytes.substr(static_cast<std::size_t>(offset), static_cast<std::size_t>(limit - offset));
}

// The end record stands before an archive comment of at most 65,535 bytes, so it is looked for from the end.
std::size_t find_end(std::string_view bytes, const std::string& where) {
  for (std::size_t comment = 0; comment <= 0xffff && comment + end_size <= bytes.size(); ++comment) {
    const std::size_t at = bytes.size() - comment - end_size;
    Fields fields(bytes.substr(at), where);
    if (fields.u32() != end_magic) continue;
    fields.take(16);
    if (fields.u16() == comment) return at;
  }
  fail(where, ": no zip archive, or a truncated one: its end record is missing");
}

Directory find_directory(std::string_view bytes, const std::string& where) {
  const std::size_t end = find_end(bytes, where);
  Fields fields(bytes.substr(end), where);
  fields.take(4);
  const std::uint16_t disk = fields.u16(), directory_disk = fields.u16(), entries_here = fields.u16();
  Directory out{fields.u16(), 0, 0};
  out.size = fields.u32();
  out.offset = fields.u32();
  std::uint64_t limit = end;
  if (out.entries == 0xffff || out.size == 0xffffffff || out.offset == 0xffffffff) {
    if (end < locator64_size) fail(where, ": corrupt zip archive: its ZIP64 end record is missing");
    limit = end - locator64_size;
    Fields locator(bytes.substr(limit), where);
    if (locator.u32() != locator64_magic)
      fail(where, ": corrupt zip archive: its ZIP64 end record is missing");
    locator.take(4);
    Fields end64(part(bytes, locator.u64(), limit, where), where);
    if (end64.u32() != end64_magic) fail(where, ": corrupt zip archive: its ZIP64 end record is missing");
    end64.take(20);
    const std::uint64_t here = end64.u64();
    out = {end64.u64(), 0, 0};
    out.size = end64.u64();
    out.offset = end64.u64();
    if (here != out.entries) fail(where, ": want a zip archive of one volume");
  } else if (disk != 0 || directory_disk != 0 || entries_here != out.entries) {
    fail(where, ": want a zip archive of one volume");
  }
  if (out.offset > limit || out.size > limit - out.offset) {
    fail(where, ": corrupt zip archive: its directory lies beyond its end");
  }
  return out;
}

// Sizes and offset that do not fit into 32 bits stand in extra field 1, only those, in this order.
void read_zip64(std::string_view extra, std::uint64_t& size, std::uint64_t& compressed, std::uint64_t& offset,
                const std::string& where) {
  Fields fields(extra, where);
  while (!fields.empty()) {
    const std::uint16_t id = fields.u16();
    Fields field(fields.take(fields.u16()), where);
    if (id != 1) continue;
    for (std::uint64_t* const value : {&size, &compressed, &offset}) {
      if (*value == 0xffffffff) *value = field.u64();
    }
  }
}

// One entry of the central directory and the data it points to, which must lie before the directory.
ZipMember read_entry(Fields& fields, std::string_view bytes, std::uint64_t directory,
                     const std::string& where) {
  if (fields.u32() != central_magic)
    fail(where, ": corrupt zip archive: an entry of its directory is missing");
  fields.take(4);  // versions
  ZipMember member;
  const bool encrypted = fields.u16() & 1;
  member.method = fields.u16();
  fields.take(4);  // date
  member.crc = fields.u32();
  std::uint64_t compressed = fields.u32();
  member.size = fields.u32();
  const std::uint16_t name = fields.u16(), extra = fields.u16(), comment = fields.u16();
  fields.take(8);  // volume, attributes
  std::uint64_t offset = fields.u32();
  member.name = fields.take(name);
  read_zip64(fields.take(extra), member.size, compressed, offset, where);
  fields.take(comment);
  if (encrypted) fail(where, ": ", in_quotes(member.name), " is encrypted");

  Fields local(part(bytes, offset, directory, where), where);
  if (local.u32() != local_magic) fail(where, ": corrupt zip archive: no data for ", in_quotes(member.name));
  local.take(22);  // the directory says the same, and says it also for archives written to a pipe
  const std::uint16_t local_name = local.u16(), local_extra = local.u16();
  if (local.take(local_name) != member.name) {
    fail(where, ": corrupt zip archive: ", in_quotes(member.name), " has another name beside its data");
  }
  local.take(local_extra);
  member.data = local.take(compressed);
  return member;
}

std::string little_endian(std::uint64_t value, std::size_t count) {
  std::string out;
  for (std::size_t i = 0; i < count; ++i, value >>= 8) out += static_cast<char>(value & 0xff);
  return out;
}

}  // namespace

std::vector<ZipMember> zip_members(std::string_view bytes, const std::string& where) {
  const Directory directory = find_directory(bytes, where);
  Fields fields(part(bytes, directory.offset, directory.offset + directory.size, where), where);
  std::vector<ZipMember> members;
  std::set<std::string> names;
  for (std::uint64_t i = 0; i < directory.entries; ++i) {
    members.push_back(read_entry(fields, bytes, directory.offset, where));
    const std::string& name = members.back().name;
    if (!names.insert(name).second) fail(where, ": corrupt zip archive: ", in_quotes(name), " occurs twice");
  }
  if (!fields.empty())
    fail(where, ": corrupt zip archive: its directory has more than its ", directory.entries, " entries");
  return members;
}

std::string zip_extract(const ZipMember& member, const std::string& where) {
  const std::string name = where + ": " + in_quotes(member.name);
  if (member.method != 0 && member.method != 8) {
    fail(name, ": want a stored or deflated file, got compression method ", member.method);
  }
  if (member.method == 0 && member.size != member.data.size()) {
    fail(name, ": want ", member.size, " bytes, got ", member.data.size());
  }
  std::string out = member.method == 0
                        ? std::string(member.data)
                        : inflate_raw(member.data, static_cast<std::size_t>(member.size), name);
  if (crc32(out) != member.crc) fail(name, ": corrupt: its checksum is wrong");
  return out;
}

std::string zip_bytes(std::span<const std::pair<std::string, std::string>> files) {
  constexpr std::uint64_t limit = 0xffffffff;
  std::string out, directory;
  if (files.size() >= 0xffff) fail("zip: want fewer than 65,535 files, got ", files.size());
  for (const auto& [name, content] : files) {
    if (name.size() > 0xffff) fail("zip: want names of at most 65,535 bytes, got ", name.size());
    const std::size_t offset = out.size();
    // Version 2.0, no flags, stored, 00:00 on 1980-01-01; then checksum, both sizes, name, no extra field.
    const std::string common = little_endian(20, 2) + little_endian(0, 6) + little_endian(0x21, 2) +
                               little_endian(crc32(content), 4) + little_endian(content.size(), 4) +
                               little_endian(content.size(), 4) + little_endian(name.size(), 2) +
                               little_endian(0, 2);
    out += little_endian(local_magic, 4) + common + name;
    out += content;
    directory += little_endian(central_magic, 4) + little_endian(20, 2) + common + little_endian(0, 10) +
                 little_endian(offset, 4) + name;
    if (out.size() + directory.size() >= limit) fail("zip: want an archive below 4 GiB, got more");
  }
  const std::size_t offset = out.size();
  out += directory;
  return out + little_endian(end_magic, 4) + little_endian(0, 4) + little_endian(files.size(), 2) +
         little_endian(files.size(), 2) + little_endian(directory.size(), 4) + little_endian(offset, 4) +
         little_endian(0, 2);
}

}  // namespace autodiff
