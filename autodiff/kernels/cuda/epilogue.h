// What a convolution does with its result before it writes it, in place of a chain that would read it again.
// No CUDA in here: tests match chains on the host.
#pragma once

#include <optional>

#include "autodiff/kernels/pointwise.h"

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

}  // namespace autodiff::kernels::cuda
