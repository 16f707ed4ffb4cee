// Small calls wait until something else is called, and then go to the device together: see small_list.h. A
// reduction waits with them, since what follows it is mostly small: its last block then does the list.
#pragma once

#include <functional>
#include <utility>

#include "autodiff/kernels/cuda/cuda.h"
#include "autodiff/kernels/cuda/epilogue.h"
#include "autodiff/kernels/cuda/list_patterns.h"

namespace autodiff::kernels::cuda {

/// Puts it on this thread's list; false where it does not fit on any.
bool add_small(const Small& call);
/// Keeps a reduction until launch_small() calls `launch` with the list that its last block is to do, which
/// may be empty. Nothing may wait yet.
void add_reduction(std::function<void(cudaStream_t, const SmallList*)> launch);
/// The same of one that reads and writes this, whatever waits.
void add_reduction(const Range& reads, const Range& writes,
                   std::function<void(cudaStream_t, const SmallList*)> launch);
/// Launches what waits, if there is something.
void launch_small(cudaStream_t stream);
/// Forgets it.
void forget_small();

/// A convolution that has not been launched yet, or nothing.
struct Conv2dLaunch {
  std::function<void(cudaStream_t, const Epilogue&)> run;
  bool adds = true;  ///< whether run() knows more of epilogues than y
  /// Writes y, the moments m [2, filters] of it, and does the list then; null where it cannot.
  std::function<void(cudaStream_t, float* y, float* m, const SmallList*)> run_with_moments;
  /// Does not write y, but this of it, and does the list then; null where it cannot.
  std::function<void(cudaStream_t, const NormGradient&, const SmallList*)> run_with_norm_gradient;

  explicit operator bool() const { return run != nullptr; }
};

/// Keeps a convolution until the next call, which may be a chain, of two functions or more, that takes its
/// result, or the moments of it. Nothing else waits then. `reads`: the image and the filters, which what the
/// chain writes may not meet.
struct WaitingConv2d {
  float* y = nullptr;
  std::size_t rows = 0, columns = 0;  ///< of y: pixels and filters
  Range reads[2];
  Conv2dLaunch launch;
};
void add_conv2d(WaitingConv2d conv2d);
/// Launches the convolution that waits with a chain on its result y; false where there is none, or where
/// both cannot be done at once.
bool finish_conv2d(const PointwiseDims& chain, std::size_t rows, float* const* operands);
/// Makes of the convolution that waits, and of the moments m of its result y, one reduction that waits; false
/// where there is none, or where both cannot be done at once.
bool add_moments_of_conv2d(const MomentsDims& d, const float* y, float* m);
/// The same of a chain that is the gradient of a batch norm.
bool add_norm_gradient_of_conv2d(const PointwiseDims& chain, std::size_t rows, float* const* operands);

/// Copies wait, too, but never at the same time as others do (elementwise.cu).
bool copies_wait();
void launch_copies(cudaStream_t stream);
void forget_copies();

/// What thread i does of a call of one row, with as few instructions as it takes: they come one after the
/// other.
__device__ inline void run_row(const SmallList::Call& c, float* room, int i) {
  if (i >= c.columns) return;
  const bool is_binary = c.kind == Small::Kind::binary;
  const float a = c.kind == Small::Kind::zero ? 0.0f : room[c.a + i * c.a_column],
              b = is_binary ? room[c.b + i * c.b_column] : 0.0f;
  float y = a;
  if (is_binary) {
    switch (static_cast<Binary>(c.code)) {
      case Binary::mul:
        y = a * b;
        break;
      case Binary::add:
        y = a + b;
        break;
      case Binary::sub:
        y = a - b;
        break;
      default:
        y = binary_reference(static_cast<Binary>(c.code), a, b);
    }
  } else if (c.kind == Small::Kind::unary) {
    if (c.code == static_cast<int>(Unary::scale)) {
      y = c.constant * a;
    } else {
      y = unary_reference(static_cast<Unary>(c.code), a, static_cast<double>(c.constant));
    }
  }
  room[c.y + i * c.y_column] = y;
}

/// What thread `first` of `step` does of a call.
__device__ inline void run_call(const SmallList::Call& c, float* room, int first, int step) {
  if (c.rows == 1 && c.columns <= step) return run_row(c, room, first);
  run_small(
      c, room, first, step,
      [&](float a) {
        return unary_reference(static_cast<Unary>(c.code), a, static_cast<double>(c.constant));
      },
      [&](float a, float b) { return binary_reference(static_cast<Binary>(c.code), a, b); });
}

/// A list in memory (it is longer than the arguments of a kernel may be), of which every thread has read a
/// part already when the list is done.
class EarlyList {
 public:
  __device__ explicit EarlyList(const SmallList* list)
      : list_(list), calls_(list->calls), independent_(list->independent != 0) {
    if (threadIdx.x < parts) part_ = reinterpret_cast<const float4*>(list->call)[threadIdx.x];
  }
  __device__ int calls() const { return calls_; }
  /// The calls, in shared memory.
  __device__ const SmallList::Call* put(float* to) const {
    auto* all = reinterpret_cast<float4*>(to);
    if (threadIdx.x < parts) all[threadIdx.x] = part_;
    for (unsigned i = threadIdx.x + blockDim.x; i < parts; i += blockDim.x)
      all[i] = reinterpret_cast<const float4*>(list_->call)[i];
    return reinterpret_cast<const SmallList::Call*>(to);
  }
  /// What a list with a pattern needs, in shared memory, once put() is done.
  __device__ static const ListValues& values(const float* to) {
    return *reinterpret_cast<const ListValues*>(to + sizeof(SmallList::Call) / 4 * SmallList::longest);
  }
  __device__ bool independent() const { return independent_; }
  static constexpr unsigned parts =
      (SmallList::longest * sizeof(SmallList::Call) + sizeof(ListValues)) / sizeof(float4);
  static_assert(sizeof(ListValues) % sizeof(float4) == 0);

