#include "autodiff/tensor/hash.h"

#include <array>

namespace autodiff {
namespace {

using Table = std::array<std::uint32_t, 256>;

// Entry i: the remainder of byte i, shifted through the reflected polynomial one bit at a time.
constexpr Table crc_table(std::uint32_t polynomial) {
  Table table{};
  for (std::uint32_t i = 0; i < table.size(); ++i) {
    std::uint32_t remainder = i;
    for (int bit = 0; bit < 8; ++bit) remainder = remainder >> 1 ^ (remainder & 1 ? polynomial : 0);
    table[i] = remainder;
  }
  return table;
}

std::uint32_t crc(const Table& table, std::span<const std::byte> bytes, std::uint32_t previous) {
  std::uint32_t remainder = ~previous;
  for (const std::byte byte : bytes) {
    remainder = table[(remainder ^ static_cast<std::uint32_t>(byte)) & 0xff] ^ remainder >> 8;
  }
  return ~remainder;
}

constexpr Table ieee = crc_table(0xEDB88320), castagnoli = crc_table(0x82F63B78);

}  // namespace

std::uint32_t crc32(std::span<const std::byte> bytes, std::uint32_t previous) {
  return crc(ieee, bytes, previous);
}

std::uint32_t crc32c(std::span<const std::byte> bytes, std::uint32_t previous) {
  return crc(castagnoli, bytes, previous);
}

std::uint64_t fnv1a64(std::span<const std::byte> bytes, std::uint64_t previous) {
  for (const std::byte byte : bytes) previous = (previous ^ static_cast<std::uint64_t>(byte)) * 0x100000001b3;
  return previous;
}

}  // namespace autodiff
