// Compressed bytes (RFC 1951 and 1952), by zlib where the build has it.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace autodiff {

/// Whether this build can inflate.
bool has_zlib();

/// Whether the bytes begin like a gzip file.
bool is_gzip(std::string_view bytes);

/// The content of a gzip file, all its members one after the other. Throws Error beginning with `where` for
/// truncated or corrupt data, bytes after the end, or a build without zlib.
std::string gunzip(std::string_view bytes, const std::string& where);

/// A raw deflate stream that must inflate to exactly `size` bytes and fill all of `bytes`. Throws Error
/// beginning with `where` otherwise, or in a build without zlib. Allocates nothing when `size` is impossible
/// for so few bytes.
std::string inflate_raw(std::string_view bytes, std::size_t size, const std::string& where);

}  // namespace autodiff
