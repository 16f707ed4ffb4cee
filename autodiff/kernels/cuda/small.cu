#include "autodiff/kernels/cuda/small.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace autodiff::kernels::cuda {
namespace {

constexpr unsigned list_threads = 512;

thread_local SmallCalls waiting;
thread_local std::function<void(cudaStream_t, const SmallList*)> waiting_reduction;
thread_local WaitingChain waiting_chain;
thread_local WaitingConv2d waiting_conv2d;

// What never waits at the same time as small calls and reductions.
bool others_wait() {
  return copies_wait() || products_wait() || waiting_conv2d.launch || waiting_chain.launch;
}

// Whether the convolution that waits gives what nobody but this chain reads.
bool is_spent_by(const PointwiseDims& chain, std::size_t rows, float* const* operands) {
  const WaitingConv2d& now = waiting_conv2d;
  return now.launch && chain.spent >= 0 && operands[chain.spent] == now.y && rows == now.rows &&
         chain.columns == now.columns;
}

// One block.
__global__ void __launch_bounds__(list_threads) list_kernel(const SmallList* list) {
  __shared__ __align__(16) float room[list_floats];
  const EarlyList early(list);
  await_previous();
  run_list(early, room);
}

}  // namespace

bool add_small(const Small& call) {
  if (call.rows * call.columns == 0) return true;
  if (finish_product(call)) return true;
  if (others_wait()) stream();  // launches what waits
  if (waiting.add(call)) return true;
  stream();
  return waiting.add(call);
}

void add_reduction(std::function<void(cudaStream_t, const SmallList*)> launch) {
  waiting_reduction = std::move(launch);
}

void add_reduction(const Range& reads, const Range& writes,
                   std::function<void(cudaStream_t, const SmallList*)> launch) {
  if (waiting_reduction || others_wait() || !waiting.may_follow(reads, writes)) stream();
  waiting_reduction = std::move(launch);
}

void add_chain(WaitingChain chain) {
  stream();
  waiting_chain = std::move(chain);
}

// All blocks read some of x, and what it is made of, while others write.
const Prologue* prologue_for(const float* x, std::size_t rows, std::size_t columns, const Range& filters,
                             const Range& writes) {
  const WaitingChain& now = waiting_chain;
  if (!now.launch || now.does.y != x || now.rows != rows || now.columns != columns) return nullptr;
  const Range y(now.does.y, rows * columns);
  if (y.meets(filters) || y.meets(writes)) return nullptr;
  for (const Range& reads : now.does.reads(rows, columns)) {
    if (reads.meets(y) || reads.meets(writes)) return nullptr;
  }
  return &now.does;
}

bool WaitingConv2d::goes_with(const Range& write, std::initializer_list<Range> read) const {
  return std::ranges::none_of(reads, [&](const Range& own) { return own.meets(write); }) &&
         !writes.meets(write) &&
         std::ranges::none_of(read, [&](const Range& other) { return other.meets(writes); });
}

void add_conv2d(WaitingConv2d conv2d, bool does_chain) {
  if (does_chain) {
    const WaitingChain chain = std::exchange(waiting_chain, {});
    for (const Range& reads : chain.does.reads(chain.rows, chain.columns)) conv2d.reads.push_back(reads);
    conv2d.writes = Range(chain.does.y, chain.rows * chain.columns);
  }
  stream();
  waiting_conv2d = std::move(conv2d);
}

