#include "datasets/dataset.h"

#include <algorithm>
#include <cmath>

#include "autodiff/tensor/error.h"
#include "autodiff/tensor/hash.h"
#include "datasets/sample_reader.h"

namespace datasets {

using autodiff::fail;

std::string Dataset::class_name(int c) const {
  return class_names.empty() ? std::to_string(c) : class_names.at(static_cast<std::size_t>(c));
}

void check(const Dataset& data) {
  const auto& [name, features, labels, classes, class_names, pixels, scaling] = data;
  if (data.shape().rank() < 2) fail(name, ": want features [n, sample...], got shape ", data.shape());
  if (data.is_bytes() && features.size() > 0) {
    fail(name, ": want features or pixels, got both: ", features.shape(), " and ", pixels.shape());
  }
  if (labels.shape() != autodiff::Shape{data.size()}) {
    fail(name, ": want one label per sample, got features ", data.shape(), " and labels ", labels.shape());
  }
  if (classes < 1 && data.size() > 0) fail(name, ": want at least one class, got ", classes);
  if (!class_names.empty() && class_names.size() != static_cast<std::size_t>(classes)) {
    fail(name, ": want one name per class, got ", class_names.size(), " names for ", classes, " classes");
  }
  for (std::size_t i = 0; i < labels.size(); ++i) {
    if (labels[i] < 0 || labels[i] >= classes) {
      fail(name, ": sample ", i, ": want a label in 0 .. ", classes - 1, ", got ", labels[i]);
    }
  }
  const auto bad = std::find_if(features.begin(), features.end(), [](float x) { return !std::isfinite(x); });
  if (bad != features.end()) {
    const auto at = static_cast<std::size_t>(bad - features.begin()), width = data.sample().size();
    fail(name, ": sample ", at / width, ": want finite features, got ", *bad, " for feature ", at % width);
  }
}

void check_classes(const Dataset& data) {
  const std::vector<int> counts = class_counts(data);
  const auto empty = std::find(counts.begin(), counts.end(), 0);
  if (empty == counts.end()) return;
  fail(data.name, ": want samples of every class 0 .. ", data.classes - 1, ", got none of class ",
       data.class_name(static_cast<int>(empty - counts.begin())),
       " (labels must be 0, 1, 2, ... without gaps)");
}

std::vector<int> class_counts(const Dataset& data) {
  std::vector<int> counts(static_cast<std::size_t>(data.classes));
  for (const std::int32_t label : data.labels) ++counts.at(static_cast<std::size_t>(label));
  return counts;
}

namespace {

// The rows of `from` with these indices.
template <class T>
autodiff::BasicTensor<T> rows(const autodiff::BasicTensor<T>& from, std::span<const int> indices) {
  autodiff::BasicTensor<T> out(from.shape().with(0, static_cast<int>(indices.size())));
  const std::size_t width = from.shape().sample().size();
  for (std::size_t i = 0; i < indices.size(); ++i) {
    std::copy_n(from.data() + static_cast<std::size_t>(indices[i]) * width, width, out.data() + i * width);
  }
  return out;
}

}  // namespace

Dataset take(const Dataset& data, std::span<const int> indices) {
  for (const int i : indices) {
    if (i < 0 || i >= data.size()) fail(data.name, ": want an index in 0 .. ", data.size() - 1, ", got ", i);
  }
  Dataset out{.name = data.name,
              .labels = rows(data.labels, indices),
              .classes = data.classes,
              .class_names = data.class_names,
              .scaling = data.scaling};
  if (data.is_bytes()) {
    out.pixels = rows(data.pixels, indices);
  } else {
    out.features = rows(data.features, indices);
  }
  return out;
}

int classes_in(const autodiff::Labels& labels, const std::string& name) {
  int largest = 0;
  for (std::size_t i = 0; i < labels.size(); ++i) {
    if (labels[i] < 0 || static_cast<std::size_t>(labels[i]) >= labels.size()) {
      fail(name, ": sample ", i, ": want labels 0, 1, 2, ... without gaps, got ", labels[i], " among ",
           labels.size(), " samples");
    }
    largest = std::max(largest, labels[i]);
  }
  return largest + 1;
}

std::uint64_t content_hash(const Dataset& data) {
  std::uint64_t hash = autodiff::fnv1a64(std::as_bytes(data.shape().dims()));
  if (data.is_bytes()) {
    const SampleReader unit(data.pixels.data(), data.sample(), {}, data.name);
    std::vector<float> sample(data.sample().size());
    for (std::size_t i = 0; i < data.labels.size(); ++i) {
      unit.read(i, sample.data());
      hash = autodiff::fnv1a64(std::as_bytes(std::span(sample)), hash);
    }
  } else {
    hash = autodiff::fnv1a64(std::as_bytes(std::span(data.features.data(), data.features.size())), hash);
  }
  return autodiff::fnv1a64(std::as_bytes(std::span(data.labels.data(), data.labels.size())), hash);
}

}  // namespace datasets
