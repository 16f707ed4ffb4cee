// Small calls wait until something else is called, and then go to the device together: see small_list.h.
#pragma once

#include "autodiff/kernels/cuda/cuda.h"
#include "autodiff/kernels/cuda/small_list.h"

namespace autodiff::kernels::cuda {

/// Puts it on this thread's list.
void add_small(const Small& call);
/// Launches the list, if it is not empty.
void launch_small(cudaStream_t stream);
/// Empties it.
void forget_small();

}  // namespace autodiff::kernels::cuda
