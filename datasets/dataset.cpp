#include "datasets/dataset.h"

#include <algorithm>
#include <cmath>

#include "autodiff/tensor/error.h"
#include "autodiff/tensor/hash.h"

namespace datasets {

using autodiff::fail;

std::string Dataset::class_name(int c) const {
  return class_names.empty() ? std::to_string(c) : class_names.at(static_cast<std::size_t>(c));
}

void check(const Dataset& data) {
  const auto& [name, features, labels, classes, class_names] = data;
  if (features.shape().rank() < 2) {
    fail(name, ": want features [n, sample...], got shape ", features.shape());
  }
  if (labels.shape() != autodiff::Shape{data.size()}) {
    fail(name, ": want one label per sample, got features ", features.shape(), " and labels ",
         labels.shape());
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

Dataset take(const Dataset& data, std::span<const int> indices) {
  const int n = static_cast<int>(indices.size());
  const std::size_t width = data.sample().size();
  Dataset out{.name = data.name,
              .features = autodiff::Tensor(data.sample().batched(n)),
              .labels = autodiff::Labels(autodiff::Shape{n}),
              .classes = data.classes,
              .class_names = data.class_names};
  for (std::size_t i = 0; i < indices.size(); ++i) {
    if (indices[i] < 0 || indices[i] >= data.size()) {
      fail(data.name, ": want an index in 0 .. ", data.size() - 1, ", got ", indices[i]);
    }
    const auto from = static_cast<std::size_t>(indices[i]);
    std::copy_n(data.features.data() + from * width, width, out.features.data() + i * width);
    out.labels[i] = data.labels[from];
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
  std::uint64_t hash = autodiff::fnv1a64(std::as_bytes(data.features.shape().dims()));
  hash = autodiff::fnv1a64(std::as_bytes(std::span(data.features.data(), data.features.size())), hash);
  return autodiff::fnv1a64(std::as_bytes(std::span(data.labels.data(), data.labels.size())), hash);
}

}  // namespace datasets
