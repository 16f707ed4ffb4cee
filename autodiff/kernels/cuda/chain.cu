// Chains of element-wise functions, one kernel each, which interprets the table of chain_table.h, and forms
// sums over rows of what the functions give. No compiler is needed at run time.
#include "autodiff/kernels/cuda/chain_table.h"
#include "autodiff/kernels/cuda/columns_inl.h"
#include "autodiff/kernels/cuda/small.h"
#include "autodiff/tensor/error.h"

namespace autodiff::kernels::cuda {
namespace {

constexpr unsigned most_threads = 256;
constexpr std::size_t most_bytes = 48 << 10;  // of shared memory that every device gives a block

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

struct Sum {
  __device__ static double start() { return 0; }
  __device__ static double join(double a, double b) { return a + b; }
};

// The function is looked up once for all elements.
template <int width>
__device__ void apply_unary(Unary kind, float constant, Elements<width>& a) {
  const auto all = [&](auto which) {
#pragma unroll
    for (int k = 0; k < width; ++k) a.v[k] = unary_reference(which(), a.v[k], static_cast<double>(constant));
  };
  switch (kind) {
    case Unary::relu:
      return all([] { return Unary::relu; });
    case Unary::scale:
      return all([] { return Unary::scale; });
    case Unary::shift:
      return all([] { return Unary::shift; });
    default:
      return all([kind] { return kind; });
  }
}
template <int width>
__device__ void apply_binary(Binary kind, Elements<width>& a, const Elements<width>& b) {
  const auto all = [&](auto which) {
#pragma unroll
    for (int k = 0; k < width; ++k) a.v[k] = binary_reference(which(), a.v[k], b.v[k]);
  };
  switch (kind) {
    case Binary::add:
      return all([] { return Binary::add; });
    case Binary::sub:
      return all([] { return Binary::sub; });
    case Binary::mul:
      return all([] { return Binary::mul; });
    case Binary::relu_grad:
      return all([] { return Binary::relu_grad; });
    default:
      return all([kind] { return kind; });
  }
}

// True for the block that has joined the parts of its tile.
template <int width, int sums>
__device__ bool run_chain(const Chain& chain, const Columns& at) {
  using Vector = Elements<width>;
  float* room = block_memory();  // [slot][thread][width]
  const int threads = static_cast<int>(blockDim.x), tid = static_cast<int>(threadIdx.x);
  const auto slot = [&](int number) { return room + (number * threads + tid) * width; };
  const std::size_t column =
      static_cast<std::size_t>(blockIdx.x) * static_cast<std::size_t>(at.lanes * width) +
      static_cast<std::size_t>(tid % at.lanes * width);
  const std::size_t last = min(at.rows, (blockIdx.y + 1) * at.rows_each);
  double total[width][sums > 0 ? sums : 1] = {};
  if (column < at.inner) {
    for (int k = chain.inputs; k < chain.inputs + chain.once; ++k) {
      const int number = chain.input[k].operand;
      Vector some;
      if (number < chain.single_from) {
        read(chain.operands[number] + column, some);
      } else {
        some.v[0] = *chain.operands[number];
#pragma unroll
        for (int e = 1; e < width; ++e) some.v[e] = some.v[0];
      }
      write(some, slot(chain.input[k].slot));
    }
    constexpr int ahead = 4;  // arrays of which the next row is on its way meanwhile
    Vector next[ahead];
    const auto fetch = [&](std::size_t row) {
#pragma unroll
      for (int k = 0; k < ahead; ++k) {
        if (k < chain.inputs && row < last)
          read(chain.operands[chain.input[k].operand] + row * at.inner + column, next[k]);
      }
    };
    const auto step = static_cast<std::size_t>(threads / at.lanes);
    std::size_t row = blockIdx.y * at.rows_each + static_cast<std::size_t>(tid / at.lanes);
    fetch(row);
    for (; row < last; row += step) {
      const std::size_t i = row * at.inner + column;
#pragma unroll
      for (int k = 0; k < ahead; ++k) {
        if (k < chain.inputs) write(next[k], slot(chain.input[k].slot));
      }
      for (int k = ahead; k < chain.inputs; ++k) {
        Vector some;
        read(chain.operands[chain.input[k].operand] + i, some);
        write(some, slot(chain.input[k].slot));
      }
      fetch(row + step);
      Vector v{};
      for (int s = 0; s < chain.steps; ++s) {
        const Chain::Step now = chain.step[s];
        const auto source = [&](int number) {
          Vector out = v;
          if (number != last_result) read(slot(number), out);
          return out;
        };
        Vector a = source(now.a);
        if (now.code < first_binary) {
          apply_unary(static_cast<Unary>(now.code), now.constant, a);
        } else {
          const Vector b = source(now.b);
          if (now.subtracts) apply_binary(Binary::sub, a, source(now.d));
          apply_binary(static_cast<Binary>(now.code - first_binary), a, b);
          if (now.adds) apply_binary(Binary::add, a, source(now.c));
        }
        v = a;
        if (now.y != no_slot) write(v, chain.operands[now.y] + i);
        if (now.slot != no_slot) write(v, slot(now.slot));
#pragma unroll
        for (int k = 0; k < sums; ++k) {
          if (now.sum != k) continue;
#pragma unroll
          for (int w = 0; w < width; ++w) total[w][k] += static_cast<double>(v.v[w]);
        }
      }
    }
  }
  if constexpr (sums == 0) {
    return false;
  } else {
    __syncthreads();  // the slots are not needed any more
    return join_columns<Sum>(
        at, total, reinterpret_cast<double*>(room), [&](std::size_t, std::size_t c, const double* all) {
#pragma unroll
          for (int k = 0; k < sums; ++k) {
            chain.operands[chain.sums_from + k][c] = static_cast<float>(all[k] / chain.divisor[k]);
          }
        });
  }
}

template <int width, int sums>
__global__ void __launch_bounds__(most_threads)
    chain_kernel(__grid_constant__ const Chain chain, const Columns at) {
  run_chain<width, sums>(chain, at);
}

// The same, and then, by the block that is done last of all, what waits for the sums.
template <int width, int sums>
__global__ void __launch_bounds__(most_threads)
    chain_and_list_kernel(__grid_constant__ const Chain chain, const Columns at,
                          __grid_constant__ const SmallList then) {
  if (!run_chain<width, sums>(chain, at) || !is_last_tile(at)) return;
  run_list(then, block_memory());
}
static_assert(sizeof(Chain) + sizeof(Columns) + sizeof(SmallList) <= 4096);
static_assert(SmallList::room * sizeof(float) <= most_bytes);

template <int width, int sums>
void launch_chain(const Chain& chain, std::size_t rows, std::size_t columns) {
  const std::size_t a_thread = static_cast<std::size_t>(std::max(chain.slots, 1)) * width * sizeof(float);
  unsigned threads = most_threads;
  while (threads > 32 && a_thread * threads > most_bytes) threads /= 2;
  if (a_thread * threads > most_bytes)
    fail("cuda: a chain of ", chain.slots, " values at a time is too long");
  const auto cut = cut_columns(1, rows, columns, width, threads, sums, 4, sums ? 256 : 1024);
  std::size_t bytes = a_thread * threads;
  if (sums > 0) {
    bytes = std::max(bytes, sizeof(double) * static_cast<std::size_t>(
                                                 join_doubles(sums, width, static_cast<int>(threads))));
  }
  if constexpr (sums == 0) {
    launch("chain", cut.grid, threads, bytes, chain_kernel<width, 0>, chain, cut.columns);
  } else {
    stream();  // launches what waits
    add_reduction([=](cudaStream_t to, const SmallList& then) {
      Columns at = cut.columns;
      at.partials = static_cast<double*>(partials());
      at.counters = counters();
      if (then.calls == 0) {
        launch_on(to, "chain", cut.grid, threads, bytes, chain_kernel<width, sums>, chain, at);
      } else {
        launch_on(to, "chain", cut.grid, threads, std::max(bytes, SmallList::room * sizeof(float)),
                  chain_and_list_kernel<width, sums>, chain, at, then);
      }
    });
  }
}

template <int width>
void launch_chain(const Chain& chain, std::size_t rows, std::size_t columns) {
  static_assert(most_pointwise_sums == 3);
  switch (chain.sums) {
    case 0:
      return launch_chain<width, 0>(chain, rows, columns);
    case 1:
      return launch_chain<width, 1>(chain, rows, columns);
    case 2:
      return launch_chain<width, 2>(chain, rows, columns);
    default:
      return launch_chain<width, 3>(chain, rows, columns);
  }
}

void pointwise(const PointwiseDims& d, std::size_t rows, float* const* operands) {
  if (d.steps.size() > most_steps)
    fail("cuda: a chain of ", d.steps.size(), " steps; want at most ", most_steps);
  if (rows * d.columns == 0 && d.sums.empty()) return;
  Chain chain = chain_of(d);
  bool fours = d.columns % 4 == 0;
  for (int k = 0; k < chain.sums_from + chain.sums; ++k) {
    chain.operands[k] = operands[k];
    fours = fours && (k >= chain.single_from || is_aligned(operands[k]));
  }
  fours ? launch_chain<4>(chain, rows, d.columns) : launch_chain<1>(chain, rows, d.columns);
}

}  // namespace

void add_chains(Backend& row) {
  row.pointwise = pointwise;
  row.pointwise_sums = true;
}

}  // namespace autodiff::kernels::cuda
