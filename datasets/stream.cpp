#include "datasets/stream.h"

#include <utility>

#include "autodiff/tensor/error.h"
#include "datasets/epochs.h"

namespace datasets {

using autodiff::fail;

// A shared pointer without an owner: the caller keeps the data.
Stream::Stream(const Dataset& data, const StreamOptions& options)
    : Stream(std::shared_ptr<const Dataset>(std::shared_ptr<const Dataset>(), &data), options) {}

Stream::Stream(Dataset&& data, const StreamOptions& options)
    : Stream(std::make_shared<const Dataset>(std::move(data)), options) {}

Stream::Stream(std::shared_ptr<const Dataset> data, const StreamOptions& options)
    : data_(std::move(data)),
      reader_(std::make_shared<const SampleReader>(*data_)),
      options_(options),
      seed_{options.seed} {
  if (data_->size() < 1) fail("stream: want at least one sample, got none of ", data_->name);
  if (options_.batch < 1) fail("stream: want a batch of at least 1, got ", options_.batch);
  check(options_.augmentation, data_->sample(), "stream: " + data_->name);
}

Stream::Stream(std::shared_ptr<const Dataset> data, std::vector<int> samples, const StreamOptions& options)
    : Stream(std::move(data), options) {
  if (samples.empty()) fail("stream: want at least one sample, got an empty pool of ", data_->name);
  for (const int i : samples) {
    if (i < 0 || i >= data_->size()) {
      fail("stream: ", data_->name, ": want samples in 0 .. ", data_->size() - 1, ", got ", i);
    }
  }
  samples_ = std::make_shared<const std::vector<int>>(std::move(samples));
}

template <class Visit>
void Stream::visit(std::int64_t k, const Visit& visit) const {
  visit_batch(seed_, size(), options_.batch, options_.shuffle, k, [&](std::size_t row, std::size_t i) {
    visit(row, samples_ ? static_cast<std::size_t>((*samples_)[i]) : i);
  });
}

Batch Stream::operator[](std::int64_t k) const {
  Batch out;
  read(k, out);
  return out;
}

void Stream::read(std::int64_t k, Batch& out) const {
  const autodiff::Shape shape = reader_->sample().batched(options_.batch);
  if (out.features.shape() != shape) out.features = autodiff::Tensor(shape);
  const autodiff::Shape rows{options_.batch};
  if (out.labels.shape() != rows) out.labels = autodiff::Labels(rows);
  const std::size_t width = reader_->sample().size();
  const autodiff::Random random(seed_.stream("augment"));
  const auto first = static_cast<std::uint64_t>(k) * static_cast<std::uint64_t>(options_.batch);
  visit(k, [&](std::size_t row, std::size_t sample) {
    const Placement placed = placement(options_.augmentation, random, first + row);
    reader_->read(sample, placed, out.features.data() + row * width);
    out.labels[row] = data_->labels[sample];
  });
}

std::vector<Stream::Draw> Stream::draws(std::int64_t k) const {
  std::vector<Draw> out(static_cast<std::size_t>(options_.batch));
  const autodiff::Random random(seed_.stream("augment"));
  const auto first = static_cast<std::uint64_t>(k) * static_cast<std::uint64_t>(options_.batch);
  visit(k, [&](std::size_t row, std::size_t sample) {
    out[row] = {sample, placement(options_.augmentation, random, first + row)};
  });
  return out;
}

std::vector<int> Stream::indices(std::int64_t k) const {
  std::vector<int> out(static_cast<std::size_t>(options_.batch));
  visit(k, [&](std::size_t row, std::size_t sample) { out[row] = static_cast<int>(sample); });
  return out;
}

}  // namespace datasets
