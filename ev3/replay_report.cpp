// Comparing a replay's results with the expected ones.
#include <algorithm>
#include <cmath>
#include <cstdio>

#include "autodiff/tensor/error.h"
#include "ev3/replay.h"

namespace ev3 {
namespace {

using autodiff::DType;

// "0/explore/2/params/dense1.kernel" -> "explore.params"; "3/assess/mean" -> "assess.mean"; "1/stable/..." ->
// "stable"
std::string kind_of(const std::string& name) {
  std::vector<std::string> parts;
  std::size_t begin = 0;
  for (;;) {
    const std::size_t end = name.find('/', begin);
    parts.push_back(name.substr(begin, end - begin));
    if (end == name.npos) break;
    begin = end + 1;
  }
  if (parts.size() < 3) return "unknown";
  if (parts[1] == "explore") return "explore." + (parts.size() > 3 ? parts[3] : std::string("?"));
  if (parts[1] == "assess" || parts[1] == "adapt") return parts[1] + "." + parts[2];
  return parts[1];
}

std::vector<double> values_of(const nn::Safetensors& file, const nn::SafetensorsEntry& entry) {
  std::vector<double> out;
  if (entry.dtype == DType::F32) {
    const autodiff::Tensor tensor = file.tensor(entry.name);
    out.assign(tensor.begin(), tensor.end());
  } else {
    const autodiff::Labels labels = file.labels(entry.name);
    out.assign(labels.begin(), labels.end());
  }
  return out;
}

// The deviation of one array, or why it cannot be compared.
struct Deviation {
  double value = 0;
  std::string failure = {};
};

Deviation deviation(const nn::Safetensors& results, const nn::Safetensors& expected,
                    const nn::SafetensorsEntry& want) {
  const nn::SafetensorsEntry* got = results.find(want.name);
  if (!got) return {.failure = "missing"};
  if (got->dtype != want.dtype) {
    return {.failure =
                autodiff::text("of type ", dtype_name(got->dtype), ", expected ", dtype_name(want.dtype))};
  }
  if (got->shape != want.shape) {
    return {.failure = autodiff::text("of shape ", autodiff::sizes_text(got->shape), ", expected ",
                                      autodiff::sizes_text(want.shape))};
  }
  const std::vector<double> a = values_of(expected, want), b = values_of(results, *got);
  double difference = 0, scale = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (!std::isfinite(b[i])) return {.failure = "not finite"};
    difference = std::max(difference, std::abs(a[i] - b[i]));
    scale = std::max(scale, std::abs(a[i]));
  }
  return {.value = want.dtype == DType::F32 ? difference / std::max(scale, 1e-3) : difference};
}

}  // namespace

std::vector<Comparison> compare(const nn::Safetensors& results, const nn::Safetensors& expected,
                                const BundleSpec& spec) {
  std::vector<Comparison> all;
  const auto of_kind = [&](const std::string& name, DType dtype) -> Comparison& {
    const std::string kind = kind_of(name);
    for (Comparison& c : all) {
      if (c.kind == kind) return c;
    }
    const auto tolerance = spec.tolerance.find(kind);
    Comparison c{.kind = kind, .where = {}, .failures = {}};
    c.tolerance = dtype != DType::F32 ? 0 : tolerance == spec.tolerance.end() ? 1e-5 : tolerance->second;
    all.push_back(c);
    return all.back();
  };
  for (const nn::SafetensorsEntry& want : expected.entries()) {
    Comparison& c = of_kind(want.name, want.dtype);
    ++c.arrays;
    const Deviation d = deviation(results, expected, want);
    if (!d.failure.empty()) {
      c.failures.push_back(want.name + " is " + d.failure);
      continue;
    }
    if (d.value <= c.tolerance) ++c.good;
    if (d.value > c.worst || c.where.empty()) {
      c.worst = d.value;
      c.where = want.name;
    }
  }
  for (const nn::SafetensorsEntry& got : results.entries()) {
    if (expected.contains(got.name)) continue;
    Comparison& c = of_kind(got.name, got.dtype);
    ++c.arrays;
    c.failures.push_back(got.name + " is not expected");
  }
  return all;
}

std::string report(const std::vector<Comparison>& comparisons) {
  std::string out;
  int arrays = 0, good = 0;
  for (const Comparison& c : comparisons) {
    char line[256];
    std::snprintf(line, sizeof line, "%-18s %5d of %5d  worst %.1e (tolerance %.1e)%s%s  %s\n",
                  c.kind.c_str(), c.good, c.arrays, c.worst, c.tolerance, c.where.empty() ? "" : " at ",
                  c.where.c_str(), c.ok() ? "ok" : "NOT ok");
    out += line;
    for (std::size_t i = 0; i < std::min<std::size_t>(c.failures.size(), 5); ++i)
      out += "    " + c.failures[i] + "\n";
    arrays += c.arrays;
    good += c.good;
  }
  return out + std::to_string(good) + " of " + std::to_string(arrays) + " quantities within tolerance\n";
}

}  // namespace ev3
