// TensorBoard event files: scalars in records with checksums, one after the other.
//
// A record is, in little endian: u64 length; u32 masked CRC-32C of these 8 bytes; the message; u32 masked
// CRC-32C of the message. A message is a protobuf Event {1 wall_time double, 2 step int64, 3 file_version
// string, 5 summary}, a summary is a list of 1 value {1 tag string, 2 simple_value float}. The first record
// has the file_version, all others have a summary.
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

namespace ev3::cli {

struct Scalar {
  std::string tag;
  double value = 0;
};

/// What TensorBoard looks for in the name of a file.
inline constexpr std::string_view event_file_prefix = "events.out.tfevents.";
/// events.out.tfevents.SECONDS.HOST.PROCESS.0, as TensorFlow names them; `time` in seconds since 1970.
std::string event_file_name(double time);

/// The first record of a file.
std::string first_event(double time);
/// A record with all these scalars at one step. Values are stored as float32.
std::string scalar_event(double time, std::int64_t step, const std::vector<Scalar>& scalars);

/// The records at the start of a file that are whole, their checksums right.
struct WholeEvents {
  int records = 0;
  std::size_t bytes = 0;  ///< where the last one ends
};
/// Looks at no more than `most` of them.
WholeEvents whole_events(std::string_view file, int most = std::numeric_limits<int>::max());

}  // namespace ev3::cli
