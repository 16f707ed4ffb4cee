#include "datasets/sample_reader.h"

#include <algorithm>
#include <type_traits>

#include "autodiff/tensor/error.h"
#include "datasets/dataset.h"

namespace datasets {
namespace {

/// Where numbers come from: element `at`, which belongs to channel c.
struct Floats {
  const float* values;
  float operator()(std::ptrdiff_t at, int) const { return values[at]; }
};
struct Bytes {
  const std::uint8_t* values;
  const float* table;  // [channels, 256]
  float operator()(std::ptrdiff_t at, int c) const { return table[256 * c + values[at]]; }
};

// A constant where it matters for speed (1 and 3 channels), else a number.
template <class Action>
void with_channels(int channels, const Action& action) {
  if (channels == 1) return action(std::integral_constant<int, 1>{});
  if (channels == 3) return action(std::integral_constant<int, 3>{});
  action(channels);
}

// `count` pixels from element `at` on, forwards (direction 1) or backwards (-1); returns where they end.
template <class Source, class Channels>
float* copy_pixels(const Source& source, Channels channels, std::ptrdiff_t at, int direction, int count,
                   float* to) {
  for (int i = 0; i < count; ++i, at += direction * channels) {
    for (int c = 0; c < channels; ++c) *to++ = source(at + c, c);
  }
  return to;
}

int reflect(int i, int n) { return i < 0 ? -i : i >= n ? 2 * (n - 1) - i : i; }

// A row of the result has up to three parts: what the border at the left mirrors, the row itself, what the
// border at the right mirrors. A flip reads all of that backwards.
template <class Source, class Channels>
void place(const Source& source, Channels channels, std::ptrdiff_t image, const autodiff::Shape& shape,
           const Placement& p, float* to) {
  const int height = shape[0], width = shape[1];
  const int left = std::max(-p.dx, 0), right = std::max(p.dx, 0), middle = width - left - right;
  for (int y = 0; y < height; ++y) {
    const std::ptrdiff_t row =
        image + static_cast<std::ptrdiff_t>(reflect(y + p.dy, height)) * width * channels;
    const auto part = [&](int x, int direction, int count) {
      to = copy_pixels(source, channels, row + static_cast<std::ptrdiff_t>(x) * channels, direction, count,
                       to);
    };
    if (!p.flip) {
      part(left, -1, left);
      part(right, 1, middle);
      part(width - 2, -1, right);
    } else {
      part(width - 1 - right, 1, right);
      part(width - 1 - left, -1, middle);
      part(1, 1, left);
    }
  }
}

}  // namespace

SampleReader::SampleReader(const Dataset& data) : sample_(data.sample()) {
  if (data.is_bytes()) {
    *this = SampleReader(data.pixels.data(), data.sample(), data.scaling, data.name);
  } else if (data.scaling != Scaling{}) {
    autodiff::fail(data.name,
                   ": only images of bytes can be scaled, these features are numbers already: want scale "
                   "\"unit\", which leaves them as they are");
  } else {
    floats_ = data.features.data();
  }
}

SampleReader::SampleReader(const std::uint8_t* pixels, const autodiff::Shape& sample, const Scaling& scaling,
                           const std::string& name)
    : pixels_(pixels),
      sample_(sample),
      table_(byte_table(scaling, sample.rank() == 3 ? sample[2] : 1, name)) {}

void SampleReader::read(std::size_t i, float* to) const {
  const std::size_t size = sample_.size();
  if (floats_) {
    std::copy_n(floats_ + i * size, size, to);
    return;
  }
  const int channels = sample_.rank() == 3 ? sample_[2] : 1;
  if (channels == 0) return;
  with_channels(channels, [&](auto c) {
    copy_pixels(Bytes{pixels_ + i * size, table_.data()}, c, 0, 1, static_cast<int>(size) / channels, to);
  });
}

void SampleReader::read(std::size_t i, const Placement& placement, float* to) const {
  if (placement == Placement{}) return read(i, to);
  const auto image = static_cast<std::ptrdiff_t>(i * sample_.size());
  with_channels(sample_[2], [&](auto c) {
    if (floats_) {
      place(Floats{floats_}, c, image, sample_, placement, to);
    } else {
      place(Bytes{pixels_, table_.data()}, c, image, sample_, placement, to);
    }
  });
}

}  // namespace datasets
