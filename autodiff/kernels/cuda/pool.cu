// Pooling: one thread for every element of the result. Adjoints gather, window by window in the order of the
// CPU's, instead of adding to places that others add to.
#include "autodiff/kernels/cuda/cuda.h"

namespace autodiff::kernels::cuda {
namespace {

struct At {
  int n, i, j, c;
};

// Element number `index` of images [n, h, w, c].
__device__ At find(std::size_t index, int h, int w, int c) {
  At at{};
  at.c = static_cast<int>(index % static_cast<std::size_t>(c));
  index /= static_cast<std::size_t>(c);
  at.j = static_cast<int>(index % static_cast<std::size_t>(w));
  index /= static_cast<std::size_t>(w);
  at.i = static_cast<int>(index % static_cast<std::size_t>(h));
  at.n = static_cast<int>(index / static_cast<std::size_t>(h));
  return at;
}

__device__ std::size_t x_index(const PoolDims& d, int n, int r, int s, int c) {
  return ((static_cast<std::size_t>(n) * static_cast<std::size_t>(d.h) + static_cast<std::size_t>(r)) *
              static_cast<std::size_t>(d.w) +
          static_cast<std::size_t>(s)) *
             static_cast<std::size_t>(d.c) +
         static_cast<std::size_t>(c);
}

__device__ std::size_t y_index(const PoolDims& d, int n, int i, int j, int c) {
  return ((static_cast<std::size_t>(n) * static_cast<std::size_t>(d.oh) + static_cast<std::size_t>(i)) *
              static_cast<std::size_t>(d.ow) +
          static_cast<std::size_t>(j)) *
             static_cast<std::size_t>(d.c) +
         static_cast<std::size_t>(c);
}

struct Window {
  int top, bottom, left, right;
};

__device__ Window window(const PoolDims& d, int i, int j) {
  const int row = i * d.stride - d.top, column = j * d.stride - d.left;
  return {max(row, 0), min(row + d.kh, d.h), max(column, 0), min(column + d.kw, d.w)};
}

// Where in x the maximum of window (i, j) is, the first among equals.
__device__ std::size_t best_of(const PoolDims& d, const float* x, int n, int i, int j, int c) {
  const Window w = window(d, i, j);
  std::size_t best = x_index(d, n, w.top, w.left, c);
  for (int r = w.top; r < w.bottom; ++r) {
    for (int s = w.left; s < w.right; ++s) {
      const std::size_t at = x_index(d, n, r, s, c);
      if (x[at] > x[best]) best = at;
    }
  }
  return best;
}

// Calls visit(i, j) for the windows that cover row r, column s.
template <class Visit>
__device__ void windows_over(const PoolDims& d, int r, int s, Visit visit) {
  const auto first = [&](int at, int length) { return at < length ? 0 : (at - length) / d.stride + 1; };
  for (int i = first(r + d.top, d.kh); i < d.oh && i * d.stride - d.top <= r; ++i) {
    for (int j = first(s + d.left, d.kw); j < d.ow && j * d.stride - d.left <= s; ++j) visit(i, j);
  }
}

__global__ void max_pool_kernel(PoolDims d, std::size_t n, const float* x, const float* v, float* y) {
  await_previous();
  const std::size_t k = thread_index();
  if (k >= n) return;
  const At at = find(k, d.oh, d.ow, d.c);
  y[k] = v[best_of(d, x, at.n, at.i, at.j, at.c)];
}

__global__ void max_pool_grad_kernel(PoolDims d, std::size_t n, const float* x, const float* dy, float* dx) {
  await_previous();
  const std::size_t k = thread_index();
  if (k >= n) return;
  const At at = find(k, d.h, d.w, d.c);
  float sum = 0;
  windows_over(d, at.i, at.j, [&](int i, int j) {
    if (best_of(d, x, at.n, i, j, at.c) == k) sum += dy[y_index(d, at.n, i, j, at.c)];
  });
  dx[k] = sum;
}

__global__ void avg_pool_kernel(PoolDims d, std::size_t n, float share, const float* x, float* y) {
  await_previous();
  const std::size_t k = thread_index();
  if (k >= n) return;
  const At at = find(k, d.oh, d.ow, d.c);
  const Window w = window(d, at.i, at.j);
  float sum = 0;
  for (int r = w.top; r < w.bottom; ++r) {
    for (int s = w.left; s < w.right; ++s) sum += x[x_index(d, at.n, r, s, at.c)] * share;
  }
  y[k] = sum;
}

__global__ void avg_pool_grad_kernel(PoolDims d, std::size_t n, float share, const float* dy, float* dx) {
  await_previous();
  const std::size_t k = thread_index();
  if (k >= n) return;
  const At at = find(k, d.h, d.w, d.c);
  float sum = 0;
  windows_over(d, at.i, at.j, [&](int i, int j) { sum += dy[y_index(d, at.n, i, j, at.c)] * share; });
  dx[k] = sum;
}

std::size_t size_of(const PoolDims& d, int h, int w) {
  return static_cast<std::size_t>(d.n) * static_cast<std::size_t>(h) * static_cast<std::size_t>(w) *
         static_cast<std::size_t>(d.c);
}

float share_of(const PoolDims& d) { return static_cast<float>(1.0 / (d.kh * d.kw)); }

void max_pool(const PoolDims& d, const float* x, const float* v, float* y) {
  const std::size_t n = size_of(d, d.oh, d.ow);
  if (n) launch("max_pool", blocks(n, block), block, 0, max_pool_kernel, d, n, x, v, y);
}

void max_pool_grad(const PoolDims& d, const float* x, const float* dy, float* dx) {
  const std::size_t n = size_of(d, d.h, d.w);
  if (n) launch("max_pool_grad", blocks(n, block), block, 0, max_pool_grad_kernel, d, n, x, dy, dx);
}

void avg_pool(const PoolDims& d, const float* x, float* y) {
  const std::size_t n = size_of(d, d.oh, d.ow);
  if (n) launch("avg_pool", blocks(n, block), block, 0, avg_pool_kernel, d, n, share_of(d), x, y);
}

void avg_pool_grad(const PoolDims& d, const float* dy, float* dx) {
  const std::size_t n = size_of(d, d.h, d.w);
  if (n) launch("avg_pool_grad", blocks(n, block), block, 0, avg_pool_grad_kernel, d, n, share_of(d), dy, dx);
}

}  // namespace

void add_images(Backend& row) {
  row.max_pool = {max_pool};
  row.max_pool_grad = {max_pool_grad};
  row.avg_pool = {avg_pool};
  row.avg_pool_grad = {avg_pool_grad};
}

}  // namespace autodiff::kernels::cuda
