// Rows of classes: softmax, cross entropy, and what deals with labels. A warp for each row.
#include "autodiff/kernels/cuda/cuda.h"

namespace autodiff::kernels::cuda {
namespace {

constexpr unsigned warps = 4;  // of a block

__device__ inline int lane() { return static_cast<int>(threadIdx.x); }
__device__ inline std::size_t row_index() {
  return static_cast<std::size_t>(blockIdx.x) * warps + threadIdx.y;
}

__device__ float warp_max(float v) {
  for (int step = 16; step > 0; step /= 2) v = fmaxf(v, __shfl_xor_sync(~0u, v, step));
  return v;
}

__device__ double warp_sum(double v) {
  for (int step = 16; step > 0; step /= 2) v += __shfl_xor_sync(~0u, v, step);
  return v;
}

// The maximum of a row and the sum of exp(z - max).
__device__ double exponentials(const float* z, int cols, float& most) {
  most = z[0];
  for (int c = lane(); c < cols; c += 32) most = fmaxf(most, z[c]);
  most = warp_max(most);
  double sum = 0;
  for (int c = lane(); c < cols; c += 32) sum += static_cast<double>(expf(z[c] - most));
  return warp_sum(sum);
}

__global__ void softmax_kernel(std::size_t rows, int cols, bool log, const float* x, float* y) {
  await_previous();
  const std::size_t r = row_index();
  if (r >= rows) return;
  x += r * static_cast<std::size_t>(cols);
  y += r * static_cast<std::size_t>(cols);
  float most;
  const double sum = exponentials(x, cols, most);
  const auto log_sum = static_cast<float>(::log(sum)), inverse = static_cast<float>(1.0 / sum);
  for (int c = lane(); c < cols; c += 32) y[c] = log ? (x[c] - most) - log_sum : expf(x[c] - most) * inverse;
}

__global__ void cross_entropy_kernel(std::size_t rows, int cols, const float* z, const std::int32_t* labels,
                                     float* loss) {
  await_previous();
  const std::size_t r = row_index();
  if (r >= rows) return;
  z += r * static_cast<std::size_t>(cols);
  float most;
  const double sum = exponentials(z, cols, most);
  if (lane() == 0) loss[r] = static_cast<float>(::log(sum)) - (z[labels[r]] - most);
}

__global__ void cross_entropy_grad_kernel(std::size_t rows, int cols, const float* z,
                                          const std::int32_t* labels, const float* dloss, float* dz) {
  await_previous();
  const std::size_t r = row_index();
  if (r >= rows) return;
  z += r * static_cast<std::size_t>(cols);
  dz += r * static_cast<std::size_t>(cols);
  float most;
  const auto inverse = static_cast<float>(1.0 / exponentials(z, cols, most));
  for (int c = lane(); c < cols; c += 32) {
    const float p = expf(z[c] - most) * inverse;
    dz[c] = (c == labels[r] ? p - 1.0f : p) * dloss[r];
  }
}

__global__ void argmax_kernel(std::size_t rows, int cols, const float* x, std::int32_t* label) {
  await_previous();
  const std::size_t r = row_index();
  if (r >= rows) return;
  x += r * static_cast<std::size_t>(cols);
  int best = 0;
  for (int c = lane(); c < cols; c += 32) best = x[c] > x[best] ? c : best;
  for (int step = 16; step > 0; step /= 2) {
    const int other = __shfl_xor_sync(~0u, best, step);
    if (x[other] > x[best] || (x[other] == x[best] && other < best)) best = other;
  }
  if (lane() == 0) label[r] = best;
}

__global__ void gather_kernel(std::size_t rows, std::size_t cols, const float* x, const std::int32_t* labels,
                              float* y) {
  await_previous();
  const std::size_t r = thread_index();
  if (r < rows) y[r] = x[r * cols + static_cast<std::size_t>(labels[r])];
}

__global__ void scatter_kernel(std::size_t rows, std::size_t cols, const float* x, const std::int32_t* labels,
                               float* y) {
  await_previous();
  const std::size_t i = thread_index();
  if (i >= rows * cols) return;
  const std::size_t r = i / cols;
  y[i] = i % cols == static_cast<std::size_t>(labels[r]) ? x[r] : 0.0f;
}

unsigned grid(std::size_t rows) { return blocks(rows, warps); }
constexpr dim3 one_block() { return {32, warps}; }

void softmax(const SoftmaxDims& d, const float* x, float* y) {
  launch("softmax", grid(d.rows), one_block(), 0, softmax_kernel, d.rows, static_cast<int>(d.cols), d.log, x,
         y);
}

void cross_entropy(const CrossEntropyDims& d, const float* z, const std::int32_t* labels, float* loss) {
  launch("cross_entropy", grid(d.rows), one_block(), 0, cross_entropy_kernel, d.rows,
         static_cast<int>(d.cols), z, labels, loss);
}

void cross_entropy_grad(const CrossEntropyDims& d, const float* z, const std::int32_t* labels,
                        const float* dloss, float* dz) {
  launch("cross_entropy_grad", grid(d.rows), one_block(), 0, cross_entropy_grad_kernel, d.rows,
         static_cast<int>(d.cols), z, labels, dloss, dz);
}

void argmax(const IndexDims& d, const float* x, std::int32_t* label) {
  launch("argmax", grid(d.rows), one_block(), 0, argmax_kernel, d.rows, static_cast<int>(d.cols), x, label);
}

void gather(const IndexDims& d, const float* x, const std::int32_t* labels, float* y) {
  launch("gather", blocks(d.rows, block), block, 0, gather_kernel, d.rows, d.cols, x, labels, y);
}

void scatter(const IndexDims& d, const float* x, const std::int32_t* labels, float* y) {
  launch("scatter", blocks(d.rows * d.cols, block), block, 0, scatter_kernel, d.rows, d.cols, x, labels, y);
}

}  // namespace

void add_rows(Backend& row) {
  row.softmax = {softmax};
  row.cross_entropy = {cross_entropy};
  row.cross_entropy_grad = {cross_entropy_grad};
  row.argmax = {argmax};
  row.gather = {gather};
  row.scatter = {scatter};
}

}  // namespace autodiff::kernels::cuda
