#include "ev3/cli/tfevents.h"

#include <fmt/core.h>
#include <unistd.h>

#include <array>
#include <bit>

#include "autodiff/tensor/hash.h"

namespace ev3::cli {
namespace {

template <class T>
std::string little_endian(T value) {
  std::string out;
  for (std::size_t i = 0; i < sizeof value; ++i) out += static_cast<char>(value >> 8 * i & 0xff);
  return out;
}

std::uint64_t number_at(std::string_view bytes, std::size_t at, std::size_t size) {
  std::uint64_t out = 0;
  for (std::size_t i = 0; i < size; ++i) {
    out |= std::uint64_t{static_cast<unsigned char>(bytes[at + i])} << 8 * i;
  }
  return out;
}

// The checksum that is stored: rotated and shifted, because checksums of texts that contain checksums are
// weak.
std::uint32_t masked_crc(std::string_view bytes) {
  return std::rotr(autodiff::crc32c(bytes), 15) + 0xA282EAD8u;
}

std::string record(const std::string& message) {
  const std::string length = little_endian(std::uint64_t{message.size()});
  return length + little_endian(masked_crc(length)) + message + little_endian(masked_crc(message));
}

// Protobuf: a field is (number << 3 | how its value is written), then the value.
enum Wire { varint = 0, eight_bytes = 1, with_length = 2, four_bytes = 5 };

std::string as_varint(std::uint64_t value) {
  std::string out;
  for (; value >= 0x80; value >>= 7) out += static_cast<char>(value | 0x80);
  return out + static_cast<char>(value);
}

std::string tag(unsigned number, Wire wire) { return as_varint(number << 3 | wire); }

std::string field(unsigned number, double value) {
  return tag(number, eight_bytes) + little_endian(std::bit_cast<std::uint64_t>(value));
}
std::string field(unsigned number, float value) {
  return tag(number, four_bytes) + little_endian(std::bit_cast<std::uint32_t>(value));
}
std::string field(unsigned number, std::int64_t value) {
  return tag(number, varint) + as_varint(static_cast<std::uint64_t>(value));
}
std::string field(unsigned number, const std::string& value) {
  return tag(number, with_length) + as_varint(value.size()) + value;
}

}  // namespace

std::string event_file_name(double time) {
  std::array<char, 256> host{};
  if (::gethostname(host.data(), host.size() - 1) != 0) host = {'h', 'o', 's', 't', '\0'};
  return fmt::format("{}{:010}.{}.{}.0", event_file_prefix, static_cast<std::int64_t>(time), host.data(),
                     ::getpid());
}

std::string first_event(double time) {
  return record(field(1, time) + field(3, std::string("brain.Event:2")));
}

std::string scalar_event(double time, std::int64_t step, const std::vector<Scalar>& scalars) {
  std::string summary;
  for (const Scalar& s : scalars) {
    summary += field(1, field(1, s.tag) + field(2, static_cast<float>(s.value)));
  }
  return record(field(1, time) + field(2, step) + field(5, summary));
}

WholeEvents whole_events(std::string_view file, int most) {
  WholeEvents out;
  while (out.records < most && file.size() - out.bytes >= 16) {
    const std::string_view rest = file.substr(out.bytes);
    const std::uint64_t length = number_at(rest, 0, 8);
    if (number_at(rest, 8, 4) != masked_crc(rest.substr(0, 8)) || length > rest.size() - 16) break;
    const auto size = static_cast<std::size_t>(length);
    if (number_at(rest, 12 + size, 4) != masked_crc(rest.substr(12, size))) break;
    out.bytes += 16 + size;
    ++out.records;
  }
  return out;
}

}  // namespace ev3::cli
