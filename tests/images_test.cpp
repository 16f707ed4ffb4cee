// Images of bytes: scaling, crops and flips, smaller images, shared pools; long, as each is checked twice.
#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <thread>
#include <tuple>
#include <vector>

#include "datasets/sample_reader.h"
#include "datasets/shrink.h"
#include "datasets/split.h"
#include "datasets/stream.h"
#include "datasets/synthetic.h"
#include "tests/catch.h"

using namespace datasets;
using autodiff::Labels, autodiff::Shape, autodiff::Tensor;

namespace {

// n images [h, w, c] of random bytes, in two classes.
Dataset noise(int n, int h, int w, int c, std::uint64_t seed = 1) {
  Dataset data{.name = "noise", .labels = Labels(Shape{n}), .classes = 2, .pixels = Pixels({n, h, w, c})};
  const autodiff::Random random(autodiff::Seed{seed});
  for (std::size_t i = 0; i < data.pixels.size(); ++i) {
    data.pixels[i] = static_cast<std::uint8_t>(random.below(i, 256));
  }
  for (int i = 0; i < n; ++i) data.labels[static_cast<std::size_t>(i)] = i % 2;
  return data;
}

// The same data as floats.
Dataset as_floats(const Dataset& data) {
  Dataset out = data;
  out.pixels = Pixels(Shape{0});
  out.scaling = {};
  out.features = Tensor(data.shape());
  const SampleReader reader(data);
  const std::size_t width = data.sample().size();
  for (std::size_t i = 0; i < data.labels.size(); ++i) reader.read(i, out.features.data() + i * width);
  return out;
}

// The one image [h, w, 1] with the bytes 0, 10, 20, ...
Dataset tens(int h, int w) {
  Dataset data = noise(1, h, w, 1);
  for (std::size_t i = 0; i < data.pixels.size(); ++i) data.pixels[i] = static_cast<std::uint8_t>(10 * i);
  return data;
}

std::vector<float> read(const SampleReader& reader, std::size_t i, const Placement& placement = {}) {
  std::vector<float> out(reader.sample().size());
  reader.read(i, placement, out.data());
  return out;
}

bool same(const Batch& a, const Batch& b) {
  return a.features.shape() == b.features.shape() &&
         std::equal(a.features.begin(), a.features.end(), b.features.begin()) &&
         std::equal(a.labels.begin(), a.labels.end(), b.labels.begin());
}

}  // namespace

TEST_CASE("a byte is a number by the scaling of its data") {
  Dataset data = noise(1, 1, 2, 3);
  const std::uint8_t bytes[6] = {0, 255, 51, 128, 127, 1};
  std::copy(std::begin(bytes), std::end(bytes), data.pixels.begin());
  const std::vector<float> unit = read(SampleReader(data), 0);
  for (std::size_t i = 0; i < 6; ++i) CHECK(unit[i] == static_cast<float>(bytes[i]) / 255.0f);

  data.scaling = {.kind = Scale::symmetric};
  const std::vector<float> symmetric = read(SampleReader(data), 0);
  for (std::size_t i = 0; i < 6; ++i) {
    CHECK(symmetric[i] == (static_cast<float>(bytes[i]) - 127.5f) / 127.5f);
  }
  data.scaling = cifar10_scaling();
  const std::vector<float> standard = read(SampleReader(data), 0);
  // By hand: (0 - 0.4914) / 0.2470, (1 - 0.4822) / 0.2435, (0.2 - 0.4465) / 0.2616, ...
  const double expected[6] = {-1.989474, 2.126489, -0.942278, 0.042756, 0.065048, -1.691815};
  for (std::size_t i = 0; i < 6; ++i) CHECK(standard[i] == Approx(expected[i]).margin(1e-6));
  data.scaling = {.kind = Scale::standardize, .mean = {0.5}, .deviation = {0.25}};  // one for all
  CHECK(read(SampleReader(data), 0)[5] == static_cast<float>((1 / 255.0 - 0.5) / 0.25));
  CHECK(cifar100_scaling().mean == std::vector{0.5071, 0.4867, 0.4408});
  CHECK(cifar100_scaling().deviation == std::vector{0.2675, 0.2565, 0.2761});
}

