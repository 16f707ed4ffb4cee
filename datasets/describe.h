// What a data set holds, for people: `ev3 data` prints it.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "datasets/dataset.h"

namespace datasets {

/// Figures of a data set; minimum, maximum, mean and standard deviation (over n) of all features together.
struct Description {
  std::string name;
  int samples = 0;
  autodiff::Shape sample;
  std::vector<std::string> class_names{};  // numbers where the data have no names
  std::vector<int> class_counts;
  float minimum = 0, maximum = 0;
  double mean = 0, deviation = 0;
  std::uint64_t content_hash = 0;

  /// Several lines, each ending in a newline, at most 120 columns where names are short.
  std::string str() const;
};

/// Throws Error for data that check() refuses or without samples.
Description describe(const Dataset& data);

/// One sample as lines of equal length: an image [H, W, C] in characters from ' ' (its smallest value) to '@'
/// (its largest; the mean over C), two characters a pixel when it is at most 16 wide and else two rows a
/// line; any other sample as one line of up to eight numbers.
std::vector<std::string> draw(const Dataset& data, int sample);

/// These samples side by side, in rows of at most `width` columns, each below its number and class.
std::string gallery(const Dataset& data, std::span<const int> samples, int width = 120);

}  // namespace datasets
