// Chains of element-wise functions, one kernel each, which interprets the table of chain_table.h: every
// thread walks the steps for four neighbouring elements, whose values in between lie in shared memory. (Four
// times as many elements for each walk changed nothing.) No compiler is needed at run time.
#include "autodiff/kernels/cuda/chain_table.h"
#include "autodiff/kernels/cuda/cuda.h"
#include "autodiff/tensor/error.h"

namespace autodiff::kernels::cuda {
namespace {

constexpr unsigned chain_block = 128;
template <int width>
struct Elements {
  float v[width];
};

__device__ inline void read(const float* from, Elements<1>& to) { to.v[0] = *from; }
__device__ inline void read(const float* from, Elements<4>& to) {
  const float4 x = *reinterpret_cast<const float4*>(from);
  to = {x.x, x.y, x.z, x.w};
}
__device__ inline void write(const Elements<1>& from, float* to) { *to = from.v[0]; }
__device__ inline void write(const Elements<4>& from, float* to) {
  *reinterpret_cast<float4*>(to) = {from.v[0], from.v[1], from.v[2], from.v[3]};
}

template <int width>
__global__ void __launch_bounds__(chain_block)
    chain_kernel(__grid_constant__ const Chain chain, std::size_t n) {
  float* local = block_memory();  // [slot][thread][width]
  const std::size_t i = thread_index() * width;
  if (i >= n) return;
  const unsigned column = static_cast<unsigned>(i % chain.columns);
  const int first_single = chain.full + chain.repeated, first_slot = first_single + chain.single;
  using Vector = Elements<width>;
  const auto slot = [&](int number) {
    return local + (number * static_cast<int>(chain_block) + static_cast<int>(threadIdx.x)) * width;
  };
  const auto load = [&](int number) {
    Vector out;
    if (number >= first_slot) {
      read(slot(number - first_slot), out);
    } else if (number < first_single) {
      read(chain.operands[number] + column, out);
    } else {
      const float value = *chain.operands[number];
#pragma unroll
      for (int k = 0; k < width; ++k) out.v[k] = value;
    }
    return out;
  };
  constexpr int together = 4;
  for (int k = 0; k < chain.inputs; k += together) {
    Vector some[together];
#pragma unroll
    for (int e = 0; e < together; ++e) {
      if (k + e < chain.inputs) read(chain.operands[chain.input[k + e].operand] + i, some[e]);
    }
#pragma unroll
    for (int e = 0; e < together; ++e) {
      if (k + e < chain.inputs) write(some[e], slot(chain.input[k + e].slot));
    }
  }
  for (int s = 0; s < chain.steps; ++s) {
    const Chain::Step step = chain.step[s];
    Vector a = load(step.a);
    if (step.code < first_binary) {
      const auto kind = static_cast<Unary>(step.code);
#pragma unroll
      for (int k = 0; k < width; ++k)
        a.v[k] = unary_reference(kind, a.v[k], static_cast<double>(step.constant));
    } else {
      const auto kind = static_cast<Binary>(step.code - first_binary);
      const Vector b = load(step.b);
      if (step.subtracts) {
        const Vector d = load(step.d);
#pragma unroll
        for (int k = 0; k < width; ++k) a.v[k] -= d.v[k];
      }
#pragma unroll
      for (int k = 0; k < width; ++k) a.v[k] = binary_reference(kind, a.v[k], b.v[k]);
      if (step.adds) {
        const Vector c = load(step.c);
#pragma unroll
        for (int k = 0; k < width; ++k) a.v[k] += c.v[k];
      }
    }
    if (step.y != no_slot) write(a, chain.operands[step.y] + i);
    if (step.slot != no_slot) write(a, slot(step.slot));
  }
}

void pointwise(const PointwiseDims& d, std::size_t rows, float* const* operands) {
  if (d.steps.size() > most_steps)
    fail("cuda: a chain of ", d.steps.size(), " steps; want at most ", most_steps);
  const std::size_t n = rows * d.columns;
  if (n == 0) return;
  Chain chain = chain_of(d);
  bool fours = d.columns % 4 == 0;
  for (int k = 0; k < d.full + d.repeated + d.single; ++k) {
    chain.operands[k] = operands[k];
    fours = fours && (k >= d.full + d.repeated || is_aligned(operands[k]));
  }
  const std::size_t width = fours ? 4 : 1;
  const std::size_t bytes = static_cast<std::size_t>(chain.slots) * chain_block * width * sizeof(float);
  const unsigned grid = blocks(n / width, chain_block);
  if (fours) {
    launch("chain", grid, chain_block, bytes, chain_kernel<4>, chain, n);
  } else {
    launch("chain", grid, chain_block, bytes, chain_kernel<1>, chain, n);
  }
}

}  // namespace

void add_chains(Backend& row) { row.pointwise = pointwise; }

}  // namespace autodiff::kernels::cuda
