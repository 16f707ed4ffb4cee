#include "datasets/scaling.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <sstream>

#include "autodiff/tensor/error.h"
#include "autodiff/tensor/text.h"

namespace datasets {

using autodiff::fail;

Scaling cifar10_scaling() {
  return {
      .kind = Scale::standardize, .mean = {0.4914, 0.4822, 0.4465}, .deviation = {0.2470, 0.2435, 0.2616}};
}

Scaling cifar100_scaling() {
  return {
      .kind = Scale::standardize, .mean = {0.5071, 0.4867, 0.4408}, .deviation = {0.2675, 0.2565, 0.2761}};
}

namespace {

constexpr std::array kinds{"unit", "symmetric", "standardize"};

// " 0.5 0.25", each the shortest that reads back as the same.
std::string numbers(const std::vector<double>& values) {
  std::string out;
  for (const double x : values) {
    char digits[32];
    out += ' ' + std::string(digits, std::to_chars(digits, digits + sizeof digits, x).ptr);
  }
  return out;
}

}  // namespace

std::string to_text(const Scaling& scaling) {
  const std::string kind = kinds.at(static_cast<std::size_t>(scaling.kind));
  if (scaling.kind != Scale::standardize) return kind;
  return kind + numbers(scaling.mean) + " /" + numbers(scaling.deviation);
}

Scaling scaling_from_text(const std::string& text, const std::string& where) {
  Scaling out;
  std::vector<double>* list = &out.mean;
  std::istringstream words(text);
  std::string word;
  words >> word;
  const auto* const kind = std::find(kinds.begin(), kinds.end(), word);
  bool good = kind != kinds.end();
  if (good) out.kind = static_cast<Scale>(kind - kinds.begin());
  while (good && words >> word) {
    if (word == "/" && list == &out.mean) {
      list = &out.deviation;
      continue;
    }
    const char* const end = word.data() + word.size();
    const auto read = std::from_chars(word.data(), end, list->emplace_back());
    good = read.ec == std::errc() && read.ptr == end;
  }
  if (!good || to_text(out) != text) {
    fail(where, ": want a scale unit, symmetric or standardize MEAN... / DEVIATION..., got ",
         autodiff::in_quotes(text));
  }
  return out;
}

std::vector<float> byte_table(const Scaling& scaling, int channels, const std::string& name) {
  const auto& [kind, mean, deviation] = scaling;
  const auto width = static_cast<std::size_t>(channels);
  if (kind == Scale::standardize) {
    const auto fits = [&](std::size_t size) { return size == width || size == 1; };
    if (!fits(mean.size()) || !fits(deviation.size())) {
      fail(name, ": standardize wants a mean and a deviation for each of ", channels,
           " channels, or one for all; got ", mean.size(), " and ", deviation.size());
    }
    for (const double m : mean) {
      if (!std::isfinite(m)) fail(name, ": standardize wants finite means, got ", m);
    }
    for (const double d : deviation) {
      if (!(d > 0) || !std::isfinite(d)) fail(name, ": standardize wants finite deviations above 0, got ", d);
    }
  } else if (!mean.empty() || !deviation.empty()) {
    fail(name, ": only standardize has means and deviations");
  }
  std::vector<float> table(width * 256);
  for (std::size_t c = 0; c < width; ++c) {
    for (std::size_t v = 0; v < 256; ++v) {
      double x = static_cast<double>(v);
      if (kind == Scale::unit) x /= 255;
      if (kind == Scale::symmetric) x = (x - 127.5) / 127.5;
      if (kind == Scale::standardize) {
        x = (x / 255 - mean[std::min(c, mean.size() - 1)]) / deviation[std::min(c, deviation.size() - 1)];
      }
      table[c * 256 + v] = static_cast<float>(x);
    }
  }
  return table;
}

}  // namespace datasets
