#include <algorithm>

#include "autodiff/kernels/portable/kernels.h"

namespace autodiff::kernels::portable {
namespace {

void rows(const CopyDims& d, std::size_t axis, const float* x, float* y) {
  const bool last = axis + 1 == static_cast<std::size_t>(d.rank);
  if (last && d.in_stride[axis] == 1 && d.out_stride[axis] == 1) {
    std::copy_n(x, d.size[axis], y);
    return;
  }
  for (int i = 0; i < d.size[axis]; ++i) {
    const float* from = x + i * d.in_stride[axis];
    float* to = y + i * d.out_stride[axis];
    if (last) {
      *to = *from;
    } else {
      rows(d, axis + 1, from, to);
    }
  }
}

}  // namespace

void copy(const CopyDims& d, const float* x, float* y) {
  std::fill_n(y, d.zero_first, 0.0f);
  if (d.rank == 0) {
    y[d.out_offset] = x[d.in_offset];
  } else if (std::count(d.size.begin(), d.size.begin() + d.rank, 0) == 0) {  // no arithmetic on null pointers
    rows(d, 0, x + d.in_offset, y + d.out_offset);
  }
}

}  // namespace autodiff::kernels::portable
