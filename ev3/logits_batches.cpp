#include "ev3/logits_batches.h"

#include <algorithm>

#include "autodiff/tensor/error.h"
#include "datasets/epochs.h"

namespace ev3 {

using autodiff::fail;

LogitsBatches::LogitsBatches(std::shared_ptr<const LogitsFile> file, const LogitsOptions& options)
    : file_(std::move(file)),
      options_(options),
      reader_(file_->pixels(), file_->sample(), options.scaling, file_->name()),
      seed_{options.seed} {
  if (options_.batch < 1) fail(file_->name(), ": want a batch of at least 1, got ", options_.batch);
  if (options_.order == RowOrder::windows && options_.batch >= file_->rows()) {
    fail(file_->name(), ": want more rows than the ", options_.batch, " of a batch, got ", file_->rows());
  }
  check(options_.augmentation, file_->sample(), file_->name());
}

// Logits and labels of `count` rows of the file, to the rows of the buffer from `row` on.
void LogitsBatches::copy_rows(std::size_t row, std::size_t first, std::size_t count,
                              datasets::Batch& buffer) const {
  file_->copy_logits(first, count, buffer.logits.data() + row * static_cast<std::size_t>(file_->classes()));
  const auto labels = file_->labels();
  if (!labels.empty()) std::copy_n(labels.data() + first, count, buffer.labels.data() + row);
}

BatchView LogitsBatches::read(std::int64_t k, datasets::Batch& buffer) const {
  datasets::check_batch_number(k, options_.batch);
  const autodiff::Shape images = file_->sample().batched(options_.batch);
  const autodiff::Shape logits{options_.batch, file_->classes()}, rows{options_.batch};
  if (buffer.features.shape() != images) buffer.features = autodiff::Tensor(images);
  if (buffer.logits.shape() != logits) buffer.logits = autodiff::Tensor(logits);
  if (buffer.labels.shape() != rows) buffer.labels = autodiff::Labels(rows);

  const std::size_t width = file_->sample().size();
  const autodiff::Random random(seed_.stream("augment"));
  const std::uint64_t position = static_cast<std::uint64_t>(k) * static_cast<std::uint64_t>(options_.batch);
  const auto read_image = [&](std::size_t row, std::size_t i) {
    reader_.read(i, placement(options_.augmentation, random, position + row),
                 buffer.features.data() + row * width);
  };
  if (options_.order == RowOrder::windows) {
    const auto count = static_cast<std::size_t>(options_.batch);
    const auto first = static_cast<std::size_t>(
        autodiff::Random(seed_.stream("windows"))
            .below(static_cast<std::uint64_t>(k), static_cast<std::uint64_t>(file_->rows()) - count));
    for (std::size_t row = 0; row < count; ++row) read_image(row, first + row);
    copy_rows(0, first, count, buffer);
  } else {
    datasets::visit_batch(seed_, file_->rows(), options_.batch, true, k, [&](std::size_t row, std::size_t i) {
      read_image(row, i);
      copy_rows(row, i, 1, buffer);
    });
  }
  const std::span<const std::int32_t> labels{buffer.labels.data(), buffer.labels.size()};
  return {{buffer.features.data(), buffer.features.size()},
          file_->labels().empty() ? std::span<const std::int32_t>() : labels,
          {buffer.logits.data(), buffer.logits.size()}};
}

}  // namespace ev3