TEST_CASE("scalings that do not fit are refused") {
  const Dataset data = noise(2, 4, 4, 3);
  const std::pair<Scaling, const char*> cases[] = {
      {{.kind = Scale::standardize}, "each of 3 channels, or one for all; got 0 and 0"},
      {{.kind = Scale::standardize, .mean = {0, 0}, .deviation = {1, 1, 1}}, "got 2 and 3"},
      {{.kind = Scale::standardize, .mean = {0}, .deviation = {1, 0, 1}}, "deviations above 0, got 0"},
      {{.kind = Scale::standardize, .mean = {NAN}, .deviation = {1}}, "finite means, got nan"},
      {{.kind = Scale::unit, .mean = {0.5}, .deviation = {1}}, "only standardize has means"},
  };
  for (const auto& [scaling, says] : cases) {
    Dataset scaled = data;
    scaled.scaling = scaling;
    CHECK_THROWS_WITH(SampleReader(scaled), ContainsSubstring(says) && ContainsSubstring("noise: "));
    CHECK_THROWS_WITH(Stream(scaled, {}), ContainsSubstring(says));
  }
  Dataset floats = moons({.samples = 5});
  floats.scaling = {.kind = Scale::symmetric};
  CHECK_THROWS_WITH(SampleReader(floats), ContainsSubstring("moons: only images of bytes can be scaled"));
}

TEST_CASE("scalings as text") {
  CHECK(to_text({}) == "unit");
  CHECK(to_text(cifar10_scaling()) == "standardize 0.4914 0.4822 0.4465 / 0.247 0.2435 0.2616");
  const Scaling odd{.kind = Scale::standardize, .mean = {-1.0 / 3, 1e-300}, .deviation = {0.1}};
  for (const Scaling& scaling : {Scaling{}, Scaling{.kind = Scale::symmetric}, cifar100_scaling(), odd}) {
    CHECK(scaling_from_text(to_text(scaling), "x") == scaling);
  }
  for (const char* text : {"", "units", "unit 1", "standardize", "standardize 1 2", "standardize 1 / x",
                           "unit /", "standardize 1 / 2 / 3", "symmetric "}) {
    CHECK_THROWS_WITH(scaling_from_text(text, "m.safetensors"),
                      ContainsSubstring("m.safetensors: want a scale unit, symmetric or standardize"));
  }
}

TEST_CASE("bytes and the floats they stand for are the same data") {
  const Dataset bytes = noise(9, 5, 4, 3), floats = as_floats(bytes);
  check(bytes);
  CHECK(content_hash(bytes) == content_hash(floats));
  Dataset scaled = bytes;
  scaled.scaling.kind = Scale::symmetric;
  CHECK(content_hash(scaled) == content_hash(bytes));  // of the content, not of its meaning
  scaled.pixels[7] ^= 1;
  CHECK(content_hash(scaled) != content_hash(bytes));
  const std::vector<int> some{8, 0, 8};
  CHECK(content_hash(take(bytes, some)) == content_hash(take(floats, some)));
  CHECK(take(bytes, some).is_bytes());
  CHECK(take(bytes, {}).size() == 0);
  CHECK(take(bytes, {}).sample() == Shape{5, 4, 3});
  for (int k = 0; k < 5; ++k) {
    const StreamOptions options{.batch = 4, .seed = 2, .augmentation = {.pad = 2, .flip = true}};
    CHECK(same(Stream(bytes, options)[k], Stream(floats, options)[k]));
  }
}

