// What the kernels of a CUDA device are told of chains, checked on the host: their tables, and the epilogues
// of convolutions.
#include <cstring>

#include "autodiff/kernels/cuda/chain_table.h"
#include "autodiff/kernels/cuda/epilogue.h"
#include "autodiff/kernels/elementwise.h"
#include "tests/catch.h"
#include "tests/picker.h"

using namespace autodiff;
using namespace autodiff::kernels;
using tests::Picker;

namespace {

// What a step of PointwiseDims says, on numbers.
float result_of(const PointwiseStep& step, const std::vector<float>& values) {
  const auto at = [&](int k) { return values[static_cast<std::size_t>(k)]; };
  if (!step.is_binary) return unary_reference(step.unary, at(step.a), static_cast<double>(step.constant));
  const float left = step.subtracts ? at(step.a) - at(step.d) : at(step.a);
  const float y = binary_reference(step.binary, left, at(step.b));
  return step.adds ? y + at(step.c) : y;
}

// The table for one element, as a thread of the kernel walks it: arrays that are written, by number, and then
// what goes to sums.
std::vector<float> walk(const cuda::Chain& all, std::vector<float> operands) {
  const cuda::ChainTable& chain = all.table;
  std::vector<float> slots(static_cast<std::size_t>(chain.slots), NAN), sums(3, NAN);
  float v = NAN;
  const auto load = [&](int k) { return k == cuda::last_result ? v : slots.at(static_cast<std::size_t>(k)); };
  for (int k = 0; k < chain.inputs + chain.once; ++k) {
    CHECK((chain.input[k].operand < chain.repeated_from) == (k < chain.inputs));
    slots.at(chain.input[k].slot) = operands[chain.input[k].operand];
  }
  for (int s = 0; s < chain.steps; ++s) {
    const cuda::ChainTable::Step& step = chain.step[s];
    float a = load(step.a);
    if (step.code < cuda::first_binary) {
      a = unary_reference(static_cast<Unary>(step.code), a, static_cast<double>(all.constant[s]));
    } else {
      const float b = load(step.b);
      if (step.subtracts) a -= load(step.d);
      a = binary_reference(static_cast<Binary>(step.code - cuda::first_binary), a, b);
      if (step.adds) a += load(step.c);
    }
    v = a;
    if (step.y != cuda::no_slot) operands[step.y] = a;
    if (step.slot != cuda::no_slot) slots[step.slot] = a;
    if (step.sum != cuda::no_slot) sums.at(step.sum) = a;
  }
  operands.insert(operands.end(), sums.begin(), sums.end());
  return operands;
}

}  // namespace

