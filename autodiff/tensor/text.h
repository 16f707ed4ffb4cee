// Small helpers for error messages and identifiers.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace autodiff {

/// The candidate with the fewest insertions, deletions and replacements away from `word`; the first of
/// several,
/// "" when there are none. For messages: "unknown key 'lerning_rate': did you mean 'learning_rate'?".
std::string nearest(std::string_view word, const std::vector<std::string>& candidates);

/// "did you mean 'learning_rate'?" where one of the candidates is near: at most half as far away as `word` is
/// long; else "want one of seed, rounds, ...".
std::string suggestion(std::string_view word, const std::vector<std::string>& candidates);

/// Sixteen lower-case digits.
std::string hex(std::uint64_t value);

/// A name from a file, fit for a message: in single quotes, control characters as '?', cut after 80 bytes.
std::string in_quotes(std::string_view name);

}  // namespace autodiff