TEST_CASE("augmentation: the values of a small image, computed by another program") {
  const Dataset data = tens(3, 4);
  const Stream stream(data, {.batch = 2, .seed = 3, .augmentation = {.pad = 2, .flip = true}});
  const std::vector<int> expected[6] = {// one image, so position p = sample p of the stream
                                        {90, 100, 110, 100, 50, 60, 70, 60, 10, 20, 30, 20},
                                        {20, 30, 20, 10, 60, 70, 60, 50, 100, 110, 100, 90},
                                        {50, 40, 50, 60, 10, 0, 10, 20, 50, 40, 50, 60},
                                        {50, 60, 70, 60, 10, 20, 30, 20, 50, 60, 70, 60},
                                        {100, 90, 80, 90, 60, 50, 40, 50, 20, 10, 0, 10},
                                        {90, 100, 110, 100, 50, 60, 70, 60, 10, 20, 30, 20}};
  const autodiff::Random random(autodiff::Seed{3}.stream("augment"));
  const Augmentation augmentation{.pad = 2, .flip = true};
  CHECK(placement(augmentation, random, 0) == Placement{-2, 2, true});
  CHECK(placement(augmentation, random, 3) == Placement{-1, 1, false});
  for (int p = 0; p < 6; ++p) {
    const Batch batch = stream[p / 2];
    std::vector<int> values;
    for (std::size_t i = 0; i < 12; ++i) {
      values.push_back(
          static_cast<int>(std::lround(255 * batch.features[static_cast<std::size_t>(p % 2) * 12 + i])));
    }
    CHECK(values == expected[p]);
  }
}

TEST_CASE("every placement is what its formula says, pixel by pixel") {
  const auto mirrored = [](int i, int n) { return i < 0 ? -i : i >= n ? 2 * n - 2 - i : i; };
  for (const auto& [h, w, c] : std::vector<std::array<int, 3>>{{5, 7, 3}, {4, 4, 1}, {3, 6, 2}, {6, 3, 4}}) {
    for (const bool bytes : {true, false}) {
      const Dataset images = noise(3, h, w, c), data = bytes ? images : as_floats(images);
      const SampleReader reader(data);
      const int pad = std::min(h, w) - 1;
      int wrong = 0;
      for (int dy = -pad; dy <= pad; ++dy) {
        for (int dx = -pad; dx <= pad; ++dx) {
          for (const bool flip : {false, true}) {
            const std::vector<float> whole = read(reader, 2), got = read(reader, 2, {dy, dx, flip});
            for (int y = 0; y < h; ++y) {
              for (int x = 0; x < w; ++x) {
                const int from_y = mirrored(y + dy, h), from_x = mirrored((flip ? w - 1 - x : x) + dx, w);
                for (int k = 0; k < c; ++k) {
                  wrong += got[static_cast<std::size_t>((y * w + x) * c + k)] !=
                           whole[static_cast<std::size_t>((from_y * w + from_x) * c + k)];
                }
              }
            }
          }
        }
      }
      CHECK(wrong == 0);
    }
  }
}

TEST_CASE("all crops and flips are equally likely") {
  const autodiff::Random random(autodiff::Seed{11});
  std::map<std::tuple<int, int, bool>, int> counts;
  for (std::uint64_t p = 0; p < 18000; ++p) {
    const Placement a = placement({.pad = 1, .flip = true}, random, p);
    ++counts[{a.dy, a.dx, a.flip}];
  }
  CHECK(counts.size() == 18);
  for (const auto& [placed, count] : counts) {
    CHECK(std::abs(count - 1000) < 154);  // 5 standard deviations, sqrt(1000 x 17 / 18)
  }
  CHECK(placement({}, random, 7) == Placement{});
  CHECK(placement({.flip = true}, random, 7).dy == 0);
}

