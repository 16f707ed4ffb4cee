// Pooling: the maximum or the mean over windows of an image, and what their derivatives need.
#pragma once

#include <cstddef>
#include <utility>

#include "autodiff/kernels/scalar.h"

namespace autodiff::kernels {

/// x [n, h, w, c], y [n, oh, ow, c]; window (i, j) covers rows i stride - top ... + kh - 1 and columns
/// j stride - left ... + kw - 1, as far as they are inside x. Every window has at least one element.
struct PoolDims {
  int n = 0, h = 0, w = 0, c = 0;
  int kh = 1, kw = 1, oh = 0, ow = 0;
  int stride = 1, top = 0, left = 0;
};

/// Calls window(y index of channel 0, rows of x [first, last), columns [first, last), x index of the image)
/// for every window, in the order n, i, j.
template <class Window>
void pool_walk(const PoolDims& d, Window window) {
  const auto clip = [](int begin, int length, int size) {
    return std::pair(begin < 0 ? 0 : begin, begin + length < size ? begin + length : size);
  };
  std::size_t y = 0;
  for (int n = 0; n < d.n; ++n) {
    const std::size_t image = static_cast<std::size_t>(n) * static_cast<std::size_t>(d.h) *
                              static_cast<std::size_t>(d.w) * static_cast<std::size_t>(d.c);
    for (int i = 0; i < d.oh; ++i) {
      for (int j = 0; j < d.ow; ++j, y += static_cast<std::size_t>(d.c)) {
        window(y, clip(i * d.stride - d.top, d.kh, d.h), clip(j * d.stride - d.left, d.kw, d.w), image);
      }
    }
  }
}

/// Index in x of row r, column s, channel 0 of the image that begins at `image`.
inline std::size_t pool_at(const PoolDims& d, std::size_t image, int r, int s) {
  return image + (static_cast<std::size_t>(r) * static_cast<std::size_t>(d.w) + static_cast<std::size_t>(s)) *
                     static_cast<std::size_t>(d.c);
}

/// Calls meet(x index, y index) for the greatest element of every window and channel, the first one in the
/// order of rows and columns among equals.
template <class T, class Meet>
void max_pool_walk(const PoolDims& d, const T* x, Meet meet) {
  pool_walk(d, [&](std::size_t y, auto rows, auto columns, std::size_t image) {
    for (std::size_t c = 0; c < static_cast<std::size_t>(d.c); ++c) {
      std::size_t best = pool_at(d, image, rows.first, columns.first) + c;
      for (int r = rows.first; r < rows.second; ++r) {
        for (int s = columns.first; s < columns.second; ++s) {
          const std::size_t at = pool_at(d, image, r, s) + c;
          if (real_part(x[at]) > real_part(x[best])) best = at;
        }
      }
      meet(best, y + c);
    }
  });
}

/// y = v at the place of x's maximum in every window; with v = x the maxima themselves.
template <class T>
void max_pool_reference(const PoolDims& d, const T* x, const T* v, T* y) {
  max_pool_walk(d, x, [&](std::size_t xi, std::size_t yi) { y[yi] = v[xi]; });
}

/// dx = the sum of dy over the windows whose maximum is here, in the order of the windows: the adjoint of
/// max_pool in v.
template <class T>
void max_pool_grad_reference(const PoolDims& d, const T* x, const T* dy, T* dx) {
  const std::size_t size = pool_at(d, 0, d.n * d.h, 0);
  for (std::size_t i = 0; i < size; ++i) dx[i] = T{};
  max_pool_walk(d, x, [&](std::size_t xi, std::size_t yi) { dx[xi] += dy[yi]; });
}

/// Calls meet(x index, y index) for every element of every window, in the order n, i, j, rows, columns, c.
template <class Meet>
void avg_pool_walk(const PoolDims& d, Meet meet) {
  pool_walk(d, [&](std::size_t y, auto rows, auto columns, std::size_t image) {
    for (int r = rows.first; r < rows.second; ++r) {
      for (int s = columns.first; s < columns.second; ++s) {
        const std::size_t x = pool_at(d, image, r, s);
        for (std::size_t c = 0; c < static_cast<std::size_t>(d.c); ++c) meet(x + c, y + c);
      }
    }
  });
}

/// y = the sum over the window divided by kh kw: elements outside x count as zeros.
template <class T>
void avg_pool_reference(const PoolDims& d, const T* x, T* y) {
  const std::size_t size = static_cast<std::size_t>(d.n) * static_cast<std::size_t>(d.oh) *
                           static_cast<std::size_t>(d.ow) * static_cast<std::size_t>(d.c);
  const T share = constant<T>(1.0 / (d.kh * d.kw));
  for (std::size_t i = 0; i < size; ++i) y[i] = T{};
  avg_pool_walk(d, [&](std::size_t xi, std::size_t yi) { y[yi] += x[xi] * share; });
}

/// dx = the sum of dy / (kh kw) over the windows that cover it: the adjoint of avg_pool.
template <class T>
void avg_pool_grad_reference(const PoolDims& d, const T* dy, T* dx) {
  const std::size_t size = pool_at(d, 0, d.n * d.h, 0);
  const T share = constant<T>(1.0 / (d.kh * d.kw));
  for (std::size_t i = 0; i < size; ++i) dx[i] = T{};
  avg_pool_walk(d, [&](std::size_t xi, std::size_t yi) { dx[xi] += dy[yi] * share; });
}

}  // namespace autodiff::kernels
