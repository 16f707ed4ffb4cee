// Streams and splits: who sees which sample when.
#include <algorithm>
#include <numeric>
#include <set>
#include <thread>
#include <type_traits>
#include <vector>

#include "datasets/digits.h"
#include "datasets/split.h"
#include "datasets/stream.h"
#include "datasets/synthetic.h"
#include "tests/catch.h"

using namespace datasets;

namespace {

// n samples [2] with features (i, -i) and label i % classes.
Dataset counting(int n, int classes = 2) {
  Dataset data{.name = "counting",
               .features = autodiff::Tensor({n, 2}),
               .labels = autodiff::Labels(autodiff::Shape{n}),
               .classes = classes};
  for (int i = 0; i < n; ++i) {
    data.features[static_cast<std::size_t>(2 * i)] = static_cast<float>(i);
    data.features[static_cast<std::size_t>(2 * i + 1)] = static_cast<float>(-i);
    data.labels[static_cast<std::size_t>(i)] = i % classes;
  }
  return data;
}

// The samples at positions begin .. end-1 of a stream.
std::vector<int> positions(const Stream& stream, int begin, int end) {
  std::vector<int> out;
  for (int p = begin; p < end; ++p) {
    out.push_back(stream.indices(p / stream.batch())[static_cast<std::size_t>(p % stream.batch())]);
  }
  return out;
}

std::vector<int> range(int n) {
  std::vector<int> out(static_cast<std::size_t>(n));
  std::iota(out.begin(), out.end(), 0);
  return out;
}

bool same(const Batch& a, const Batch& b) {
  return a.features.shape() == b.features.shape() &&
         std::equal(a.features.begin(), a.features.end(), b.features.begin()) &&
         std::equal(a.labels.begin(), a.labels.end(), b.labels.begin());
}

}  // namespace

TEST_CASE("every epoch of a stream visits every sample once, in a new order") {
  for (const auto& [n, batch] :
       std::vector<std::pair<int, int>>{{10, 3}, {10, 10}, {7, 20}, {1, 4}, {100, 32}}) {
    const Dataset data = counting(n);
    const Stream stream(data, {.batch = batch, .seed = 3});
    std::set<std::vector<int>> orders;
    for (int epoch = 0; epoch < 5; ++epoch) {
      std::vector<int> seen = positions(stream, epoch * n, (epoch + 1) * n);
      orders.insert(seen);
      std::sort(seen.begin(), seen.end());
      CHECK(seen == range(n));
    }
    CHECK(orders.size() == (n == 1 ? 1 : 5));
  }
}

TEST_CASE("a batch holds the features and labels of its indices") {
  const Dataset data = counting(50, 5);
  const Stream stream(data, {.batch = 8, .seed = 1});
  for (int k = 0; k < 20; ++k) {
    const Batch batch = stream[k];
    const std::vector<int> indices = stream.indices(k);
    CHECK(batch.features.shape() == autodiff::Shape{8, 2});
    CHECK(batch.labels.shape() == autodiff::Shape{8});
    for (std::size_t row = 0; row < 8; ++row) {
      CHECK(batch.features[2 * row] == static_cast<float>(indices[row]));
      CHECK(batch.features[2 * row + 1] == static_cast<float>(-indices[row]));
      CHECK(batch.labels[row] == indices[row] % 5);
    }
  }
  CHECK(Stream(digits(), {.batch = 3})[0].features.shape() == autodiff::Shape{3, 8, 8, 1});
}

