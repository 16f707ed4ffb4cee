// A chain of element-wise functions as a kernel takes it, by value. No CUDA in here: tests run the table on
// the host.
#pragma once

#include <algorithm>

#include "autodiff/kernels/pointwise.h"

namespace autodiff::kernels::cuda {

/// A thread has a few columns of one row after the other. Values are in slots of its own, in shared memory:
/// what is read of rows and numbers that are the same for all rows, once; what is read of arrays, for every
/// row before the first step, so that all of it is on its way at the same time; and what steps leave to later
/// ones. What a step leaves to the next is not put there, the thread still has it.
inline constexpr int most_steps = 20, no_slot = 255, last_result = 254;
struct ChainTable {
  int steps = 0, inputs = 0, once = 0, slots = 0, sums = 0;
  int repeated_from = 0, single_from = 0, sums_from = 0;  ///< numbers of operands
  struct Step {
    unsigned char code = 0, a = 0, b = 0, c = 0, d = 0;        ///< slots, or last_result
    unsigned char y = no_slot, slot = no_slot, sum = no_slot;  ///< the array, slot and sum it goes to
    bool adds = false, subtracts = false;
    bool operator==(const Step&) const = default;
  } step[most_steps] = {};
  /// Arrays first, then from number `inputs` on what is read once.
  struct Input {
    unsigned char operand = 0, slot = 0;
    bool operator==(const Input&) const = default;
  } input[most_pointwise_operands] = {};
  bool operator==(const ChainTable&) const = default;
};
inline constexpr int first_binary = 16;  ///< codes of functions of two

struct Chain {
  ChainTable table;
  float constant[most_steps] = {};
  float* operands[most_pointwise_operands] = {};  ///< as in PointwiseDims, with the results of sums
  double factor[most_pointwise_sums] = {};        ///< of the sums
};

/// Where everything goes, for PointwiseDims or a Pattern of at most most_steps steps.
template <class Dims>
constexpr ChainTable table_of(const Dims& d) {
  ChainTable t;
  t.steps = static_cast<int>(d.steps.size());
  t.repeated_from = d.full, t.single_from = d.full + d.repeated;
  t.sums_from = t.single_from + d.single;
  const auto byte = [](int number) { return static_cast<unsigned char>(number); };
  constexpr int most_numbers = 2 * most_pointwise_operands;
  int slots[most_numbers] = {}, writer[most_numbers] = {};  // by operand; -1: none
  std::fill_n(slots, most_numbers, -1);
  std::fill_n(writer, most_numbers, -1);
  ChainTable::Input once[most_pointwise_operands] = {};
  // A slot for what a step reads, unless the step before leaves it.
  const auto source = [&](int s, int number) {
    if (s > 0 && writer[number] == s - 1) return byte(last_result);
    if (slots[number] < 0) {
      slots[number] = t.slots++;
      if (writer[number] < 0) {
        ChainTable::Input& in = number < d.full ? t.input[t.inputs++] : once[t.once++];
        in = ChainTable::Input{byte(number), byte(slots[number])};
      }
    }
    if (writer[number] >= 0) t.step[writer[number]].slot = byte(slots[number]);
    return byte(slots[number]);
  };
  for (int s = 0; s < t.steps; ++s) {
    const PointwiseStep& step = d.steps[static_cast<std::size_t>(s)];
    ChainTable::Step& to = t.step[s];
    to.code =
        byte(step.is_binary ? first_binary + static_cast<int>(step.binary) : static_cast<int>(step.unary));
    to.a = source(s, step.a);
    if (step.is_binary) to.b = source(s, step.b);
    if (step.adds) to.c = source(s, step.c);
    if (step.subtracts) to.d = source(s, step.d);
    to.adds = step.adds, to.subtracts = step.subtracts;
    if (step.y < d.full) to.y = byte(step.y);
    writer[step.y] = s;
  }
  std::copy_n(once, t.once, t.input + t.inputs);
  for (std::size_t k = 0; k < d.sums.size(); ++k) t.step[d.sums[k].step].sum = byte(t.sums++);
  return t;
}

inline Chain chain_of(const PointwiseDims& d) {
  Chain chain{.table = table_of(d)};
  for (std::size_t s = 0; s < d.steps.size(); ++s) chain.constant[s] = d.steps[s].constant;
  for (std::size_t k = 0; k < d.sums.size(); ++k) chain.factor[k] = 1 / d.sums[k].divisor;
  return chain;
}

}  // namespace autodiff::kernels::cuda
