// Rounds as JSON: the lines of rounds.jsonl.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "ev3/evolution.h"
#include "nn/evaluate.h"

namespace ev3::cli {

/// A round and, for the reader only, how good the parameters to keep are on the test set afterwards.
struct Round {
  StepRecord record;
  nn::Evaluation test;  ///< samples, hits and loss; no confusion matrix
  /// What the candidates were; records of early versions do not have it.
  std::optional<nn::Network> network = {};
};

/// One line without its end: everything in the record. Rounds are counted from 1 in files. Nothing in it
/// depends on time or machine. Numbers that are not finite become null.
std::string to_json(const Round& round);

/// The opposite. Throws Error beginning with `where` for anything else.
Round round_from_json(std::string_view line, const std::string& where);

}  // namespace ev3::cli
