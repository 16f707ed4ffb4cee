// Checkpoints: all that a run needs to go on exactly, in one safetensors file with a checksum.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "ev3/passes.h"

namespace ev3::cli {

struct Checkpoint {
  PassesState passes;
  std::uint64_t experiment = 0;  ///< identity() of the experiment
  std::uint64_t data = 0;        ///< hash of the data
};

/// The file: arrays params/NAME, stable/NAME, optimizer/C/M (moment M of candidate C), archive/I/NAME and
/// teacher/I/NAME (archived networks, now and when the pass began); the rest, the CRC-32C
/// of the whole file (its own digits taken as zeros) among it, in the metadata. The bytes depend on the
/// arguments alone.
std::string to_bytes(const Checkpoint& checkpoint);
/// Throws Error beginning with `where` for a wrong checksum, and for what is no checkpoint.
Checkpoint parse_checkpoint(std::string bytes, const std::string& where);

/// Two slots, a.safetensors and b.safetensors, taken in turns: even rounds go to a. While one is written the
/// other one holds the round before.
std::filesystem::path slot(const std::filesystem::path& folder, int round);
void write_checkpoint(const std::filesystem::path& folder, const Checkpoint& checkpoint);

struct Newest {
  Checkpoint checkpoint;
  std::string warning;  ///< what was wrong with a slot that had to be passed over
};
/// The newer of the slots that can be read. Throws Error when there is none.
Newest read_newest(const std::filesystem::path& folder);

}  // namespace ev3::cli
