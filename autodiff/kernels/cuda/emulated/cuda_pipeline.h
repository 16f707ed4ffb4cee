// Copies to shared memory that nobody has to wait for: see cuda_runtime.h of this folder.
#pragma once

#include <cstring>

#include "autodiff/kernels/cuda/emulated/cuda_runtime.h"

namespace emulated {
/// Does a copy when its group is waited for, so that who does not wait reads what was there before.
void copy_later(void* to, const void* from, std::size_t bytes, std::size_t zeros);
void end_group();
void wait_for_groups(std::size_t but_the_last);
}  // namespace emulated

inline void __pipeline_memcpy_async(void* to, const void* from, std::size_t bytes, std::size_t zeros = 0) {
  emulated::copy_later(to, from, bytes, zeros);
}
inline void __pipeline_commit() { emulated::end_group(); }
inline void __pipeline_wait_prior(std::size_t n) { emulated::wait_for_groups(n); }
