#include "ev3/cli/data_logits.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "datasets/describe.h"

namespace ev3::cli {
namespace {

/// Minimum, maximum, mean and standard deviation of numbers that come one by one.
struct Figures {
  double low = std::numeric_limits<double>::infinity(), high = -low, sum = 0, squares = 0, count = 0;
  void add(double x, double times = 1) {
    if (times == 0) return;
    low = std::min(low, x);
    high = std::max(high, x);
    sum += times * x;
    squares += times * x * x;
    count += times;
  }
  double mean() const { return sum / count; }
  double deviation() const { return std::sqrt(std::max(0.0, squares / count - mean() * mean())); }
};

int choice(std::span<const float> logits) {
  return static_cast<int>(std::max_element(logits.begin(), logits.end()) - logits.begin());
}

}  // namespace

std::string describe(const LogitsFile& file) {
  file.check_sums();
  const auto rows = static_cast<std::size_t>(file.rows());
  std::array<double, 256> bytes{};
  for (std::size_t i = 0; i < rows * file.sample().size(); ++i) ++bytes[file.pixels()[i]];
  Figures images, logits;
  for (std::size_t v = 0; v < bytes.size(); ++v) images.add(static_cast<double>(v) / 255, bytes[v]);

  datasets::Description out{.name = file.name(),
                            .samples = file.rows(),
                            .sample = file.sample(),
                            .class_counts = std::vector<int>(static_cast<std::size_t>(file.classes())),
                            .minimum = static_cast<float>(images.low),
                            .maximum = static_cast<float>(images.high),
                            .mean = images.mean(),
                            .deviation = images.deviation(),
                            .content_hash = file.content_hash()};
  for (int c = 0; c < file.classes(); ++c) out.class_names.push_back(std::to_string(c));
  std::vector<float> row(static_cast<std::size_t>(file.classes()));
  std::size_t agreed = 0;
  for (std::size_t i = 0; i < rows; ++i) {
    file.copy_logits(i, 1, row.data());
    for (const float x : row) logits.add(static_cast<double>(x));
    const int chosen = choice(row);
    ++out.class_counts[static_cast<std::size_t>(chosen)];
    agreed += !file.labels().empty() && file.labels()[i] == chosen;
  }
  return out.str() +
         fmt::format("the counts are those of the teacher's choices; {}\n",
                     file.labels().empty()
                         ? "the file has no true classes"
                         : fmt::format("{:.1f} % of them are the true class",
                                       100.0 * static_cast<double>(agreed) / static_cast<double>(rows))) +
         fmt::format("logits  min {:.4g}  max {:.4g}  mean {:.4g}  sd {:.4g}\n", logits.low, logits.high,
                     logits.mean(), logits.deviation());
}

std::string gallery(const LogitsFile& file, std::span<const int> rows, int width) {
  if (rows.empty()) return "";
  const int n = static_cast<int>(rows.size());
  datasets::Dataset drawn{.name = file.name(),
                          .labels = autodiff::Labels(autodiff::Shape{n}),
                          .classes = n,
                          .pixels = datasets::Pixels(file.sample().batched(n))};
  std::vector<float> logits(static_cast<std::size_t>(file.classes()));
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const auto row = static_cast<std::size_t>(rows[i]);
    const std::size_t size = file.sample().size();
    std::copy_n(file.pixels() + row * size, size, drawn.pixels.data() + i * size);
    file.copy_logits(row, 1, logits.data());
    drawn.labels[i] = static_cast<std::int32_t>(i);
    drawn.class_names.push_back(
        fmt::format("row {}, {}{}", row, choice(logits),
                    file.labels().empty() ? "" : fmt::format(" (is {})", file.labels()[row])));
  }
  std::vector<int> all(rows.size());
  std::iota(all.begin(), all.end(), 0);
  return '\n' + datasets::gallery(drawn, all, width);
}

}  // namespace ev3::cli
