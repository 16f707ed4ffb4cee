// A Dataset: samples of one shape, each with a class.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "autodiff/tensor/shape.h"
#include "autodiff/tensor/tensor.h"
#include "datasets/scaling.h"

/// Readers, synthetic tasks, splits and batch streams.
namespace datasets {

using Pixels = autodiff::BasicTensor<std::uint8_t>;

/// Samples of one shape with their classes, in memory. They are kept as numbers (`features`) or, as files of
/// images have them and in a quarter of the memory, as bytes (`pixels`) with a scaling that says what number
/// a byte is. SampleReader reads both.
struct Dataset {
  std::string name;
  autodiff::Tensor features = autodiff::Tensor(autodiff::Shape{0, 1});  // [n, sample...], images [n, H, W, C]
  autodiff::Labels labels = autodiff::Labels(autodiff::Shape{0});       // [n], values 0 .. classes-1
  int classes = 0;
  std::vector<std::string> class_names{};      // one per class, or none
  Pixels pixels = Pixels(autodiff::Shape{0});  // [n, sample...] in place of features, which are then empty
  Scaling scaling{};                           // of pixels

  /// Whether the samples are bytes.
  bool is_bytes() const { return pixels.shape().rank() > 1; }
  /// Shape of all samples, [n, sample...].
  const autodiff::Shape& shape() const { return is_bytes() ? pixels.shape() : features.shape(); }
  /// Number of samples, n.
  int size() const { return shape().rank() == 0 ? 0 : shape()[0]; }
  /// Shape of one sample, [8, 8, 1] for a small grey image, [2] for two numbers.
  autodiff::Shape sample() const { return shape().sample(); }
  /// What to call class `c`: its name, or its number where there are no names.
  std::string class_name(int c) const;
};

/// Throws Error, naming the data and the first sample at fault, unless there is one label per sample, all
/// features are finite, all labels lie in 0 .. classes-1, there is a name for every class or for none, and
/// there are not both features and pixels.
void check(const Dataset& data);

/// Throws Error unless every class has at least one sample; for data as read, where a gap usually means
/// labels that do not count from 0.
void check_classes(const Dataset& data);

/// The number of classes that the labels of a file mean: 1 + the largest. Throws Error, beginning with
/// `name`, for a negative label and for one not below the number of samples (then some class would have
/// none).
int classes_in(const autodiff::Labels& labels, const std::string& name);

/// Number of samples per class [classes]. Labels must be in range.
std::vector<int> class_counts(const Dataset& data);

/// The samples with these indices, in this order (repetitions allowed), under the same name.
/// Throws Error for an index outside 0 .. n-1.
Dataset take(const Dataset& data, std::span<const int> indices);

/// 64 bits that tell data sets apart: FNV-1a over the shape, the features and the labels (not the names).
/// Bytes count as their features v / 255 whatever the scaling, so that it does not matter how the same images
/// are kept.
std::uint64_t content_hash(const Dataset& data);

}  // namespace datasets
