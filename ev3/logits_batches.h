// Batches of a teacher's recorded answers.
#pragma once

#include <memory>

#include "datasets/augment.h"
#include "datasets/sample_reader.h"
#include "ev3/logits_file.h"
#include "ev3/streams.h"

namespace ev3 {

/// Which rows of the file a batch holds. windows: neighbours, from a random row on, as the reference reads
/// them (rows recorded one after the other lie close together, so a file on disk is read in pieces).
/// shuffled: every row once an epoch, in a random order.
enum class RowOrder { windows, shuffled };

struct LogitsOptions {
  int batch = 32;
  std::uint64_t seed = 0;
  RowOrder order = RowOrder::windows;
  datasets::Scaling scaling = {};
  datasets::Augmentation augmentation = {};  // recorded images are usually augmented already
};

/// Batch k is a function of (file, options, k):
///
///     windows:   rows first .. first + batch - 1, first = Random(seed.stream("windows")).below(k, n - batch)
///     shuffled:  as datasets::visit_batch
///
/// (so the last row is in no window, as in the reference). It has features and logits, and labels where the
/// file has classes.
class LogitsBatches final : public Batches {
 public:
  /// Throws Error for a batch below 1, for windows unless there are more rows than that, and what
  /// SampleReader and check(Augmentation) refuse.
  LogitsBatches(std::shared_ptr<const LogitsFile> file, const LogitsOptions& options);

  int batch() const override { return options_.batch; }
  /// Throws Error as LogitsFile::copy_logits, and for a k below 0 or beyond 2^63 / batch.
  BatchView read(std::int64_t k, datasets::Batch& buffer) const override;
  const LogitsFile& file() const { return *file_; }

 private:
  void copy_rows(std::size_t row, std::size_t first, std::size_t count, datasets::Batch& buffer) const;

  std::shared_ptr<const LogitsFile> file_;
  LogitsOptions options_;
  datasets::SampleReader reader_;
  autodiff::Seed seed_;
};

}  // namespace ev3
