// Chains of element-wise functions, one kernel each, which forms sums over rows of what the functions give,
// too. Those of chain_patterns.h are compiled, others are interpreted: no compiler is needed at run time.
// Somewhat long: the two ways of running a chain, and what a thread has of it.
#include "autodiff/kernels/cuda/chain_patterns.h"
#include "autodiff/kernels/cuda/columns_inl.h"
#include "autodiff/kernels/cuda/small.h"
#include "autodiff/tensor/error.h"

namespace autodiff::kernels::cuda {
namespace {

constexpr unsigned plain_threads = 256, summing_threads = 512;
// Of shared memory that every device gives a block, less what kernels have besides (is_last_block).
constexpr std::size_t most_bytes = 47 << 10;

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

// What a thread does: its columns of row after row from `first` on, `step` rows apart.
struct Rows {
  std::size_t column, first, last, step;
  __device__ explicit Rows(const Columns& at, int width) {
    const int tid = static_cast<int>(threadIdx.x), lane = tid & (at.lanes() - 1);
    column = static_cast<std::size_t>(blockIdx.x) * static_cast<std::size_t>(at.lanes() * width) +
             static_cast<std::size_t>(lane * width);
    first = blockIdx.y * at.rows_each + static_cast<std::size_t>(tid >> at.log_lanes);
    last = column < at.inner ? min(at.rows, (blockIdx.y + 1) * at.rows_each) : 0;
    step = static_cast<std::size_t>(static_cast<int>(blockDim.x) >> at.log_lanes);
  }
};

// What is the same for all rows: some of a row, or a number.
template <int width>
__device__ void read_once(const Chain& chain, bool is_single, int number, std::size_t column,
                          Elements<width>& to) {
  if (!is_single) return read(chain.operands[number] + column, to);
  to.v[0] = *chain.operands[number];
#pragma unroll
  for (int e = 1; e < width; ++e) to.v[e] = to.v[0];
}

// A chain as its table says.
template <int width, int sums>
__device__ void interpret(const Chain& chain, const Columns& at, double (&total)[width][sums]) {
  using Vector = Elements<width>;
  const ChainTable& table = chain.table;
  float* room = block_memory();  // [slot][thread][width]
  const int threads = static_cast<int>(blockDim.x), tid = static_cast<int>(threadIdx.x);
  const auto slot = [&](int number) { return room + (number * threads + tid) * width; };
  const Rows rows(at, width);
  if (rows.last == 0) return;
  for (int k = table.inputs; k < table.inputs + table.once; ++k) {
    const int number = table.input[k].operand;
    Vector some;
    read_once(chain, number >= table.single_from, number, rows.column, some);
    write(some, slot(table.input[k].slot));
  }
  for (std::size_t row = rows.first; row < rows.last; row += rows.step) {
    const std::size_t i = row * at.inner + rows.column;
    constexpr int together = 4;
    for (int k = 0; k < table.inputs; k += together) {
      Vector some[together];
#pragma unroll
      for (int e = 0; e < together; ++e) {
        if (k + e < table.inputs) read(chain.operands[table.input[k + e].operand] + i, some[e]);
      }
#pragma unroll
      for (int e = 0; e < together; ++e) {
        if (k + e < table.inputs) write(some[e], slot(table.input[k + e].slot));
      }
    }
    Vector v{};
    for (int s = 0; s < table.steps; ++s) {
      const ChainTable::Step now = table.step[s];
      const auto source = [&](int number) {
        Vector out = v;
        if (number != last_result) read(slot(number), out);
        return out;
      };
      Vector a = source(now.a);
      if (now.code < first_binary) {
        apply_unary(static_cast<Unary>(now.code), chain.constant[s], a);
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

// The same for a table that is known to the compiler.
template <int pattern, int width, int sums>
__device__ void run_pattern(const Chain& chain, const Columns& at, double (&total)[width][sums]) {
  using Vector = Elements<width>;
  constexpr ChainTable table = patterns::tables[pattern];
  const Rows rows(at, width);
  if (rows.first >= rows.last) return;
  // So many rows are on their way while one is worked on. Of chains with sums there are few blocks.
  constexpr int ahead = sums > 0 ? 2 : 1;
  Vector value[table.slots], next[ahead][table.inputs];
  each<table.once>([&](auto k) {
    constexpr ChainTable::Input in = patterns::tables[pattern].input[table.inputs + k()];
    read_once(chain, in.operand >= table.single_from, in.operand, rows.column, value[in.slot]);
  });
  const auto fetch = [&](auto turn, std::size_t row) {
    if (row >= rows.last) return;
    each<table.inputs>([&](auto k) {
      constexpr ChainTable::Input in = patterns::tables[pattern].input[k()];
      read(chain.operands[in.operand] + row * at.inner + rows.column, next[turn()][k()]);
    });
  };
  const auto work = [&](auto turn, std::size_t row) {
    if (row >= rows.last) return;
    each<table.inputs>([&](auto k) {
      constexpr ChainTable::Input in = patterns::tables[pattern].input[k()];
      value[in.slot] = next[turn()][k()];
    });
    fetch(turn, row + ahead * rows.step);
    Vector v{};
    each<table.steps>([&](auto s) {
      constexpr ChainTable::Step now = patterns::tables[pattern].step[s()];
      Vector a = now.a == last_result ? v : value[now.a == last_result ? 0 : now.a];
      const auto other = [&](auto number) {
        if constexpr (number() == last_result) {
          return v;
        } else {
          return value[number()];
        }
      };
      if constexpr (now.code < first_binary) {
        apply_unary(static_cast<Unary>(now.code), chain.constant[s()], a);
      } else {
        const Vector b = other(std::integral_constant<int, now.b>{});
        if constexpr (now.subtracts)
          apply_binary(Binary::sub, a, other(std::integral_constant<int, now.d>{}));
        apply_binary(static_cast<Binary>(now.code - first_binary), a, b);
        if constexpr (now.adds) apply_binary(Binary::add, a, other(std::integral_constant<int, now.c>{}));
      }
      v = a;
      if constexpr (now.y != no_slot) write(v, chain.operands[now.y] + row * at.inner + rows.column);
      if constexpr (now.slot != no_slot) value[now.slot] = v;
      if constexpr (now.sum != no_slot) {
#pragma unroll
        for (int w = 0; w < width; ++w) total[w][now.sum] += static_cast<double>(v.v[w]);
      }
    });
  };
  each<ahead>([&](auto turn) { fetch(turn, rows.first + turn() * rows.step); });
  for (std::size_t row = rows.first; row < rows.last; row += ahead * rows.step) {
    each<ahead>([&](auto turn) { work(turn, row + turn() * rows.step); });
  }
}

// `pattern`: -1 for a chain that is interpreted. True for the block that has joined the parts of its tile.
template <int pattern, int width, int sums>
__device__ bool run_chain(const Chain& chain, const Columns& at) {
  double total[width][sums > 0 ? sums : 1] = {};
  if constexpr (pattern < 0) {
    interpret(chain, at, total);
  } else {
    run_pattern<pattern>(chain, at, total);
  }
  if constexpr (sums == 0) {
    return false;
  } else {
    let_next_begin();
    sync_block();  // the slots are not needed any more
    return join_columns<Sum>(at, total, reinterpret_cast<double*>(block_memory()),
                             [&](std::size_t, std::size_t c, const double* all) {
#pragma unroll
                               for (int k = 0; k < sums; ++k) {
                                 chain.operands[chain.table.sums_from + k][c] =
                                     static_cast<float>(all[k] * chain.factor[k]);
                               }
                             });
  }
}

template <int pattern, int width, int sums>
__global__ void __launch_bounds__(sums > 0 ? summing_threads : plain_threads)
    chain_kernel(__grid_constant__ const Chain chain, const Columns at) {
  await_previous();
  run_chain<pattern, width, sums>(chain, at);
}

// The same, and then, by the block that is done last of all, what waits for the sums.
template <int pattern, int width, int sums>
__global__ void __launch_bounds__(summing_threads)
    chain_and_list_kernel(__grid_constant__ const Chain chain, const Columns at, const SmallList* list) {
  const EarlyList then(list);
  await_previous();
  if (!run_chain<pattern, width, sums>(chain, at) || !is_last_tile(at)) return;
  run_list(then, block_memory());
}
static_assert(list_floats * sizeof(float) <= most_bytes);

// `first`: what a convolution may do in its place, or null.
template <int pattern, int width, int sums>
void launch_chain(const Chain& chain, std::size_t rows, std::size_t columns, const Prologue* first) {
  const int slots = pattern < 0 ? std::max(chain.table.slots, 1) : 0;
  const std::size_t a_thread = static_cast<std::size_t>(slots) * width * sizeof(float);
  unsigned threads = sums > 0 ? summing_threads : plain_threads;
  CutColumns cut;
  std::size_t bytes = 0;
  for (;; threads /= 2) {
    cut = cut_columns(1, rows, columns, width, threads, sums, 4, (sums > 0 ? 65536 : 262144) / threads);
    bytes = a_thread * threads;
    if (sums > 0) bytes = std::max(bytes, join_bytes(cut.columns, sums, width, threads));
    if (bytes <= most_bytes) break;
    if (threads == 32) fail("cuda: a chain of ", slots, " values at a time is too long");
  }
  if constexpr (sums == 0) {
    const auto run = [=](cudaStream_t to) {
      launch_on(to, "chain", cut.grid, threads, bytes, chain_kernel<pattern, width, 0>, chain, cut.columns);
    };
    if (!first) return run(stream());
    add_chain({*first, rows, columns, run});
  } else {
    stream();  // launches what waits
    add_reduction([=](cudaStream_t to, const SmallList* then) {
      Columns at = cut.columns;
      at.partials = static_cast<double*>(partials());
      at.counters = counters();
      if (!then) {
        launch_on(to, "chain", cut.grid, threads, bytes, chain_kernel<pattern, width, sums>, chain, at);
      } else {
        launch_on(to, "chain", cut.grid, threads, std::max(bytes, list_floats * sizeof(float)),
                  chain_and_list_kernel<pattern, width, sums>, chain, at, then);
      }
    });
  }
}

template <int width>
void launch_interpreted(const Chain& chain, std::size_t rows, std::size_t columns) {
  static_assert(most_pointwise_sums == 3);
  switch (chain.table.sums) {
    case 0:
      return launch_chain<-1, width, 0>(chain, rows, columns, nullptr);
    case 1:
      return launch_chain<-1, width, 1>(chain, rows, columns, nullptr);
    case 2:
      return launch_chain<-1, width, 2>(chain, rows, columns, nullptr);
    default:
      return launch_chain<-1, width, 3>(chain, rows, columns, nullptr);
  }
}

template <int... k>
void launch_pattern(int pattern, const Chain& chain, std::size_t rows, std::size_t columns,
                    const Prologue* first, std::integer_sequence<int, k...>) {
  (void)((pattern == k &&
          (launch_chain<k, 4, patterns::tables[k].sums>(chain, rows, columns, first), true)) ||
         ...);
}

void pointwise(const PointwiseDims& d, std::size_t rows, float* const* operands) {
  if (d.steps.size() > most_steps)
    fail("cuda: a chain of ", d.steps.size(), " steps; want at most ", most_steps);
  if (d.columns == 0 || (rows == 0 && d.sums.empty())) return;
  if (finish_product(d, rows, operands) || finish_conv2d(d, rows, operands) ||
      add_norm_gradient_of_conv2d(d, rows, operands))
    return;
  Chain chain = chain_of(d);
  bool fours = d.columns % 4 == 0;
  for (int k = 0; k < chain.table.sums_from + chain.table.sums; ++k) {
    chain.operands[k] = operands[k];
    fours = fours && (k >= chain.table.single_from || is_aligned(operands[k]));
  }
  const int pattern = fours ? pattern_of(chain.table) : -1;
  if (pattern >= 0) {
    const auto first = prologue_of(d, operands);
    launch_pattern(pattern, chain, rows, d.columns, first ? &*first : nullptr,
                   std::make_integer_sequence<int, patterns::count>{});
  } else {
    fours ? launch_interpreted<4>(chain, rows, d.columns) : launch_interpreted<1>(chain, rows, d.columns);
  }
}

}  // namespace

void add_chains(Backend& row) {
  row.pointwise = pointwise;
  row.pointwise_sums = true;
}

}  // namespace autodiff::kernels::cuda
