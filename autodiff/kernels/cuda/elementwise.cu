// Functions applied element by element; copies; dropout. Chains of functions are in chain.cu.
#include <algorithm>
#include <utility>

#include "autodiff/kernels/cuda/cuda.h"
#include "autodiff/kernels/cuda/small.h"

namespace autodiff::kernels::cuda {
namespace {

__global__ void unary_kernel(Unary kind, float constant, std::size_t n, const float* x, float* y) {
  await_previous();
  const std::size_t i = thread_index();
  if (i < n) y[i] = unary_reference(kind, x[i], static_cast<double>(constant));
}

void unary(const UnaryDims& d, const float* x, float* y) {
  if (d.n == 0) return;
  if (d.n <= most_small && add_small({.kind = Small::Kind::unary,
                                      .code = static_cast<unsigned char>(d.kind),
                                      .columns = static_cast<int>(d.n),
                                      .a_column = 1,
                                      .y_column = 1,
                                      .constant = d.constant,
                                      .a = x,
                                      .y = y})) {
    return;
  }
  launch("unary", blocks(d.n, block), block, 0, unary_kernel, d.kind, d.constant, d.n, x, y);
}

// Sizes and strides of an index space, as kernels take them.
struct Axes {
  int rank;
  int size[6];
  long long a[6], b[6];
};

// The elements of a and b, or of the source and the target of a copy, that belong to index i.
template <class Index>
__device__ void find(const Axes& axes, Index i, long long& a, long long& b) {
  for (int k = axes.rank - 1; k > 0; --k) {
    const auto size = static_cast<Index>(axes.size[k]);
    const auto at = static_cast<long long>(i % size);
    i /= size;
    a += at * axes.a[k];
    b += at * axes.b[k];
  }
  a += static_cast<long long>(i) * axes.a[0];
  b += static_cast<long long>(i) * axes.b[0];
}

template <class Dims, class A, class B>
std::size_t fill(Axes& axes, const Dims& d, const A& a, const B& b) {
  std::size_t n = 1;
  axes.rank = d.rank;
  for (std::size_t k = 0; k < static_cast<std::size_t>(d.rank); ++k) {
    axes.size[k] = d.size[k];
    axes.a[k] = a[k];
    axes.b[k] = b[k];
    n *= static_cast<std::size_t>(d.size[k]);
  }
  return n;
}

// A small call of an index space of one or two axes, with the strides of its first operand.
template <class Dims, class Strides>
Small small(const Dims& d, const Strides& a) {
  Small call;
  const auto last = static_cast<std::size_t>(d.rank - 1);
  if (d.rank == 2) call.rows = d.size[0], call.a_row = static_cast<int>(a[0]);
  call.columns = d.size[last];
  call.a_column = static_cast<int>(a[last]);
  return call;
}

__global__ void binary_kernel(Binary kind, Axes axes, std::size_t n, const float* a, const float* b,
                              float* y) {
  await_previous();
  const std::size_t i = thread_index();
  if (i >= n) return;
  long long at = 0, bt = 0;
  find(axes, i, at, bt);
  y[i] = binary_reference(kind, a[at], b[bt]);
}

void binary(const BinaryDims& d, const float* a, const float* b, float* y) {
  Axes axes{};
  const std::size_t n = fill(axes, d, d.a_stride, d.b_stride);
  if (n == 0) return;
  if (n <= most_small && d.rank <= 2) {
    Small call = small(d, d.a_stride);
    const auto last = static_cast<std::size_t>(d.rank - 1);
    call.kind = Small::Kind::binary;
    call.code = static_cast<unsigned char>(d.kind);
    call.b_row = d.rank == 2 ? static_cast<int>(d.b_stride[0]) : 0;
    call.b_column = static_cast<int>(d.b_stride[last]);
    call.y_row = call.columns;
    call.y_column = 1;
    call.a = a, call.b = b, call.y = y;
    if (add_small(call)) return;
  }
  launch("binary", blocks(n, block), block, 0, binary_kernel, d.kind, axes, n, a, b, y);
}

// Copies wait as small calls do, and go together while none needs what another writes: row y of the grid does
// the y-th of them.
struct Copy {
  Axes axes;
  std::size_t n;
  const float* x;
  float* y;
};
struct CopyList {
  static constexpr int longest = 24;
  int copies = 0;
  Copy copy[longest];
};
static_assert(sizeof(CopyList) <= 4096);
thread_local CopyList waiting_copies;

__global__ void copy_kernel(__grid_constant__ const CopyList list) {
  await_previous();
  const Copy& c = list.copy[blockIdx.y];
  const std::size_t i = thread_index();
  if (i >= c.n) return;
  long long from = 0, to = 0;
  if (c.n <= 0xffffffffu) {
    find(c.axes, static_cast<unsigned>(i), from, to);
  } else {
    find(c.axes, i, from, to);
  }
  c.y[to] = c.x[from];
}

Range read_by(const Copy& c) { return range_of(c.x, c.axes.rank, c.axes.size, c.axes.a); }
Range written_by(const Copy& c) { return range_of(c.y, c.axes.rank, c.axes.size, c.axes.b); }
bool may_join(const CopyList& list, const Copy& c) {
  const Range reads = read_by(c), writes = written_by(c);
  return list.copies < CopyList::longest &&
         std::none_of(list.copy, list.copy + list.copies, [&](const Copy& other) {
           const Range written = written_by(other);
           return written.meets(reads) || written.meets(writes) || writes.meets(read_by(other));
         });
}

void copy(const CopyDims& d, const float* x, float* y) {
  Axes axes{};
  const std::size_t n = fill(axes, d, d.in_stride, d.out_stride);
  if (n > 0 && n <= most_small && d.rank <= 2 && d.zero_first <= most_small) {
    const bool zeroed =
        d.zero_first == 0 ||
        add_small(
            {.kind = Small::Kind::zero, .columns = static_cast<int>(d.zero_first), .y_column = 1, .y = y});
    Small call = small(d, d.in_stride);
    call.y_row = d.rank == 2 ? static_cast<int>(d.out_stride[0]) : 0;
    call.y_column = static_cast<int>(d.out_stride[static_cast<std::size_t>(d.rank - 1)]);
    call.a = x + d.in_offset, call.y = y + d.out_offset;
    if (zeroed && add_small(call)) return;
  }
  if (d.zero_first) check(cudaMemsetAsync(y, 0, d.zero_first * sizeof(float), stream()), "copy");
  if (n == 0) return;
  const Copy call{axes, n, x + d.in_offset, y + d.out_offset};
  if (waiting_copies.copies == 0 || !may_join(waiting_copies, call)) stream();  // launches what waits
  waiting_copies.copy[waiting_copies.copies++] = call;
}

// One thread for the four elements that share a group of random words.
__global__ void dropout_kernel(DropoutDims d, std::size_t groups, const float* x, const std::int32_t* keys,
                               float* y) {
  await_previous();
  const std::size_t i = thread_index();
  if (i >= d.samples * groups) return;
  const std::size_t sample = i / groups, group = i % groups;
  const auto words = dropout_words(group, d.layer, keys[sample]);
  for (std::size_t k = 0; k < 4 && 4 * group + k < d.size; ++k) {
    const std::size_t at = sample * d.size + 4 * group + k;
    y[at] = words[k] >= d.threshold ? d.scale * x[at] : 0.0f;
  }
}

void dropout(const DropoutDims& d, const float* x, const std::int32_t* keys, float* y) {
  const std::size_t groups = (d.size + 3) / 4;
  if (d.samples * groups == 0) return;
  launch("dropout", blocks(d.samples * groups, block), block, 0, dropout_kernel, d, groups, x, keys, y);
}

}  // namespace

void launch_copies(cudaStream_t to) {
  const CopyList list = waiting_copies;
  if (std::exchange(waiting_copies.copies, 0) == 0) return;
  std::size_t longest = 0;
  for (int k = 0; k < list.copies; ++k) longest = std::max(longest, list.copy[k].n);
  launch_on(to, "copy", dim3(blocks(longest, block), static_cast<unsigned>(list.copies)), block, 0,
            copy_kernel, list);
}

bool copies_wait() { return waiting_copies.copies > 0; }
void forget_copies() { waiting_copies.copies = 0; }

void add_elementwise(Backend& row) {
  row.unary = {unary};
  row.binary = {binary};
  row.copy = {copy};
  row.dropout = {dropout};
}

}  // namespace autodiff::kernels::cuda
