// What a convolution does with its result before it writes it, in place of a chain that would read it again.
// No CUDA in here: tests match chains on the host.
#pragma once

#include <optional>

#include "autodiff/kernels/cuda/chain_patterns.h"

namespace autodiff::kernels::cuda {

/// y = relu((c + row) + (array + array_row)) of the result c [pixels, filters]; what is null is left out.
struct Epilogue {
  const float *row = nullptr, *array = nullptr, *array_row = nullptr;
  bool relu = false;
  float* y = nullptr;
};

/// The epilogue that does what a chain does, with the same bits, where operand d.spent is c.
inline std::optional<Epilogue> epilogue_of(const PointwiseDims& d, float* const* operands) {
  if (d.spent < 0 || !d.sums.empty()) return std::nullopt;
  struct Term {  // of an operand: c or an array, with a row perhaps
    bool known = false, is_c = false, has_array = false;
    Epilogue e = {};
    bool is_row() const { return known && !is_c && !has_array; }
  };
  std::vector<Term> terms(static_cast<std::size_t>(d.full + d.repeated + d.single + d.local));
  const auto term = [&](int number) -> Term& { return terms[static_cast<std::size_t>(number)]; };
  for (int k = 0; k < d.full; ++k) {
    const bool is_c = k == d.spent;
    term(k) = {true, is_c, !is_c, {.array = is_c ? nullptr : operands[k]}};
  }
  for (int k = d.full; k < d.full + d.repeated; ++k) term(k) = {.known = true, .e = {.row = operands[k]}};
  for (std::size_t s = 0; s < d.steps.size(); ++s) {
    const PointwiseStep& step = d.steps[s];
    const bool is_last = s + 1 == d.steps.size();
    if ((step.y < d.full) != is_last || step.subtracts || step.adds) return std::nullopt;
    Term a = term(step.a);
    if (!a.known || a.e.relu) return std::nullopt;
    if (!step.is_binary) {
      if (step.unary != Unary::relu || !a.is_c) return std::nullopt;
      a.e.relu = true;
    } else {
      Term b = term(step.b);
      if (step.binary != Binary::add || !b.known || b.e.relu) return std::nullopt;
      if (a.is_row() || (b.is_c && !a.is_c)) std::swap(a, b);
      if (b.is_row()) {  // c + row, or array + row
        if (a.is_row() || (a.is_c && a.has_array)) return std::nullopt;
        const float*& to = a.is_c ? a.e.row : a.e.array_row;
        if (to) return std::nullopt;
        to = b.e.row;
      } else {  // and the sum of both
        if (!a.is_c || a.has_array || b.is_c) return std::nullopt;
        a.has_array = true;
        a.e.array = b.e.array;
        a.e.array_row = b.e.array_row;
      }
    }
    if (is_last) {
      if (!a.is_c) return std::nullopt;
      a.e.y = operands[step.y];
      return a.e;
    }
    term(step.y) = a;
  }
  return std::nullopt;
}

/// The gradient of a batch norm that a relu follows, where the convolution's result c, or c + other, is that
/// of the relu: g = c where the relu's result is positive, else 0; and the sums of g and of g (x - mean),
/// with factors.
struct NormGradient {
  const float *other = nullptr, *relu = nullptr, *x = nullptr, *mean = nullptr;
  float *g = nullptr, *sums[2] = {};
  double factors[2] = {};
};

/// The same as a chain, where operand d.spent is c and the chain does this.
inline std::optional<NormGradient> norm_gradient_of(const PointwiseDims& d, float* const* operands) {
  if (d.spent < 0 || d.sums.size() != 2) return std::nullopt;
  constexpr ChainTable of_one = table_of(patterns::norm_gradient),
                       of_two = table_of(patterns::norm_gradient_of_two);
  const ChainTable table = table_of(d);
  const bool two = table == of_two;
  if (!two && table != of_one) return std::nullopt;
  if (two ? d.spent > 1 : d.spent != 1) return std::nullopt;
  NormGradient out{.other = two ? operands[1 - d.spent] : nullptr};
  const int relu = two ? 2 : 0;
  out.relu = operands[relu], out.g = operands[2 + (two ? 1 : 0)], out.x = operands[d.full - 1];
  out.mean = operands[d.full];
  for (std::size_t k = 0; k < 2; ++k) {
    out.sums[k] = operands[static_cast<std::size_t>(table.sums_from) + k];
    out.factors[k] = 1 / d.sums[k].divisor;
  }
  return out;
}

}  // namespace autodiff::kernels::cuda
