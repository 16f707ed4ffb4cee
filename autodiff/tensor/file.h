// Whole files in and out, and the checksums of what they hold (hash.h). Bytes are held in a std::string and
// looked at through a std::string_view.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "autodiff/tensor/hash.h"

namespace autodiff {

/// All bytes of a file (or of a pipe). Throws Error with the path and the reason when it is missing, a
/// directory, a device or not readable.
std::string read_file(const std::filesystem::path& path);

/// Like read_file, but gzip data (recognized by their first two bytes, whatever the name) are returned
/// inflated. Throws Error also for truncated or corrupt gzip data, and for any gzip data in a build without
/// zlib.
std::string read_gz(const std::filesystem::path& path);

/// Replaces or creates the file `path` in one step: writes to `path`.tmp beside it, syncs it to disk, renames
/// it and syncs the folder. A reader, or whoever comes after a power cut, finds either all of the old file or
/// all of the new one. Throws Error with the path and the reason (no folder, no permission, disk full, ...);
/// the old file is then as it was and the temporary one gone.
void write_file(const std::filesystem::path& path, std::string_view bytes);

}  // namespace autodiff
