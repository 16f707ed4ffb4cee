// Samples as numbers, whether they lie in memory as floats or as bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "autodiff/tensor/shape.h"
#include "datasets/augment.h"
#include "datasets/scaling.h"

namespace datasets {

struct Dataset;

/// Reads single samples of a data set, bytes scaled. The only door to them: whoever needs the numbers of a
/// Dataset need not know how it keeps them. Looks at memory that must stay where it is; without a state, so
/// that threads may share it.
class SampleReader {
 public:
  /// The samples of `data`. Throws Error for a scaling that does not fit.
  explicit SampleReader(const Dataset& data);
  /// Bytes [n, sample...] that live elsewhere; errors begin with `name`.
  SampleReader(const std::uint8_t* pixels, const autodiff::Shape& sample, const Scaling& scaling,
               const std::string& name);

  /// Shape of one sample.
  const autodiff::Shape& sample() const { return sample_; }
  /// Writes sample i, `sample().size()` numbers, to `to`. i is not checked.
  void read(std::size_t i, float* to) const;
  /// The same of an image [H, W, C], cropped and flipped. Rows are copied with an offset, so it costs about
  /// as much as reading.
  void read(std::size_t i, const Placement& placement, float* to) const;

 private:
  const float* floats_ = nullptr;  // one of the two
  const std::uint8_t* pixels_ = nullptr;
  autodiff::Shape sample_;
  std::vector<float> table_;  // [channels, 256] of bytes
};

}  // namespace datasets
