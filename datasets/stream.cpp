#include "datasets/stream.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "autodiff/tensor/error.h"

namespace datasets {

using autodiff::fail;

// A shared pointer without an owner: the caller keeps the data.
Stream::Stream(const Dataset& data, const StreamOptions& options)
    : Stream(std::shared_ptr<const Dataset>(std::shared_ptr<const Dataset>(), &data), options) {}

Stream::Stream(Dataset&& data, const StreamOptions& options)
    : Stream(std::make_shared<const Dataset>(std::move(data)), options) {}

Stream::Stream(std::shared_ptr<const Dataset> data, const StreamOptions& options)
    : data_(std::move(data)), options_(options), seed_{options.seed} {
  if (data_->size() < 1) fail("stream: want at least one sample, got none of ", data_->name);
  if (options_.batch < 1) fail("stream: want a batch of at least 1, got ", options_.batch);
}

// Calls visit(row, sample) for the rows of batch k, one epoch after the other.
template <class Visit>
void Stream::visit(std::int64_t k, const Visit& visit) const {
  const std::int64_t n = data_->size(), batch = options_.batch;
  const std::int64_t last = std::numeric_limits<std::int64_t>::max() / batch - 1;
  if (k < 0 || k > last) fail("stream: want a batch number in 0 .. ", last, ", got ", k);
  for (std::int64_t row = 0; row < batch;) {
    const std::int64_t epoch = (k * batch + row) / n, place = (k * batch + row) % n;
    const std::int64_t count = std::min(batch - row, n - place);
    if (options_.shuffle) {
      const autodiff::Permutation order(seed_.stream(static_cast<std::uint64_t>(epoch)),
                                        static_cast<std::uint32_t>(n));
      for (std::int64_t i = 0; i < count; ++i) {
        visit(static_cast<std::size_t>(row + i),
              static_cast<std::size_t>(order(static_cast<std::uint32_t>(place + i))));
      }
    } else {
      for (std::int64_t i = 0; i < count; ++i) {
        visit(static_cast<std::size_t>(row + i), static_cast<std::size_t>(place + i));
      }
    }
    row += count;
  }
}

Batch Stream::operator[](std::int64_t k) const {
  Batch out;
  read(k, out);
  return out;
}

void Stream::read(std::int64_t k, Batch& out) const {
  const autodiff::Shape shape = data_->features.shape().with(0, options_.batch);
  if (out.features.shape() != shape) out.features = autodiff::Tensor(shape);
  const autodiff::Shape rows{options_.batch};
  if (out.labels.shape() != rows) out.labels = autodiff::Labels(rows);
  const std::size_t width = data_->features.size() / static_cast<std::size_t>(data_->size());
  const float* from = data_->features.data();
  float* to = out.features.data();
  visit(k, [&](std::size_t row, std::size_t sample) {
    std::copy_n(from + sample * width, width, to + row * width);
    out.labels[row] = data_->labels[sample];
  });
}

std::vector<int> Stream::indices(std::int64_t k) const {
  std::vector<int> out(static_cast<std::size_t>(options_.batch));
  visit(k, [&](std::size_t row, std::size_t sample) { out[row] = static_cast<int>(sample); });
  return out;
}

}  // namespace datasets
