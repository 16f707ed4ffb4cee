// The figures of a round as lines for plotting. Names are those of the reference where it has them.
#pragma once

#include <string>
#include <string_view>

#include "ev3/cli/record_json.h"
#include "ev3/cli/tfevents.h"

namespace ev3::cli {

/// When a round was over, in seconds since 1970, and how many seconds it took; together they are the time of
/// the run. They are in these files only: records, models and checkpoints do not depend on time.
struct RoundTime {
  double end = 0, seconds = 0;
};

/// Two JSON objects a round, each on a line: split "train" (what adapt measured for whoever was best) and
/// "test". `step` counts gradient steps, `time` is the end of the round. Figures that are not finite are
/// null.
std::string metrics_jsonl(const Round& round, const RoundTime& time);

/// The same as CSV; figures of the other split are empty.
extern const char* const metrics_csv_header;
std::string metrics_csv(const Round& round, const RoundTime& time);

/// The same as one record of a TensorBoard event file, without what TensorBoard knows anyway.
std::string metrics_event(const Round& round, double time);
/// The size of a network, given as its JSON (nn::to_json; "null" where it is not known), under the tags of
/// the reference where it has filters and blocks (blocks: those of the first stage), else as num_params.
std::vector<Scalar> size_scalars(std::string_view network, double parameters);

}  // namespace ev3::cli