TEST_CASE(
    "the table of a chain computes what its steps say, whatever is an array, a row, a number or none of "
    "them") {
  for (std::uint64_t seed = 0; seed < 300; ++seed) {
    const Random random{Seed{seed}};
    Picker pick{random};
    // Arrays: some are read only, the others are written by the steps.
    PointwiseDims d{
        .columns = 4, .full = 2 + pick(4), .repeated = pick(3), .single = pick(3), .local = 1 + pick(4)};
    const int read_only = 1 + pick(d.full - 1), fixed = d.full + d.repeated + d.single, all = fixed + d.local;
    std::vector<int> readable;
    for (int k = 0; k < fixed; ++k) {
      if (k < read_only || k >= d.full) readable.push_back(k);
    }
    std::vector<int> unwritten;
    for (int k = read_only; k < d.full; ++k) unwritten.push_back(k);
    const auto source = [&] {
      return readable[static_cast<std::size_t>(pick(static_cast<int>(readable.size())))];
    };
    const int steps = static_cast<int>(unwritten.size()) + pick(8);
    for (int s = 0; s < steps; ++s) {
      PointwiseStep step;
      step.is_binary = pick(2) == 1;
      step.unary = pick(2) ? Unary::relu : Unary::scale;
      step.constant = 0.5f;
      constexpr Binary kinds[] = {Binary::add, Binary::sub, Binary::mul, Binary::relu_grad};
      step.binary = kinds[pick(4)];
      if (step.is_binary && step.binary == Binary::mul)
        step.subtracts = pick(2) == 1, step.adds = pick(2) == 1;
      step.a = source(), step.b = source(), step.c = source(), step.d = source();
      const bool writes_array =
          !unwritten.empty() && (pick(2) == 0 || s >= steps - static_cast<int>(unwritten.size()));
      if (writes_array) {
        step.y = unwritten.back();
        unwritten.pop_back();
      } else {
        step.y = fixed + pick(d.local);
      }
      if (std::find(readable.begin(), readable.end(), step.y) == readable.end()) readable.push_back(step.y);
      d.steps.push_back(step);
    }
    for (int s = 0; s < steps && d.sums.size() < 3; ++s) {
      if (pick(3) == 0) d.sums.push_back({.step = s, .divisor = 1.0 + s});
    }
    std::vector<float> want(static_cast<std::size_t>(all), NAN);
    for (int k = 0; k < fixed; ++k)
      want[static_cast<std::size_t>(k)] =
          static_cast<float>(random.normal(1000 + static_cast<std::uint64_t>(k)));
    const std::vector<float> got = walk(cuda::chain_of(d), want);
    std::vector<float> results;
    for (const PointwiseStep& step : d.steps) {
      results.push_back(result_of(step, want));
      want[static_cast<std::size_t>(step.y)] = results.back();
    }
    INFO("chain " << seed);
    for (std::size_t k = 0; k < d.sums.size(); ++k) {
      const float sum = got[static_cast<std::size_t>(all) + k],
                  result = results[static_cast<std::size_t>(d.sums[k].step)];
      CHECK(std::memcmp(&sum, &result, sizeof(float)) == 0);
    }
    for (int k = 0; k < d.full; ++k) {
      const auto i = static_cast<std::size_t>(k);
      CHECK(std::memcmp(&got[i], &want[i], sizeof(float)) == 0);
    }
  }
}

// Sums and relus of numbers, in any order: what an epilogue does must have the bits of the steps.
TEST_CASE("the epilogue of a convolution computes what the steps of the chain say, or there is none") {
  int found = 0, arrays = 0, rows = 0;
  for (std::uint64_t seed = 0; seed < 40000; ++seed) {
    const Random random{Seed{seed}};
    Picker pick{random};
    // The result of the convolution and another array, the chain's; two rows.
    PointwiseDims d{.columns = 4, .full = 3, .repeated = 2, .local = 4, .spent = 0};
    std::vector<int> readable{0, 1, 3, 4};
    const auto source = [&] {  // mostly what was computed last
      const int n = static_cast<int>(readable.size());
      return readable[static_cast<std::size_t>(pick(2) ? n - 1 : pick(n))];
    };
    const int steps = 1 + pick(4);
    for (int s = 0; s < steps; ++s) {
      PointwiseStep step;
      step.is_binary = pick(6) > 0;
      step.unary = pick(8) ? Unary::relu : Unary::tanh;
      step.binary = pick(10) ? Binary::add : Binary::sub;
      step.a = source(), step.b = source();
      step.y = s + 1 < steps ? 5 + s : 2;
      readable.push_back(step.y);
      d.steps.push_back(step);
    }
    std::vector<float> values(9);
    for (std::size_t k = 0; k < 5; ++k) values[k] = static_cast<float>(random.normal(1000 + k));
    std::vector<float*> operands;
    for (float& v : values) operands.push_back(&v);
    const auto e = cuda::epilogue_of(d, operands.data());
    if (!e) continue;
    ++found;
    arrays += e->array != nullptr;
    rows += e->row != nullptr && e->array_row != nullptr;
    float got = values[0];
    if (e->row) got += *e->row;
    if (e->array) got += e->array_row ? *e->array + *e->array_row : *e->array;
    if (e->relu) got = unary_reference(Unary::relu, got, 0);
    for (const PointwiseStep& step : d.steps)
      values[static_cast<std::size_t>(step.y)] = result_of(step, values);
    INFO("chain " << seed);
    CHECK(e->y == &values[2]);
    CHECK(std::memcmp(&got, &values[2], sizeof(float)) == 0);
  }
  CHECK(found > 300);
  CHECK(arrays > 100);
  CHECK(rows > 4);
}
