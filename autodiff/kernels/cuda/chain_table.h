// A chain of element-wise functions as a kernel takes it, by value. No CUDA in here: tests run the table on
// the host.
#pragma once

#include <algorithm>

#include "autodiff/kernels/pointwise.h"

namespace autodiff::kernels::cuda {

/// Operands are the arrays, the rows and the numbers of PointwiseDims, and then slots in shared memory: those
/// of its local operands, and one for every array that is read, which is filled before the first step, so
/// that all arrays are on their way at the same time.
inline constexpr int most_steps = 20, no_slot = 255;
struct Chain {
  int full = 0, repeated = 0, single = 0, steps = 0, inputs = 0, slots = 0;
  unsigned columns = 1;
  struct Step {
    unsigned char code, a, b, c, d, y, slot, adds,
        subtracts;  // y: an array, or none; slot: where the result is read
    float constant;
  } step[most_steps] = {};
  struct Input {
    unsigned char operand, slot;
  } input[most_pointwise_operands] = {};
  float* operands[most_pointwise_operands] = {};
};
static_assert(sizeof(Chain) <= 4000);
inline constexpr int first_binary = 16;  ///< codes of functions of two

/// Where the operands of a chain go. Throws nothing; the chain has at most most_steps steps.
inline Chain chain_of(const PointwiseDims& d) {
  Chain chain;
  chain.full = d.full, chain.repeated = d.repeated, chain.single = d.single;
  chain.steps = static_cast<int>(d.steps.size());
  chain.columns = static_cast<unsigned>(d.columns);
  chain.slots = d.local;
  const int first_slot = d.full + d.repeated + d.single;
  int slots[most_pointwise_operands];  // of the arrays; -1: none yet
  std::fill_n(slots, most_pointwise_operands, -1);
  bool written[most_pointwise_operands] = {};
  const auto byte = [](int number) { return static_cast<unsigned char>(number); };
  const auto source = [&](int number) {
    if (number >= d.full) return byte(number);
    if (slots[number] < 0) {
      slots[number] = chain.slots++;
      if (!written[number]) chain.input[chain.inputs++] = {byte(number), byte(slots[number])};
    }
    return byte(first_slot + slots[number]);
  };
  // Arrays that are written first and read afterwards get their slots before the steps are translated.
  for (std::size_t s = 0; s < d.steps.size(); ++s) {
    const PointwiseStep& step = d.steps[s];
    const auto reads = [&](int number) {
      return number < d.full && written[number] ? source(number) : byte(0);
    };
    reads(step.a);
    if (step.is_binary) reads(step.b);
    if (step.adds) reads(step.c);
    if (step.subtracts) reads(step.d);
    if (step.y < d.full && slots[step.y] < 0) written[step.y] = true;
  }
  std::fill_n(written, most_pointwise_operands, false);
  for (std::size_t s = 0; s < d.steps.size(); ++s) {
    const PointwiseStep& step = d.steps[s];
    const int code =
        step.is_binary ? first_binary + static_cast<int>(step.binary) : static_cast<int>(step.unary);
    Chain::Step& to = chain.step[s];
    to.code = byte(code);
    to.a = source(step.a);
    if (step.is_binary) to.b = source(step.b);
    if (step.adds) to.c = source(step.c);
    if (step.subtracts) to.d = source(step.d);
    to.adds = step.adds, to.subtracts = step.subtracts;
    to.constant = step.constant;
    const bool is_array = step.y < d.full;
    to.y = byte(is_array ? step.y : no_slot);
    to.slot = byte(!is_array ? step.y - first_slot : slots[step.y] >= 0 ? slots[step.y] : no_slot);
  }
  return chain;
}

}  // namespace autodiff::kernels::cuda
