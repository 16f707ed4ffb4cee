// What a file with a teacher's logits holds, for people.
#pragma once

#include <span>
#include <string>

#include "ev3/logits_file.h"

namespace ev3::cli {

/// Size and content hash; ranges of images and logits; how often the teacher chooses each class, and how
/// often it agrees with the true classes where the file has them. Reads the whole file. Throws Error for
/// wrong checksums and logits that are not finite.
std::string describe(const LogitsFile& file);

/// These rows side by side, in lines of at most `width` columns, each below its number, the teacher's choice
/// and its true class; nothing for no rows.
std::string gallery(const LogitsFile& file, std::span<const int> rows, int width);

}  // namespace ev3::cli
