// What a convolution does with its image before it reads it, in place of a chain that would write it first.
// No CUDA in here: tests match chains on the host.
#pragma once

#include <array>
#include <optional>

#include "autodiff/kernels/cuda/chain_patterns.h"
#include "autodiff/kernels/cuda/small_list.h"

namespace autodiff::kernels::cuda {

/// y = relu((x - mean) factor + shift + (other + other_shift)); what is null is left out. Arrays are [pixels,
/// channels], the rest are rows of them.
struct Prologue {
  const float *x = nullptr, *mean = nullptr, *factor = nullptr, *shift = nullptr;
  const float *other = nullptr, *other_shift = nullptr;
  float* y = nullptr;

  explicit operator bool() const { return x != nullptr; }
  /// What is read, where there are so many pixels and channels.
  std::array<Range, 6> reads(std::size_t pixels, std::size_t channels) const {
    const auto range = [](const float* p, std::size_t n) { return Range(p, p ? n : 0); };
    return {range(x, pixels * channels), range(other, pixels * channels), range(mean, channels),
            range(factor, channels),     range(shift, channels),          range(other_shift, channels)};
  }
};

/// The prologue that does what a chain does, with the same bits: a batch norm, with the relu and the sum
/// before it. (The end of a norm's gradient would be another such chain. But gradients of filters, which wait
/// for its result, then begin later, and a step took longer.)
inline std::optional<Prologue> prologue_of(const PointwiseDims& d, float* const* operands) {
  constexpr ChainTable norm = table_of(patterns::norm), norm_and_array = table_of(patterns::norm_and_array),
                       norm_and_shifted = table_of(patterns::norm_and_shifted);
  const ChainTable table = table_of(d);
  const bool has_other = !(table == norm);
  if (has_other && !(table == norm_and_array) && !(table == norm_and_shifted)) return std::nullopt;
  Prologue out;
  int next = 0;
  out.x = operands[next++];
  if (has_other) out.other = operands[next++];
  out.y = operands[next++];
  for (const float** row : {&out.mean, &out.factor, &out.shift}) *row = operands[next++];
  if (table == norm_and_shifted) out.other_shift = operands[next++];
  return out;
}

}  // namespace autodiff::kernels::cuda
