// ZIP archives in memory, as far as .npz files need them.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace autodiff {

/// One file of an archive.
struct ZipMember {
  std::string name;
  int method = 0;          // 0 stored, 8 deflate
  std::uint32_t crc = 0;   // of the content
  std::string_view data;   // as it lies in the archive
  std::uint64_t size = 0;  // bytes of the content
};

/// The directory of the archive in `bytes` (one volume, ZIP64 allowed). The members look into `bytes`.
/// Everything but the content is checked: throws Error beginning with `where` for records or data outside the
/// archive, entries that contradict each other, names that occur twice, encryption.
std::vector<ZipMember> zip_members(std::string_view bytes, const std::string& where);

/// The content of a member. Throws Error beginning with `where` for an unknown method, corrupt data, a wrong
/// size or checksum, or deflate in a build without zlib.
std::string zip_extract(const ZipMember& member, const std::string& where);

/// An archive of (name, content) pairs, stored, in the given order. The same input gives the same bytes:
/// every date is 1980-01-01. Throws Error where it would need 4 GiB or more.
std::string zip_bytes(std::span<const std::pair<std::string, std::string>> files);

}  // namespace autodiff
