// Splitting a Dataset into disjoint pools.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "datasets/dataset.h"

namespace datasets {

/// How to split into N pools: by fractions of the samples or by counts, one of the two. Samples left over
/// belong to no pool. Plain: who goes where is a random permutation. Stratified: in addition every pool gets
/// each class in about the proportion of the whole.
template <std::size_t N>
struct SplitOptions {
  std::array<double, N> fractions{};
  std::array<int, N> counts{};
  std::uint64_t seed = 0;
  bool stratified = false;
};

/// The pool sizes that fractions of `n` samples mean: their sum is round(n sum(fractions)), and each is
/// within one of n times its fraction. Throws Error for a fraction that is negative or not a number, or a sum
/// above 1.
std::vector<int> pool_sizes(int n, std::span<const double> fractions);

/// The sample indices of each pool, in random order: a pure function of the labels, the sizes and the seed.
/// Throws Error for an empty pool and for more samples than there are.
std::vector<std::vector<int>> split_indices(const Dataset& data, std::span<const int> sizes,
                                            std::uint64_t seed, bool stratified = false);

/// The same from options; throws Error as well when neither fractions nor counts are given, or both are.
template <std::size_t N = 2>
std::vector<std::vector<int>> split_indices(const Dataset& data, const SplitOptions<N>& options) {
  const bool by_fraction = options.fractions != decltype(options.fractions){};
  const bool by_count = options.counts != decltype(options.counts){};
  if (by_fraction == by_count)
    autodiff::fail("split: want either fractions or counts, got ", by_count ? "both" : "neither");
  const std::vector<int> sizes = by_fraction ? pool_sizes(data.size(), options.fractions)
                                             : std::vector<int>(options.counts.begin(), options.counts.end());
  return split_indices(data, sizes, options.seed, options.stratified);
}

/// The pools themselves:
///
///     const auto [train, test] = split(digits, {.fractions = {0.8, 0.2}, .seed = 1});
///     const auto [explore, assess, adapt] = split<3>(digits, {.counts = {1000, 300, 300}});
///
/// Each is a copy of its samples, named as the whole. Throws Error as split_indices. A small pool may lack a
/// class: see class_counts.
template <std::size_t N = 2>
std::array<Dataset, N> split(const Dataset& data, const SplitOptions<N>& options) {
  const std::vector<std::vector<int>> indices = split_indices<N>(data, options);
  std::array<Dataset, N> pools;
  for (std::size_t i = 0; i < N; ++i) pools[i] = take(data, indices[i]);
  return pools;
}

}  // namespace datasets
