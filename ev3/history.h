// The newest accepted steps since the last growth.
#pragma once

#include <deque>

namespace ev3 {

/// What a later decision needs to know of a step.
struct HistoryEntry {
  int round = 0;
  bool significant = false;  ///< significantly better than the stable parameters
  bool operator==(const HistoryEntry&) const = default;
};

/// Keeps nothing (limit 0), the newest `limit` entries, or all (negative limit).
class History {
 public:
  explicit History(int limit = 5) : limit_(limit) {}

  void append(const HistoryEntry& entry) {
    entries_.push_back(entry);
    while (limit_ >= 0 && static_cast<int>(entries_.size()) > limit_) entries_.pop_front();
  }
  void clear() { entries_.clear(); }
  int size() const { return static_cast<int>(entries_.size()); }
  int limit() const { return limit_; }
  const std::deque<HistoryEntry>& entries() const { return entries_; }

  /// How many of the newest entries in a row were not significant.
  int insignificant_in_a_row() const {
    int count = 0;
    for (auto entry = entries_.rbegin(); entry != entries_.rend() && !entry->significant; ++entry) ++count;
    return count;
  }
  /// True when there are at least max(1, rounds) entries and none of the newest `rounds` (all of them for 0)
  /// was significant. A history of limit 0 never stalls, nor does a limit below `rounds`.
  bool stalled(int rounds) const {
    if (size() == 0 || size() < rounds) return false;
    return insignificant_in_a_row() >= (rounds == 0 ? size() : rounds);
  }
  bool operator==(const History&) const = default;

 private:
  std::deque<HistoryEntry> entries_;
  int limit_;
};

}  // namespace ev3
