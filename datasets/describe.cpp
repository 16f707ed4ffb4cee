#include "datasets/describe.h"

#include <algorithm>
#include <cmath>
#include <iomanip>
#include <limits>
#include <sstream>
#include <string_view>

#include "autodiff/tensor/error.h"
#include "autodiff/tensor/text.h"
#include "datasets/sample_reader.h"

namespace datasets {
namespace {

std::string draw_numbers(std::span<const float> values) {
  constexpr std::size_t most = 8;
  std::ostringstream out;
  out << std::setprecision(4);
  for (std::size_t i = 0; i < std::min(most, values.size()); ++i) out << (i ? ", " : "") << values[i];
  if (values.size() > most) out << ", ...";
  return out.str();
}

}  // namespace

Description describe(const Dataset& data) {
  check(data);
  if (data.size() == 0 || data.sample().size() == 0)
    autodiff::fail(data.name, ": want at least one sample, got none");
  Description out{.name = data.name,
                  .samples = data.size(),
                  .sample = data.sample(),
                  .class_counts = class_counts(data),
                  .content_hash = content_hash(data)};
  for (int c = 0; c < data.classes; ++c) out.class_names.push_back(data.class_name(c));
  const SampleReader reader(data);
  std::vector<float> sample(data.sample().size());
  const auto for_each = [&](const auto& action) {
    for (std::size_t i = 0; i < data.labels.size(); ++i) {
      reader.read(i, sample.data());
      std::for_each(sample.begin(), sample.end(), action);
    }
  };
  const auto count = static_cast<double>(data.size()) * static_cast<double>(sample.size());
  out.minimum = std::numeric_limits<float>::infinity();
  out.maximum = -out.minimum;
  for_each([&](float x) {
    out.minimum = std::min(out.minimum, x);
    out.maximum = std::max(out.maximum, x);
    out.mean += x / count;
  });
  double squares = 0;
  for_each([&](float x) { squares += (x - out.mean) * (x - out.mean); });
  out.deviation = std::sqrt(squares / count);
  return out;
}

std::string Description::str() const {
  std::ostringstream out;
  out << name << ": " << samples << " samples " << sample << ", " << class_counts.size()
      << " classes, content " << autodiff::hex(content_hash) << '\n';
  out << std::setprecision(4) << "features  min " << minimum << "  max " << maximum << "  mean " << mean
      << "  sd " << deviation << '\n';
  std::size_t widest = 5;
  for (const std::string& class_name : class_names) widest = std::max(widest, class_name.size());
  const int most = *std::max_element(class_counts.begin(), class_counts.end());
  for (std::size_t c = 0; c < class_counts.size(); ++c) {
    const std::string bar(static_cast<std::size_t>(40.0 * class_counts[c] / most + 0.5), '#');
    out << std::setw(static_cast<int>(widest)) << class_names[c] << std::setw(9) << class_counts[c]
        << std::setw(7) << std::fixed << std::setprecision(1) << 100.0 * class_counts[c] / samples << "%  "
        << bar << '\n';
  }
  return out.str();
}

std::vector<std::string> draw(const Dataset& data, int sample) {
  if (sample < 0 || sample >= data.size()) {
    autodiff::fail(data.name, ": want a sample in 0 .. ", data.size() - 1, ", got ", sample);
  }
  const autodiff::Shape shape = data.sample();
  std::vector<float> values(shape.size());
  SampleReader(data).read(static_cast<std::size_t>(sample), values.data());
  if (shape.rank() != 3 || shape.size() == 0) return {draw_numbers(values)};

  constexpr std::string_view shades = " .:-=+*#%@";
  const auto [low, high] = std::minmax_element(values.begin(), values.end());
  const float range = *high > *low ? *high - *low : 1;
  const int height = shape[0], width = shape[1], channels = shape[2];
  const int rows_a_line = width <= 16 ? 1 : 2;
  const std::size_t characters = width <= 16 ? 2 : 1;
  std::vector<std::string> lines;
  for (int y = 0; y < height; y += rows_a_line) {
    const int rows = std::min(rows_a_line, height - y);
    std::string line;
    for (int x = 0; x < width; ++x) {
      float sum = 0;
      for (int row = y; row < y + rows; ++row) {
        for (int c = 0; c < channels; ++c) {
          sum += values[static_cast<std::size_t>((row * width + x) * channels + c)] - *low;
        }
      }
      const float level = sum / static_cast<float>(rows * channels) / range;  // 0 .. 1
      const auto shade = static_cast<std::size_t>(level * static_cast<float>(shades.size() - 1) + 0.5f);
      line.append(characters, shades[std::min(shade, shades.size() - 1)]);
    }
    lines.push_back(line);
  }
  return lines;
}

std::string gallery(const Dataset& data, std::span<const int> samples, int width) {
  std::vector<std::vector<std::string>> pictures;  // all with the same number of lines
  std::size_t cell = 0;
  for (const int sample : samples) {
    std::vector<std::string> picture = draw(data, sample);
    const std::int32_t label = data.labels[static_cast<std::size_t>(sample)];
    picture.insert(picture.begin(), autodiff::text('#', sample, ": ", data.class_name(label)));
    for (const std::string& line : picture) cell = std::max(cell, line.size() + 2);
    pictures.push_back(std::move(picture));
  }
  const std::size_t per_row =
      std::max<std::size_t>(1, cell == 0 ? 1 : static_cast<std::size_t>(width + 2) / cell);
  std::string out;
  for (std::size_t begin = 0; begin < pictures.size(); begin += per_row) {
    const std::size_t end = std::min(begin + per_row, pictures.size());
    for (std::size_t line = 0; line < pictures[begin].size(); ++line) {
      std::string joined;
      for (std::size_t i = begin; i < end; ++i) {
        joined += pictures[i][line];
        joined.resize((i - begin + 1) * cell, ' ');
      }
      out += joined.erase(joined.find_last_not_of(' ') + 1) + '\n';
    }
  }
  return out;
}

}  // namespace datasets