bool finish_conv2d(const PointwiseDims& chain, std::size_t rows, float* const* operands) {
  const WaitingConv2d& now = waiting_conv2d;
  if (!now.launch.adds || !is_spent_by(chain, rows, operands)) return false;
  const auto epilogue = epilogue_of(chain, operands);
  if (!epilogue) return false;
  const Epilogue& e = *epilogue;
  for (const float* p : {e.row, e.array, e.array_row, static_cast<const float*>(e.y)}) {
    if (!is_aligned(p)) return false;
  }
  const std::size_t n = rows * chain.columns;
  const Range writes(e.y, n), row(e.row, e.row ? now.columns : 0),
      array_row(e.array_row, e.array_row ? now.columns : 0), array(e.array, e.array ? n : 0);
  if (writes.meets(row) || writes.meets(array_row) || (e.array != e.y && writes.meets(array))) return false;
  if (!now.goes_with(writes, {row, array_row, array})) return false;
  const WaitingConv2d conv2d = std::exchange(waiting_conv2d, {});
  conv2d.launch.run(stream(), e);
  return true;
}

// The list that comes to wait may write where the convolution reads: all blocks have read then.
bool add_moments_of_conv2d(const MomentsDims& d, const float* y, float* m) {
  const WaitingConv2d& now = waiting_conv2d;
  if (!now.launch.run_with_moments || y != now.y || d.rows != now.rows || d.channels != now.columns)
    return false;
  add_reduction([conv2d = std::exchange(waiting_conv2d, {}), m](cudaStream_t to, const SmallList* list) {
    conv2d.launch.run_with_moments(to, conv2d.y, m, list);
  });
  return true;
}

bool add_norm_gradient_of_conv2d(const PointwiseDims& chain, std::size_t rows, float* const* operands) {
  const WaitingConv2d& now = waiting_conv2d;
  if (!now.launch.run_with_norm_gradient || !is_spent_by(chain, rows, operands)) return false;
  const auto gradient = norm_gradient_of(chain, operands);
  if (!gradient) return false;
  const NormGradient& n = *gradient;
  for (const float* p : {n.other, n.relu, n.x, n.mean, static_cast<const float*>(n.g)}) {
    if (!is_aligned(p)) return false;
  }
  const std::size_t size = rows * chain.columns;
  const Range writes(n.g, size), mean(n.mean, now.columns);
  const auto range = [&](const float* p) { return Range(p, p ? size : 0); };
  const auto meets = [&](const float* p) { return p != n.g && writes.meets(range(p)); };
  if (meets(n.other) || meets(n.relu) || meets(n.x) || writes.meets(mean) ||
      !now.goes_with(writes, {range(n.other), range(n.relu), range(n.x), mean})) {
    return false;
  }
  add_reduction([conv2d = std::exchange(waiting_conv2d, {}), n](cudaStream_t to, const SmallList* list) {
    conv2d.launch.run_with_norm_gradient(to, n, list);
  });
  return true;
}

void launch_small(cudaStream_t to) {
  if (const WaitingChain chain = std::exchange(waiting_chain, {}); chain.launch) chain.launch(to);
  if (const WaitingConv2d conv2d = std::exchange(waiting_conv2d, {}); conv2d.launch)
    conv2d.launch.run(to, {.y = conv2d.y});
  launch_copies(to);
  launch_products(to);
  if (waiting.empty() && !waiting_reduction) return;
  const SmallList* list = nullptr;
  if (!waiting.empty()) {
    SmallList made = waiting.list();
    if (const auto program = ListProgram::of(waiting.calls()); program && !made.independent) {
      auto* bytes = reinterpret_cast<std::byte*>(made.call);
      std::fill_n(bytes, sizeof(made.call), std::byte{});
      std::memcpy(bytes, &*program, sizeof(*program));
      made.is_program = 1;
    }
    list = static_cast<const SmallList*>(keep(&made, sizeof(made)));
  }
  waiting.clear();
  if (const auto reduction = std::exchange(waiting_reduction, nullptr)) return reduction(to, list);
  launch_on(to, "small functions", 1, list_threads, 0, list_kernel, list);
}

void forget_small() {
  waiting.clear();
  waiting_reduction = nullptr;
  waiting_chain = {};
  waiting_conv2d = {};
  forget_copies();
  forget_products();
}

}  // namespace autodiff::kernels::cuda
