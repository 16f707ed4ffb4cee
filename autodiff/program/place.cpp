#include "autodiff/program/place.h"

#include <algorithm>
#include <numeric>

#include "autodiff/tensor/buffer.h"

namespace autodiff {

namespace {

// Large values do not begin at the same place in a page: the caches would hold only a few of them at a time.
std::size_t room(const Lifetime& value) {
  constexpr std::size_t large = 32 << 10, gap = 5 * alignment;
  return aligned(value.bytes) + (value.bytes >= large ? gap : 0);
}

}  // namespace

Placement place(const std::vector<Lifetime>& values) {
  Placement out{std::vector<std::size_t>(values.size()), 0};
  std::vector<std::size_t> order(values.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return values[a].bytes > values[b].bytes; });
  struct Range {
    std::size_t begin, end;
  };
  std::vector<std::size_t> placed;
  for (const std::size_t i : order) {
    const std::size_t bytes = room(values[i]);
    std::vector<Range> taken;
    for (const std::size_t j : placed) {
      if (values[j].first <= values[i].last && values[i].first <= values[j].last) {
        taken.push_back({out.offsets[j], out.offsets[j] + room(values[j])});
      }
    }
    std::sort(taken.begin(), taken.end(), [](const Range& a, const Range& b) { return a.begin < b.begin; });
    std::size_t offset = 0;
    for (const Range& range : taken) {
      if (offset + bytes <= range.begin) break;
      offset = std::max(offset, range.end);
    }
    out.offsets[i] = offset;
    out.bytes = std::max(out.bytes, offset + aligned(values[i].bytes));
    placed.push_back(i);
  }
  return out;
}

}  // namespace autodiff
