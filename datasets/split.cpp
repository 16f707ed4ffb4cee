#include "datasets/split.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "autodiff/tensor/error.h"
#include "autodiff/tensor/random.h"

namespace datasets {
namespace {

using autodiff::fail;

// Deals n samples, one after the other, to the pools: each to the pool furthest behind its share sizes[p] / n
// of the samples dealt so far. So any run of samples (a class, say) is shared out in proportion, and since
// the sizes add up to n, every pool ends with exactly its size.
std::vector<std::size_t> deal(std::span<const int> sizes, int n) {
  std::vector<std::int64_t> behind(sizes.size());  // times n
  std::vector<std::size_t> pool_of(static_cast<std::size_t>(n));
  for (std::size_t& pool : pool_of) {
    for (std::size_t p = 0; p < sizes.size(); ++p) behind[p] += sizes[p];
    pool = static_cast<std::size_t>(std::max_element(behind.begin(), behind.end()) - behind.begin());
    behind[pool] -= n;
  }
  return pool_of;
}

}  // namespace

std::vector<int> pool_sizes(int n, std::span<const double> fractions) {
  std::vector<int> sizes;
  double sum = 0;
  int end = 0;
  for (const double fraction : fractions) {
    sum += fraction;
    if (!(fraction >= 0) || sum > 1 + 1e-9) {  // room for the rounding of 0.1 + 0.2 + 0.7
      fail("split: want fractions of at least 0 whose sum is at most 1, got ", fraction, " and a sum of ",
           sum);
    }
    const int begin = std::exchange(end, std::min(n, static_cast<int>(std::floor(n * sum + 0.5 + 1e-9))));
    sizes.push_back(end - begin);
  }
  return sizes;
}

std::vector<std::vector<int>> split_indices(const Dataset& data, std::span<const int> sizes,
                                            std::uint64_t seed, bool stratified) {
  const int n = data.size();
  std::int64_t left = n;
  for (std::size_t p = 0; p < sizes.size(); ++p) {
    if (sizes[p] < 1) fail(data.name, ": split: pool ", p, " would be empty (", n, " samples in all)");
    left -= sizes[p];
  }
  if (left < 0)
    fail(data.name, ": split: want at most ", n, " samples, got counts that add up to ", n - left);

  std::vector<int> shares(sizes.begin(), sizes.end());
  shares.push_back(static_cast<int>(left));  // the pool of those left over
  std::vector<int> order = autodiff::permutation(autodiff::Seed{seed}.stream("split"), n);
  std::vector<std::size_t> pool_of(order.size());  // by sample
  if (stratified) {
    std::vector<int> by_class = order;
    std::stable_sort(by_class.begin(), by_class.end(), [&](int a, int b) {
      return data.labels[static_cast<std::size_t>(a)] < data.labels[static_cast<std::size_t>(b)];
    });
    const std::vector<std::size_t> dealt = deal(shares, n);
    for (std::size_t i = 0; i < dealt.size(); ++i) pool_of[static_cast<std::size_t>(by_class[i])] = dealt[i];
  } else {
    auto next = order.begin();
    for (std::size_t p = 0; p < shares.size(); ++p) {
      for (int i = 0; i < shares[p]; ++i) pool_of[static_cast<std::size_t>(*next++)] = p;
    }
  }
  std::vector<std::vector<int>> pools(shares.size());
  for (const int i : order) pools[pool_of[static_cast<std::size_t>(i)]].push_back(i);
  pools.pop_back();
  return pools;
}

}  // namespace datasets
