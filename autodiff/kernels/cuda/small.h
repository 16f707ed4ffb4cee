// Small calls wait until something else is called, and then go to the device together: see small_list.h. A
// reduction waits with them, since what follows it is mostly small: its last block then does the list.
#pragma once

#include <functional>
#include <initializer_list>
#include <utility>
#include <vector>

#include "autodiff/kernels/cuda/cuda.h"
#include "autodiff/kernels/cuda/epilogue.h"
#include "autodiff/kernels/cuda/list_program.h"
#include "autodiff/kernels/cuda/prologue.h"

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

/// Keeps a chain that a convolution of its result y may do before it reads it, until the next call. Nothing
/// else waits then.
struct WaitingChain {
  Prologue does;
  std::size_t rows = 0, columns = 0;
  std::function<void(cudaStream_t)> launch;
};
void add_chain(WaitingChain chain);
/// The chain that waits, where a convolution of x [rows, columns] with these filters may do it and write to
/// `writes`.
const Prologue* prologue_for(const float* x, std::size_t rows, std::size_t columns, const Range& filters,
                             const Range& writes);

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
/// result, or the moments of it. Nothing else waits then. `reads`: what the convolution reads, which what the
/// chain writes may not meet.
struct WaitingConv2d {
  float* y = nullptr;
  std::size_t rows = 0, columns = 0;  ///< of y: pixels and filters
  std::vector<Range> reads;
  Range writes = {};  ///< beside y, which the chain may not read
  Conv2dLaunch launch;

  /// Whether it may do what reads this, and writes that.
  bool goes_with(const Range& write, std::initializer_list<Range> read) const;
};
/// `does_chain`: and the chain that waits.
void add_conv2d(WaitingConv2d conv2d, bool does_chain);
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

/// And so do small products of matrices (matmul.cu). What is done with the last of them may be a row that is
/// added to it; false where it is something else.
bool products_wait();
void launch_products(cudaStream_t stream);
void forget_products();
bool finish_product(const PointwiseDims& chain, std::size_t rows, float* const* operands);
bool finish_product(const Small& call);

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

/// A call of a list whose calls do not need each other, by threads `first` of `step`.
__device__ inline void run_alone(const SmallList::Call& c, int first, int step) {
  for_elements(c, first, step, [&](int row, int column) {
    float y = 0;
    if (c.kind != Small::Kind::zero) y = __ldcg(c.a_from + row * c.a_row + column * c.a_column);
    if (c.kind == Small::Kind::unary) {
      y = unary_reference(static_cast<Unary>(c.code), y, static_cast<double>(c.constant));
    } else if (c.kind == Small::Kind::binary) {
      const float b = __ldcg(c.b_from + row * c.b_row + column * c.b_column);
      y = binary_reference(static_cast<Binary>(c.code), y, b);
    }
    c.y_to[row * c.y_row + column * c.y_column] = y;
  });
}

/// A list in memory (it is longer than the arguments of a kernel may be), of which every thread has read a
/// part already when the list is done.
class EarlyList {
 public:
  __device__ explicit EarlyList(const SmallList* list)
      : list_(list),
        calls_(list->calls),
        independent_(list->independent != 0),
        is_program_(list->is_program != 0) {
    if (threadIdx.x < parts) part_ = reinterpret_cast<const float4*>(list->call)[threadIdx.x];
  }
  __device__ int calls() const { return calls_; }
  __device__ bool independent() const { return independent_; }
  __device__ bool is_program() const { return is_program_; }
  /// Puts the calls, or the program, into shared memory.
  __device__ void put(float* to) const {
    auto* all = reinterpret_cast<float4*>(to);
    if (threadIdx.x < parts) all[threadIdx.x] = part_;
    for (unsigned i = threadIdx.x + blockDim.x; i < parts; i += blockDim.x)
      all[i] = reinterpret_cast<const float4*>(list_->call)[i];
  }
  static constexpr unsigned parts = SmallList::longest * sizeof(SmallList::Call) / sizeof(float4);

 private:
  const SmallList* list_;
  int calls_;
  bool independent_, is_program_;
  float4 part_ = {};
};

/// Floats of shared memory that run_list wants, on a boundary of 16 bytes.
inline constexpr int list_floats = SmallList::room + static_cast<int>(EarlyList::parts) * 4;

// Not inlined, for the sake of the registers and the code of the kernels that do a list last.
__device__ EV3_NOINLINE inline void run_program(const ListProgram& p, float* room) {
  const int threads = static_cast<int>(blockDim.x), tid = static_cast<int>(threadIdx.x), n = p.n,
            log_width = p.log_at_once, width = 1 << log_width, floats = p.inputs << log_width;
#pragma unroll 1
  for (int first = 0; first < n; first += width) {
    if (first > 0) sync_block();
#pragma unroll 1
    for (int i = tid; i < floats; i += threads) {  // other blocks may have written it
      const ListProgram::Input in = p.input[i >> log_width];
      const int e = first + (i & (width - 1));
      if (e < n) room[i] = __ldcg(in.from + e * in.step);
    }
    sync_block();
#pragma unroll 1
    for (int e = tid; e < width && first + e < n; e += threads) run_steps(p, room + e, first + e);
  }
}

__device__ EV3_NOINLINE inline void run_calls(const SmallList::Call* call, int calls, bool independent,
                                              float* room) {
  const int threads = static_cast<int>(blockDim.x), tid = static_cast<int>(threadIdx.x), warps = threads / 32,
            warp = tid / 32, lane = tid % 32;
  if (independent) {  // a warp for each, or all threads
    const int team = calls >= warps ? 32 : threads;
#pragma unroll 1
    for (int k = tid / team; k < calls; k += threads / team) run_alone(call[k], tid % team, team);
    return;
  }
  // A warp for each call, so that many loads are on their way together.
#pragma unroll 1
  for (int k = warp; k < calls; k += warps)  // other blocks may have written it
    load_small(call[k], room, lane, 32, [](const float* p) { return __ldcg(p); });
  sync_block();
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

/// Does a list; all threads of a block call it.
__device__ inline void run_list(const EarlyList& list, float* room) {
  list.put(room + SmallList::room);
  sync_block();
  if (list.is_program()) {
    run_program(*reinterpret_cast<const ListProgram*>(room + SmallList::room), room);
  } else {
    run_calls(reinterpret_cast<const SmallList::Call*>(room + SmallList::room), list.calls(),
              list.independent(), room);
  }
}

}  // namespace autodiff::kernels::cuda
