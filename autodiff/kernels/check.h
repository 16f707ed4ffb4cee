// Every kernel against its definition in double precision: what `ev3 doctor` and the tests run.
#pragma once

#include <string>
#include <vector>

#include "autodiff/kernels/backend.h"

namespace autodiff::kernels {

/// One kernel at one size. `error` and `bound` belong to the element that comes closest to (or exceeds) its
/// bound, which follows from the number and size of the terms; they are infinite where a kernel wrote outside
/// its output.
struct KernelCheck {
  std::string kernel, backend, dims;
  double error = 0, bound = 0;
  bool ok = true;
};

/// All entries of `backend`, but for convolutions also at sizes that it does not support: odd ones, 1, 0,
/// unaligned arrays with NaN behind every input and a pattern around every output.
std::vector<KernelCheck> check_kernels(const Backend& backend);
/// The same for all enabled backends, in less than a second.
std::vector<KernelCheck> check_kernels();

}  // namespace autodiff::kernels
