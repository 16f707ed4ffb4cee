// Chains of element-wise functions, a few rows at a time.
#include <algorithm>

#include "autodiff/kernels/simd/simd.h"
#include "autodiff/kernels/simd/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "autodiff/kernels/simd/pointwise.cpp"
#include <hwy/foreach_target.h>

#include "autodiff/kernels/simd/elementwise_inl.h"

HWY_BEFORE_NAMESPACE();
namespace autodiff::kernels::simd::HWY_NAMESPACE {
#if EV3_HAVE_VECTORS
namespace {

// Elements of a block: so few that a dozen arrays, walked together, remain streams for the prefetcher, and
// that what is between the steps fits in the first-level cache beside them. Twice as many took a fifth more
// time.
constexpr std::size_t block_size = 8 * lanes<Full>;
static_assert(block_size <= pointwise_block);

// Where arrays are longer than the caches, the prefetchers of some CPUs do not keep up with so many of them
// (7 to 14 % of the time of a residual net's chains on an Emerald Rapids): so many elements ahead of the
// steps, blocks are fetched, those of a few arrays beside each step.
constexpr std::size_t ahead = 256, many_elements = 32 << 10;

// Where the n elements of the current block are.
struct Block {
  std::size_t n;
  float* const* operands;
};

// body(load, store) as in for_each_vector.
template <class Body>
HWY_INLINE void walk(const Block& block, Body body) {
  const Full d;
  if (block.n != block_size) return for_each_vector(block.n, body);
#pragma GCC unroll 8
  for (std::size_t i = 0; i < block_size; i += lanes<Full>) {
    body([=](const float* x) HWY_ATTR { return hn::LoadU(d, x + i); },
         [=](Vector v, float* y) HWY_ATTR { hn::StoreU(v, d, y + i); });
  }
}

template <Unary kind>
HWY_INLINE void apply(const PointwiseStep& step, const Block& block) {
  const float* x = block.operands[step.a];
  float* y = block.operands[step.y];
  const Vector constant = set(step.constant);
  walk(block, [&](auto load, auto store) HWY_ATTR { store(unary<kind>(load(x), constant), y); });
}

template <Binary kind>
HWY_INLINE void apply(const PointwiseStep& step, const Block& block) {
  const float *a = block.operands[step.a], *b = block.operands[step.b];
  float* y = block.operands[step.y];
  walk(block, [&](auto load, auto store) HWY_ATTR { store(binary<kind>(load(a), load(b)), y); });
}

template <bool subtracts, bool adds>
HWY_INLINE void multiply(const PointwiseStep& step, const Block& block) {
  const float *a = block.operands[step.a], *b = block.operands[step.b];
  const float *c = block.operands[step.c], *d = block.operands[step.d];
  float* y = block.operands[step.y];
  walk(block, [&](auto load, auto store) HWY_ATTR {
    const Vector product = hn::Mul(subtracts ? hn::Sub(load(a), load(d)) : load(a), load(b));
    store(adds ? hn::Add(product, load(c)) : product, y);
  });
}

HWY_INLINE void apply(const PointwiseStep& step, const Block& block) {
  if (step.subtracts)
    return step.adds ? multiply<true, true>(step, block) : multiply<true, false>(step, block);
  if (step.adds) return multiply<false, true>(step, block);
  if (step.is_binary) {
    switch (step.binary) {
      case Binary::add:
        return apply<Binary::add>(step, block);
      case Binary::sub:
        return apply<Binary::sub>(step, block);
      case Binary::mul:
        return apply<Binary::mul>(step, block);
      case Binary::div:
        return apply<Binary::div>(step, block);
      case Binary::equal:
        return apply<Binary::equal>(step, block);
      case Binary::relu_grad:
        return apply<Binary::relu_grad>(step, block);
      case Binary::tanh_grad:
        return apply<Binary::tanh_grad>(step, block);
      case Binary::sigmoid_grad:
        return apply<Binary::sigmoid_grad>(step, block);
    }
  }
  switch (step.unary) {
    case Unary::relu:
      return apply<Unary::relu>(step, block);
    case Unary::tanh:
      return apply<Unary::tanh>(step, block);
    case Unary::sigmoid:
      return apply<Unary::sigmoid>(step, block);
    case Unary::exp:
      return apply<Unary::exp>(step, block);
    case Unary::log:
      return apply<Unary::log>(step, block);
    case Unary::sqrt:
      return apply<Unary::sqrt>(step, block);
    case Unary::square:
      return apply<Unary::square>(step, block);
    case Unary::scale:
      return apply<Unary::scale>(step, block);
    case Unary::shift:
      return apply<Unary::shift>(step, block);
  }
}

void pointwise(const PointwiseDims& d, std::size_t rows, float* const* operands) {
  const auto full = static_cast<std::size_t>(d.full), repeated = static_cast<std::size_t>(d.repeated);
  const auto single = static_cast<std::size_t>(d.single), local = static_cast<std::size_t>(d.local);
  HWY_ALIGN float memory[most_pointwise_floats];
  float* at[most_pointwise_operands];
  float* next = memory;
  const auto buffer = [&](std::size_t i, std::size_t size) {
    at[i] = next;
    next += (size + lanes<Full> - 1) / lanes<Full> * lanes<Full>;
  };
  for (std::size_t i = 0; i < full; ++i) at[i] = operands[i];
  float* rows_at[most_pointwise_operands];
  for (std::size_t i = 0; i < repeated; ++i) {  // long enough for a block that begins anywhere in the row
    buffer(full + i, d.columns + block_size);
    float* to = rows_at[i] = at[full + i];
    for (std::size_t left = d.columns + block_size; left > 0;) {
      const std::size_t count = std::min(left, d.columns);
      to = std::copy_n(operands[full + i], count, to);
      left -= count;
    }
  }
  for (std::size_t i = full + repeated; i < full + repeated + single + local; ++i) {
    buffer(i, block_size);
    if (i < full + repeated + single) std::fill_n(at[i], block_size, *operands[i]);
  }
  const std::size_t elements = rows * d.columns, advance = block_size % d.columns;
  const bool fetches_ahead = elements * full > many_elements;
  const std::size_t fetches = fetches_ahead ? (full + d.steps.size() - 1) / d.steps.size() : 0;  // a step
  for (std::size_t k = 0, column = 0; k < elements; k += block_size) {
    const Block block{std::min(block_size, elements - k), at};
    std::size_t fetched = 0;
    for (const PointwiseStep& step : d.steps) {
      for (const std::size_t end = std::min(full, fetched + fetches); fetched < end; ++fetched) {
        for (std::size_t i = 0; i < block_size; i += cache_line) __builtin_prefetch(at[fetched] + ahead + i);
      }
      apply(step, block);
    }
    for (std::size_t i = 0; i < full; ++i) at[i] += block_size;
    column += advance;
    if (column >= d.columns) column -= d.columns;
    for (std::size_t i = 0; i < repeated; ++i) at[full + i] = rows_at[i] + column;
  }
}

}  // namespace
#endif

void add_pointwise([[maybe_unused]] Backend& row) {
#if EV3_HAVE_VECTORS
  row.pointwise = pointwise;
#endif
}

}  // namespace autodiff::kernels::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace autodiff::kernels::simd {

HWY_EXPORT(add_pointwise);
void add_pointwise(Backend& row) { HWY_DYNAMIC_DISPATCH(add_pointwise)(row); }

}  // namespace autodiff::kernels::simd
#endif