 private:
  const SmallList* list_;
  int calls_;
  bool independent_;
  float4 part_ = {};
};

/// Floats of shared memory that run_list wants, on a boundary of 16 bytes.
inline constexpr int list_floats = SmallList::room + static_cast<int>(EarlyList::parts) * 4;

/// A list with a pattern: threads do not need each other. Not inlined, for its registers' sake.
template <int pattern>
__device__ EV3_NOINLINE void run_list_pattern(const ListValues& values) {
  constexpr int inputs = list_patterns::list[pattern].inputs, steps = list_patterns::list[pattern].steps;
  for (int e = static_cast<int>(threadIdx.x); e < values.n * values.repeats;
       e += static_cast<int>(blockDim.x)) {
    const int repeat = e / values.n, i = e - repeat * values.n;
    const int first_input = repeat * inputs, first_step = repeat * steps;
    float value[ListTable::most_inputs + steps];
    each<inputs>([&](auto k) {
      const int input = first_input + k();
      value[k()] = __ldcg(values.input[input] + i * values.step[input]);
    });
    each<steps>([&](auto k) {
      constexpr ListTable::Step step = list_patterns::list[pattern].step[k()];
      float& y = value[ListTable::most_inputs + k()];
      if constexpr (step.code == ListTable::zero) {
        y = 0;
      } else if constexpr (step.code == ListTable::copy) {
        y = value[step.a];
      } else if constexpr (step.code >= ListTable::first_binary) {
        y = binary_reference(static_cast<Binary>(step.code - ListTable::first_binary), value[step.a],
                             value[step.b]);
      } else {
        y = unary_reference(static_cast<Unary>(step.code), value[step.a],
                            static_cast<double>(values.constant[first_step + k()]));
      }
      float* to = values.y[first_step + k()];
      if (to) to[i] = y;
    });
  }
}
template <int... k>
__device__ void run_list_pattern(const ListValues& values, std::integer_sequence<int, k...>) {
  (void)((values.pattern == k && (run_list_pattern<k>(values), true)) || ...);
}

/// Does a list; all threads of a block call it.
__device__ inline void run_list(const EarlyList& list, float* room) {
  const int threads = static_cast<int>(blockDim.x), tid = static_cast<int>(threadIdx.x), warps = threads / 32,
            warp = tid / 32, lane = tid % 32, calls = list.calls();
  const SmallList::Call* call = list.put(room + SmallList::room);
  sync_block();
  const ListValues& values = EarlyList::values(room + SmallList::room);
  if (values.pattern >= 0)
    return run_list_pattern(values, std::make_integer_sequence<int, list_patterns::count>{});
    // A warp for each call, so that many loads are on their way together.
#pragma unroll 1
  for (int k = warp; k < calls; k += warps)  // other blocks may have written it
    load_small(call[k], room, lane, 32, [](const float* p) { return __ldcg(p); });
  sync_block();
  if (list.independent()) {
#pragma unroll 1
    for (int k = warp; k < calls; k += warps) {
      const SmallList::Call c = call[k];
      run_call(c, room, lane, 32);
      __syncwarp();
      store_small(c, room, lane, 32);
    }
    return;
  }
  SmallList::Call next = call[0];  // on its way to registers while the call before is done
#pragma unroll 1
  for (int k = 0, wave = 0; k < calls; ++k) {
    const SmallList::Call c = next;
    if (k + 1 < calls) next = call[k + 1];
    if (c.wave != wave) sync_block();
    wave = c.wave;
    run_call(c, room, tid, threads);
  }
  sync_block();
#pragma unroll 1
  for (int k = warp; k < calls; k += warps) store_small(call[k], room, lane, 32);
}

}  // namespace autodiff::kernels::cuda
