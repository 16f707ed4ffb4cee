// A Dataset: samples of one shape, each with a class.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "autodiff/tensor/shape.h"
#include "autodiff/tensor/tensor.h"

/// Readers, synthetic tasks, splits and batch streams.
namespace datasets {

/// Samples of one shape with their classes, in memory.
struct Dataset {
  std::string name;
  autodiff::Tensor features = autodiff::Tensor(autodiff::Shape{0, 1});  // [n, sample...], images [n, H, W, C]
  autodiff::Labels labels = autodiff::Labels(autodiff::Shape{0});       // [n], values 0 .. classes-1
  int classes = 0;
  std::vector<std::string> class_names{};  // one per class, or none

  /// Number of samples, n.
  int size() const { return features.shape().rank() == 0 ? 0 : features.shape()[0]; }
  /// Shape of one sample, [8, 8, 1] for a small grey image, [2] for two numbers.
  autodiff::Shape sample() const { return features.shape().sample(); }
  /// What to call class `c`: its name, or its number where there are no names.
  std::string class_name(int c) const;
};

/// Throws Error, naming the data and the first sample at fault, unless there is one label per sample, all
/// features are finite, all labels lie in 0 .. classes-1 and there is a name for every class or for none.
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
std::uint64_t content_hash(const Dataset& data);

}  // namespace datasets
