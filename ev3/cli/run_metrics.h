// The figures of a round as lines for plotting. Names are those of the reference where it has them.
#pragma once

#include <string>
#include <string_view>

#include "ev3/cli/record_json.h"

namespace ev3::cli {

/// Two JSON objects a round, each on a line: split "train" (what adapt measured for whoever was best) and
/// "test". `step` counts gradient steps, `time` seconds since 1970. Figures that are not finite are null.
std::string metrics_jsonl(const Round& round, double time);

/// The same as CSV; figures of the other split are empty.
extern const char* const metrics_csv_header;
std::string metrics_csv(const Round& round, double time);

}  // namespace ev3::cli
