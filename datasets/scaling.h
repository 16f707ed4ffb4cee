// What a byte of an image means as a number.
#pragma once

#include <string>
#include <vector>

namespace datasets {

/// unit: v / 255. symmetric: (v - 127.5) / 127.5. standardize: (v / 255 - mean) / deviation, per channel.
enum class Scale { unit, symmetric, standardize };

struct Scaling {
  Scale kind = Scale::unit;
  std::vector<double> mean{}, deviation{};  // of standardize: one per channel, or one for all channels
  bool operator==(const Scaling&) const = default;
};

/// standardize by the means and deviations that are usual for the training images of CIFAR-10.
Scaling cifar10_scaling();
/// The same of CIFAR-100.
Scaling cifar100_scaling();

/// "unit", "symmetric" or "standardize MEAN... / DEVIATION...", for the metadata of models.
std::string to_text(const Scaling& scaling);
/// The opposite, to the last bit. Throws Error beginning with `where` for other text.
Scaling scaling_from_text(const std::string& text, const std::string& where);

/// The number of every byte in every channel [channels, 256], computed in double and rounded once. Throws
/// Error beginning with `name` unless standardize has one mean and one deviation above 0 per channel (or one
/// for all), all finite, and the other two have none.
std::vector<float> byte_table(const Scaling& scaling, int channels, const std::string& name);

}  // namespace datasets
