// Random-access batches: batch k is a pure function of (data, options, k).
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "autodiff/tensor/random.h"
#include "datasets/augment.h"
#include "datasets/dataset.h"
#include "datasets/sample_reader.h"

namespace datasets {

/// Some samples and their classes, side by side.
struct Batch {
  autodiff::Tensor features;  // [batch, sample...]
  autodiff::Labels labels;    // [batch]
  autodiff::Tensor logits =
      autodiff::Tensor(autodiff::Shape{0});  // [batch, classes], where there is a teacher
};

struct StreamOptions {
  int batch = 32;
  std::uint64_t seed = 0;
  bool shuffle = true;             // false: the order of the data, over and over
  Augmentation augmentation = {};  // of images
};

/// An endless sequence of batches of one Dataset, or of some of its samples (a pool). Every epoch visits each
/// of these n samples once, in an order of its own; batches run on across the border between epochs, so all
/// have the same size (which may exceed the number of samples):
///
///     position p = k batch + row,   epoch = p / n,   sample = Permutation(seed.stream(epoch), n)(p % n)
///
/// Augmentation is placement(augmentation, seed.stream("augment"), p): the same image comes out differently
/// each time, and yet every batch can be had again.
///
/// There is no state: any batch can be asked for at any time, again, and from several threads at once. Copies
/// are cheap and share the data.
class Stream {
 public:
  /// Looks at `data`, which must outlive the stream and all its copies and stay where it is. Throws Error for
  /// no samples, a batch size below 1, and what SampleReader and check(Augmentation) refuse, as do the
  /// others.
  Stream(const Dataset& data, const StreamOptions& options);
  /// Keeps `data`.
  Stream(Dataset&& data, const StreamOptions& options);
  Stream(const Dataset&& data, const StreamOptions& options) = delete;
  /// Shares `data`.
  Stream(std::shared_ptr<const Dataset> data, const StreamOptions& options);
  /// Shares `data`, and draws from these samples only: the batches are those of a stream over
  /// take(*data, samples), without the copy. Throws Error for an index outside 0 .. n-1.
  Stream(std::shared_ptr<const Dataset> data, std::vector<int> samples, const StreamOptions& options);

  /// Batch k, 0 <= k. Throws Error outside that.
  Batch operator[](std::int64_t k) const;
  /// The same, into `out`; allocates only when `out` has another shape.
  void read(std::int64_t k, Batch& out) const;
  /// Which samples of data() batch k holds [batch].
  std::vector<int> indices(std::int64_t k) const;
  /// A sample of a batch, before it is read.
  struct Draw {
    std::size_t sample = 0;
    Placement placed = {};
  };
  /// Those of batch k, and how they are placed.
  std::vector<Draw> draws(std::int64_t k) const;

  int batch() const { return options_.batch; }
  const StreamOptions& options() const { return options_; }
  const Dataset& data() const { return *data_; }
  /// The same, with its owner; without one where the caller keeps it.
  const std::shared_ptr<const Dataset>& shared_data() const { return data_; }
  /// Number of samples in an epoch, n.
  int size() const { return samples_ ? static_cast<int>(samples_->size()) : data_->size(); }
  /// The samples it draws from, copied, as a data set of their own.
  Dataset pool() const { return samples_ ? take(*data_, *samples_) : *data_; }

 private:
  template <class Visit>
  void visit(std::int64_t k, const Visit& visit) const;

  std::shared_ptr<const Dataset> data_;
  std::shared_ptr<const std::vector<int>> samples_;  // null: all
  std::shared_ptr<const SampleReader> reader_;
  StreamOptions options_;
  autodiff::Seed seed_;
};

}  // namespace datasets
