#include "autodiff/kernels/cuda/small.h"

#include <utility>

namespace autodiff::kernels::cuda {
namespace {

constexpr int warps = 16;

thread_local SmallList waiting;

// One block; a warp for each call of a wave.
__global__ void __launch_bounds__(warps * 32) list_kernel(__grid_constant__ const SmallList list) {
  const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
  for (int wave = 0, next = 0; wave < list.waves; ++wave) {
    int turn = 0;
    for (; next < list.calls && list.call[next].wave == wave; ++next, ++turn) {
      if (turn % warps != warp) continue;
      const Small& s = list.call[next];
      run_small(
          s, lane, 32,
          [&](float a) {
            return unary_reference(static_cast<Unary>(s.code), a, static_cast<double>(s.constant));
          },
          [&](float a, float b) { return binary_reference(static_cast<Binary>(s.code), a, b); });
    }
    __syncthreads();
  }
}

}  // namespace

void add_small(const Small& call) {
  if (call.rows * call.columns == 0) return;
  if (waiting.calls == SmallList::longest) stream();  // launches it
  add_to(waiting, call);
}

void launch_small(cudaStream_t to) {
  if (waiting.calls == 0) return;
  SmallList list = std::exchange(waiting, SmallList{});
  sort_by_wave(list);
  launch_on(to, "small functions", 1, warps * 32, 0, list_kernel, list);
}

void forget_small() { waiting.calls = 0; }

}  // namespace autodiff::kernels::cuda
