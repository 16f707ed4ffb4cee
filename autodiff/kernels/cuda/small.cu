#include "autodiff/kernels/cuda/small.h"

#include <utility>

namespace autodiff::kernels::cuda {
namespace {

constexpr unsigned list_threads = 512;

thread_local SmallCalls waiting;
thread_local std::function<void(cudaStream_t, const SmallList*)> waiting_reduction;

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
  if (copies_wait()) stream();  // launches what waits
  if (waiting.add(call)) return true;
  stream();
  return waiting.add(call);
}

void add_reduction(std::function<void(cudaStream_t, const SmallList*)> launch) {
  waiting_reduction = std::move(launch);
}

void add_reduction(const Range& reads, const Range& writes,
                   std::function<void(cudaStream_t, const SmallList*)> launch) {
  if (waiting_reduction || copies_wait() || !waiting.may_follow(reads, writes)) stream();
  waiting_reduction = std::move(launch);
}

void launch_small(cudaStream_t to) {
  launch_copies(to);
  if (waiting.empty() && !waiting_reduction) return;
  const SmallList* list = nullptr;
  if (!waiting.empty()) {
    SmallList made = waiting.list();
    if (const auto program = ListProgram::of(waiting.calls())) {
      made.values = program->values;
      find_list_pattern(program->table, made.values);
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
  forget_copies();
}

}  // namespace autodiff::kernels::cuda
