// Checksums of bytes. All are also computed piece by piece: hash(b, hash(a)) is the hash of a followed by b.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace autodiff {

/// CRC-32 as in ZIP and gzip (IEEE 802.3, reflected polynomial 0xEDB88320).
std::uint32_t crc32(std::span<const std::byte> bytes, std::uint32_t previous = 0);
inline std::uint32_t crc32(std::string_view bytes, std::uint32_t previous = 0) {
  return crc32(std::as_bytes(std::span(bytes)), previous);
}

/// CRC-32C (Castagnoli, reflected polynomial 0x82F63B78): checkpoints and TensorBoard event files.
std::uint32_t crc32c(std::span<const std::byte> bytes, std::uint32_t previous = 0);
inline std::uint32_t crc32c(std::string_view bytes, std::uint32_t previous = 0) {
  return crc32c(std::as_bytes(std::span(bytes)), previous);
}

/// 64-bit FNV-1a, the content hash that is shown for data sets. It finds accidents, not forgeries.
inline constexpr std::uint64_t fnv1a64_start = 0xcbf29ce484222325;
std::uint64_t fnv1a64(std::span<const std::byte> bytes, std::uint64_t previous = fnv1a64_start);
inline std::uint64_t fnv1a64(std::string_view bytes, std::uint64_t previous = fnv1a64_start) {
  return fnv1a64(std::as_bytes(std::span(bytes)), previous);
}

}  // namespace autodiff
