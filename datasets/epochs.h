// Endless sequences of samples, epoch after epoch, cut into batches: what Stream is made of.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>

#include "autodiff/tensor/error.h"
#include "autodiff/tensor/random.h"

namespace datasets {

/// Throws Error unless the positions of batch k, from k batch on, are numbers: 0 <= k < 2^63 / batch - 1.
inline void check_batch_number(std::int64_t k, int batch) {
  const std::int64_t last = std::numeric_limits<std::int64_t>::max() / batch - 1;
  if (k < 0 || k > last) autodiff::fail("stream: want a batch number in 0 .. ", last, ", got ", k);
}

/// Calls visit(row, i) for the rows of batch k, one after the other; i is one of 0 .. n-1:
///
///     position p = k batch + row,   epoch = p / n,   i = Permutation(seed.stream(epoch), n)(p % n)
///
/// or p % n itself without `shuffle`. Throws Error as check_batch_number.
template <class Visit>
void visit_batch(autodiff::Seed seed, std::int64_t n, int batch, bool shuffle, std::int64_t k,
                 const Visit& visit) {
  check_batch_number(k, batch);
  for (std::int64_t row = 0; row < batch;) {
    const std::int64_t epoch = (k * batch + row) / n, place = (k * batch + row) % n;
    const std::int64_t count = std::min(batch - row, n - place);
    const autodiff::Permutation order(seed.stream(static_cast<std::uint64_t>(epoch)),
                                      static_cast<std::uint32_t>(n));
    for (std::int64_t i = place; i < place + count; ++i, ++row) {
      const auto at = static_cast<std::uint32_t>(i);
      visit(static_cast<std::size_t>(row), static_cast<std::size_t>(shuffle ? order(at) : at));
    }
  }
}

}  // namespace datasets