TEST_CASE("an augmented batch depends on seed and number only, whenever and wherever it is read") {
  const Dataset data = noise(40, 8, 8, 3);
  const StreamOptions options{.batch = 16, .seed = 5, .augmentation = {.pad = 3, .flip = true}};
  const Stream stream(data, options);
  std::vector<Batch> forward;
  for (int k = 0; k < 30; ++k) forward.push_back(stream[k]);
  std::vector<int> wrong(3);
  std::vector<std::thread> threads;
  for (std::size_t t = 0; t < wrong.size(); ++t) {
    threads.emplace_back([&, t] {
      Batch batch;
      for (std::size_t k = forward.size(); k-- > 0;) {
        stream.read(static_cast<std::int64_t>(k), batch);
        wrong[t] += !same(batch, forward[k]);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(wrong == std::vector<int>(3));

  StreamOptions plain = options;
  plain.augmentation = {};
  CHECK(Stream(data, plain).indices(9) == stream.indices(9));  // the same images, otherwise placed
  CHECK_FALSE(same(Stream(data, plain)[9], forward[9]));
  StreamOptions halves = options;  // the batch size only cuts the sequence
  halves.batch = 8;
  const Batch first = Stream(data, halves)[6], second = Stream(data, halves)[7];
  CHECK(std::equal(first.features.begin(), first.features.end(), forward[3].features.begin()));
  CHECK(std::equal(second.features.begin(), second.features.end(),
                   forward[3].features.begin() + first.features.size()));
}

TEST_CASE("augmentations that do not fit are refused") {
  const Dataset data = noise(3, 8, 6, 1);
  CHECK_NOTHROW(Stream(data, {.augmentation = {.pad = 5}}));
  CHECK_THROWS_WITH(Stream(data, {.augmentation = {.pad = 6}}),
                    ContainsSubstring("noise: want a pad from 0 to 5 for images [8, 6, 1], got 6"));
  CHECK_THROWS_WITH(Stream(data, {.augmentation = {.pad = -1}}), ContainsSubstring("got -1"));
  CHECK_THROWS_WITH(Stream(moons(), {.augmentation = {.flip = true}}),
                    ContainsSubstring("pad and flip want images [H, W, C], got samples [2]"));
}

TEST_CASE("a stream over some samples gives the batches of a copy of them") {
  for (const auto& data : {std::make_shared<const Dataset>(noise(50, 4, 4, 3)),
                           std::make_shared<const Dataset>(gaussian({.samples = 50}))}) {
    const std::vector<int> pool = split_indices(*data, {.fractions = {0.3, 0.7}, .seed = 4})[0];
    const StreamOptions options{.batch = 8, .seed = 2};
    const Stream shared(data, pool, options), copied(take(*data, pool), options);
    for (int k = 0; k < 20; ++k) CHECK(same(shared[k], copied[k]));
    CHECK(shared.size() == 15);
    CHECK(&shared.data() == data.get());
    CHECK(content_hash(shared.pool()) == content_hash(copied.data()));
    for (const int i : shared.indices(3)) CHECK(std::find(pool.begin(), pool.end(), i) != pool.end());
  }
  const auto data = std::make_shared<const Dataset>(noise(5, 2, 2, 1));
  CHECK_THROWS_WITH(Stream(data, std::vector<int>{}, {}), ContainsSubstring("an empty pool of noise"));
  CHECK_THROWS_WITH(Stream(data, std::vector<int>{5}, {}), ContainsSubstring("samples in 0 .. 4, got 5"));
}

TEST_CASE("shrunken images are means of squares") {
  Dataset data = tens(2, 4);
  data.pixels[1] = 11;  // (0 + 11 + 40 + 50) / 4 = 25.25, (20 + 30 + 60 + 70) / 4 = 45
  const Dataset half = shrink(data, 2);
  CHECK(half.shape() == Shape{1, 1, 2, 1});
  CHECK(half.pixels[0] == 25);
  CHECK(half.pixels[1] == 45);
  data.pixels[1] = 12;  // 25.5 goes up
  CHECK(shrink(data, 2).pixels[0] == 26);
  const Dataset floats = shrink(as_floats(data), 2);
  CHECK(floats.features[0] == Approx(25.5 / 255));
  CHECK(floats.class_name(0) == "0");

  const Dataset large = noise(3, 6, 9, 2), third = shrink(large, 3);
  double most = 0;
  for (int n = 0; n < 3; ++n) {
    for (int y = 0; y < 2; ++y) {
      for (int x = 0; x < 3; ++x) {
        for (int c = 0; c < 2; ++c) {
          double sum = 0;
          for (int i = 0; i < 9; ++i) sum += large.pixels.view()(n, 3 * y + i / 3, 3 * x + i % 3, c);
          most = std::max(most, std::abs(third.pixels.view()(n, y, x, c) - sum / 9));
        }
      }
    }
  }
  CHECK(most <= 0.5);
  CHECK(std::equal(large.labels.begin(), large.labels.end(), third.labels.begin()));
  CHECK(content_hash(shrink(large, 1)) == content_hash(large));
  CHECK_THROWS_WITH(shrink(large, 2), ContainsSubstring("divides both sides of images [6, 9, 2], got 2"));
  CHECK_THROWS_WITH(shrink(large, 0), ContainsSubstring("got 0"));
  CHECK_THROWS_WITH(shrink(moons(), 2), ContainsSubstring("shrink wants images [H, W, C], got samples [2]"));
}
