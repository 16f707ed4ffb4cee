// Moving elements without changing them: transpose, slice, pad, concatenate and repeat are all one strided
// copy.
#pragma once

#include <array>
#include <cstddef>

namespace autodiff::kernels {

/// y[out_offset + sum of i_k out_stride_k] = x[in_offset + sum of i_k in_stride_k] over all indices i.
/// With zero_first, y's first zero_first elements are set to 0 before.
struct CopyDims {
  static constexpr int max_rank = 6;
  int rank = 0;
  std::array<int, max_rank> size{};
  std::array<std::ptrdiff_t, max_rank> in_stride{}, out_stride{};
  std::ptrdiff_t in_offset = 0, out_offset = 0;
  std::size_t zero_first = 0;
};

template <class T>
void copy_axis(const CopyDims& d, int axis, const T* x, std::ptrdiff_t from, T* y, std::ptrdiff_t to) {
  if (axis == d.rank) {
    y[to] = x[from];
    return;
  }
  const auto k = static_cast<std::size_t>(axis);
  for (int i = 0; i < d.size[k]; ++i) {
    copy_axis(d, axis + 1, x, from + i * d.in_stride[k], y, to + i * d.out_stride[k]);
  }
}

template <class T>
void copy_reference(const CopyDims& d, const T* x, T* y) {
  for (std::size_t i = 0; i < d.zero_first; ++i) y[i] = T{};
  copy_axis(d, 0, x, d.in_offset, y, d.out_offset);
}

}  // namespace autodiff::kernels
