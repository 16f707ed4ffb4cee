#include "ev3/history.h"

#include <algorithm>
#include <vector>

#include "tests/catch.h"

using ev3::History;

namespace {

History with(int limit, const std::vector<bool>& significant) {
  History history(limit);
  for (std::size_t i = 0; i < significant.size(); ++i) history.append({static_cast<int>(i), significant[i]});
  return history;
}

std::vector<int> rounds(const History& history) {
  std::vector<int> out;
  for (const auto& entry : history.entries()) out.push_back(entry.round);
  return out;
}

// Section 4 of the algorithm, word for word: at least K entries, none of the newest K significant; with K = 0
// any history that is not empty and has no significant entry.
bool stalled_by_definition(const std::vector<bool>& kept, int k) {
  const auto size = static_cast<int>(kept.size());
  if (size == 0 || size < k) return false;
  for (int i = k == 0 ? 0 : size - k; i < size; ++i) {
    if (kept[static_cast<std::size_t>(i)]) return false;
  }
  return true;
}

}  // namespace

TEST_CASE("history keeps nothing, the newest, or all") {
  const std::vector<bool> seven(7, false);
  CHECK(rounds(with(0, seven)).empty());
  CHECK(rounds(with(1, seven)) == std::vector<int>{6});
  CHECK(rounds(with(3, seven)) == std::vector<int>{4, 5, 6});
  CHECK(rounds(with(9, seven)) == std::vector<int>{0, 1, 2, 3, 4, 5, 6});
  CHECK(rounds(with(-1, seven)) == std::vector<int>{0, 1, 2, 3, 4, 5, 6});
  CHECK(rounds(with(-5, seven)).size() == 7);
  CHECK(History().limit() == 5);
}

TEST_CASE("clearing leaves the limit") {
  History history = with(2, {true, false, false});
  history.clear();
  CHECK(history.size() == 0);
  CHECK(history.limit() == 2);
  CHECK(history == History(2));
  CHECK_FALSE(history == History(3));
}

TEST_CASE("insignificant steps in a row count from the newest, and no further than history reaches") {
  CHECK(with(-1, {}).insignificant_in_a_row() == 0);
  CHECK(with(-1, {false, true}).insignificant_in_a_row() == 0);
  CHECK(with(-1, {false, true, false, false}).insignificant_in_a_row() == 2);
  CHECK(with(-1, {false, false, false}).insignificant_in_a_row() == 3);
  CHECK(with(2, {false, false, false}).insignificant_in_a_row() == 2);
  CHECK(with(0, {false, false, false}).insignificant_in_a_row() == 0);
}

TEST_CASE("stalled agrees with its definition for all histories of up to six steps, limits and K") {
  int stalls = 0;
  for (int length = 0; length <= 6; ++length) {
    for (int bits = 0; bits < 1 << length; ++bits) {
      std::vector<bool> all;
      for (int i = 0; i < length; ++i) all.push_back(bits >> i & 1);
      for (int limit = -1; limit <= 7; ++limit) {
        const int drop = limit < 0 ? 0 : std::max(0, length - limit);
        const std::vector<bool> kept(all.begin() + drop, all.end());
        for (int k = 0; k <= 7; ++k) {
          const bool expected = stalled_by_definition(kept, k);
          stalls += expected;
          if (with(limit, all).stalled(k) != expected) {
            FAIL("length " << length << " bits " << bits << " limit " << limit << " K " << k);
          }
        }
      }
    }
  }
  CHECK(stalls > 100);
}

TEST_CASE("a history that keeps too little never stalls") {
  const std::vector<bool> many(20, false);
  for (int k = 0; k < 10; ++k) CHECK_FALSE(with(0, many).stalled(k));
  CHECK(with(3, many).stalled(3));
  CHECK_FALSE(with(3, many).stalled(4));
}

TEST_CASE("K = 0 stalls on any history without a significant step") {
  CHECK_FALSE(with(-1, {}).stalled(0));
  CHECK(with(-1, {false}).stalled(0));
  CHECK_FALSE(with(-1, {true, false, false}).stalled(0));
  CHECK(with(2, {true, false, false}).stalled(0));  // the significant one is forgotten
}