TEST_CASE("a batch depends on seed and number only, whenever and wherever it is read") {
  const Dataset data = gaussian({.samples = 1000, .seed = 1});
  const Stream stream(data, {.batch = 32, .seed = 2}), copy = stream;
  std::vector<Batch> forward;
  for (int k = 0; k < 100; ++k) forward.push_back(stream[k]);
  for (int k = 99; k >= 0; --k) CHECK(same(copy[k], forward[static_cast<std::size_t>(k)]));

  std::vector<int> wrong(4);
  std::vector<std::thread> threads;
  for (std::size_t t = 0; t < wrong.size(); ++t) {
    threads.emplace_back([&, t] {
      Batch batch;
      for (std::size_t k = t; k < forward.size(); ++k) {
        stream.read(static_cast<std::int64_t>(k), batch);
        wrong[t] += !same(batch, forward[k]);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(wrong == std::vector<int>(4));

  const Stream other(data, {.batch = 32, .seed = 3});
  CHECK_FALSE(same(other[0], forward[0]));
  const Stream halves(data, {.batch = 16, .seed = 2});  // the batch size only cuts the sequence
  CHECK(positions(halves, 0, 3000) == positions(stream, 0, 3000));
}

TEST_CASE("streams are the same on every platform") {
  const Dataset data = digits();
  const Stream stream(data, {.batch = 8, .seed = 2});
  CHECK(stream.indices(0) == std::vector<int>{1221, 76, 941, 1769, 1586, 1212, 438, 465});
  CHECK(stream.indices(1000000) == std::vector<int>{278, 1741, 920, 154, 1727, 720, 910, 1335});
}

TEST_CASE("without shuffling a stream keeps the order of the data") {
  const Stream stream(counting(5), {.batch = 3, .shuffle = false});
  CHECK(positions(stream, 0, 12) == std::vector<int>{0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 0, 1});
}

TEST_CASE("reading into a batch reuses its memory") {
  const Dataset data = counting(50);
  const Stream stream(data, {.batch = 8});
  Batch batch = stream[0];
  const float* features = batch.features.data();
  const std::int32_t* labels = batch.labels.data();
  for (int k = 1; k < 20; ++k) stream.read(k, batch);
  CHECK(batch.features.data() == features);
  CHECK(batch.labels.data() == labels);
  CHECK(same(batch, stream[19]));
  batch = Batch{.features = autodiff::Tensor({3, 1}), .labels = autodiff::Labels(autodiff::Shape{3})};
  stream.read(19, batch);  // other shapes are replaced
  CHECK(same(batch, stream[19]));
}

TEST_CASE("a stream looks at data, keeps them or shares them") {
  const Dataset data = counting(5);
  CHECK(&Stream(data, {}).data() == &data);
  const Stream keeper(counting(5), {.batch = 2, .seed = 1});
  CHECK(same(keeper[3], Stream(data, {.batch = 2, .seed = 1})[3]));
  const auto shared = std::make_shared<const Dataset>(counting(5));
  CHECK(&Stream(shared, {}).data() == shared.get());
  // A temporary that cannot be moved from would dangle: it does not compile.
  CHECK_FALSE(std::is_constructible_v<Stream, const Dataset&&, StreamOptions>);
}

TEST_CASE("streams refuse what they cannot do") {
  const Dataset data = counting(5);
  CHECK_THROWS_WITH(Stream(counting(0), {}),
                    ContainsSubstring("at least one sample") && ContainsSubstring("counting"));
  CHECK_THROWS_WITH(Stream(data, {.batch = 0}), ContainsSubstring("at least 1, got 0"));
  CHECK_THROWS_WITH(Stream(data, {})[-1], ContainsSubstring("got -1"));
  CHECK_THROWS_WITH(Stream(data, {}).indices(std::int64_t{1} << 62), ContainsSubstring("batch number"));
  CHECK_NOTHROW(Stream(data, {}).indices(std::int64_t{1} << 50));
}

TEST_CASE("split by fractions: disjoint, complete, seeded") {
  const Dataset data = digits();
  const auto [train, test] = split(data, {.fractions = {0.8, 0.2}, .seed = 1});
  CHECK(train.size() == 1438);
  CHECK(test.size() == 359);
  CHECK(train.classes == 10);
  const auto pools = split_indices<4>(data, {.fractions = {0.48, 0.16, 0.16, 0.2}, .seed = 1});
  std::vector<int> all;
  for (const auto& pool : pools) {
    CHECK(pool.size() >= 287);
    all.insert(all.end(), pool.begin(), pool.end());
  }
  std::sort(all.begin(), all.end());
  CHECK(all == range(1797));
  CHECK(pools == split_indices<4>(data, {.fractions = {0.48, 0.16, 0.16, 0.2}, .seed = 1}));
  CHECK(pools != split_indices<4>(data, {.fractions = {0.48, 0.16, 0.16, 0.2}, .seed = 2}));
  const auto indices = split_indices(data, {.fractions = {0.8, 0.2}, .seed = 1});
  CHECK(content_hash(train) == content_hash(take(data, indices[0])));
  // The same on every platform.
  CHECK(std::vector<int>(indices[0].begin(), indices[0].begin() + 4) ==
        std::vector<int>{413, 1030, 670, 750});
}

TEST_CASE("split by counts leaves the rest out") {
  const Dataset data = counting(100);
  const auto pools = split_indices<3>(data, {.counts = {50, 20, 10}});
  std::set<int> seen;
  for (const auto& pool : pools) seen.insert(pool.begin(), pool.end());
  CHECK(pools[0].size() == 50);
  CHECK(pools[2].size() == 10);
  CHECK(seen.size() == 80);
  CHECK(split_indices(data, std::vector<int>{100}, 1)[0].size() == 100);
}

TEST_CASE("pool sizes add up") {
  CHECK(pool_sizes(1797, std::vector{0.8, 0.2}) == std::vector<int>{1438, 359});
  CHECK(pool_sizes(10, std::vector{0.1, 0.2, 0.7}) == std::vector<int>{1, 2, 7});
  for (int n = 1; n < 200; ++n) {
    const std::vector<int> thirds = pool_sizes(n, std::vector{1 / 3.0, 1 / 3.0, 1 / 3.0});
    CHECK(std::accumulate(thirds.begin(), thirds.end(), 0) == n);
    CHECK(*std::max_element(thirds.begin(), thirds.end()) - *std::min_element(thirds.begin(), thirds.end()) <=
          1);
  }
}

TEST_CASE("a stratified split shares out every class in proportion") {
  Dataset data = counting(1000, 3);
  for (std::size_t i = 0; i < 1000; ++i) data.labels[i] = i < 20 ? 0 : i < 300 ? 1 : 2;  // 20, 280, 700
  const std::vector<int> sizes{600, 250, 100};
  const auto pools = split_indices(data, sizes, 5, true);
  std::set<int> seen;
  for (std::size_t p = 0; p < pools.size(); ++p) {
    CHECK(pools[p].size() == static_cast<std::size_t>(sizes[p]));
    seen.insert(pools[p].begin(), pools[p].end());
    const std::vector<int> counts = class_counts(take(data, pools[p]));
    const double share = sizes[p] / 1000.0;
    CHECK(counts[0] ==
          Approx(20 * share).margin(2));  // dealing is off by at most two at either end of a class
    CHECK(counts[1] == Approx(280 * share).margin(2));
    CHECK_FALSE(std::is_sorted(pools[p].begin(), pools[p].end()));
  }
  CHECK(seen.size() == 950);
}

TEST_CASE("splits refuse what they cannot do") {
  const Dataset data = counting(10);
  using Fractions = SplitOptions<2>;
  const struct {
    Fractions options;
    const char* says;
  } cases[] = {
      {{}, "either fractions or counts, got neither"},
      {{.fractions = {0.5, 0.5}, .counts = {5, 5}}, "got both"},
      {{.fractions = {0.8, 0.3}}, "sum of 1.1"},
      {{.fractions = {-0.1, 0.3}}, "got -0.1"},
      {{.fractions = {std::numeric_limits<double>::quiet_NaN(), 0.3}}, "nan"},
      {{.fractions = {0.99, 0.01}}, "pool 1 would be empty (10 samples in all)"},
      {{.counts = {8, 3}}, "at most 10 samples, got counts that add up to 11"},
      {{.counts = {8, 0}}, "pool 1 would be empty"},
      {{.counts = {2147483647, 2147483647}}, "4294967294"},
  };
  for (const auto& c : cases) {
    INFO(c.says);
    CHECK_THROWS_WITH(split(data, c.options), ContainsSubstring(c.says));
  }
}
