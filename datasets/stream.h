// Random-access batches: batch k is a pure function of (data, options, k).
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "autodiff/tensor/random.h"
#include "datasets/dataset.h"

namespace datasets {

/// Some samples and their classes, side by side.
struct Batch {
  autodiff::Tensor features;  // [batch, sample...]
  autodiff::Labels labels;    // [batch]
};

struct StreamOptions {
  int batch = 32;
  std::uint64_t seed = 0;
  bool shuffle = true;  // false: the order of the data, over and over
};

/// An endless sequence of batches of one Dataset. Every epoch visits each sample once, in an order of its
/// own; batches run on across the border between epochs, so all have the same size (which may exceed the
/// number of samples):
///
///     position p = k batch + row,   epoch = p / n,   sample = Permutation(seed.stream(epoch), n)(p % n)
///
/// There is no state: any batch can be asked for at any time, again, and from several threads at once. Copies
/// are cheap and share the data.
class Stream {
 public:
  /// Looks at `data`, which must outlive the stream and all its copies and stay where it is. Throws Error for
  /// no samples or a batch size below 1, as do the other two.
  Stream(const Dataset& data, const StreamOptions& options);
  /// Keeps `data`.
  Stream(Dataset&& data, const StreamOptions& options);
  Stream(const Dataset&& data, const StreamOptions& options) = delete;
  /// Shares `data`.
  Stream(std::shared_ptr<const Dataset> data, const StreamOptions& options);

  /// Batch k, 0 <= k. Throws Error outside that.
  Batch operator[](std::int64_t k) const;
  /// The same, into `out`; allocates only when `out` has another shape.
  void read(std::int64_t k, Batch& out) const;
  /// Which samples batch k holds [batch].
  std::vector<int> indices(std::int64_t k) const;

  int batch() const { return options_.batch; }
  const Dataset& data() const { return *data_; }

 private:
  template <class Visit>
  void visit(std::int64_t k, const Visit& visit) const;

  std::shared_ptr<const Dataset> data_;
  StreamOptions options_;
  autodiff::Seed seed_;
};

}  // namespace datasets
