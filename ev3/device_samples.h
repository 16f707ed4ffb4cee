// Data sets on the device, one copy for all who draw from them.
#pragma once

#include <memory>
#include <vector>

#include "datasets/stream.h"
#include "nn/device_training.h"

namespace ev3 {

/// The data set that a stream draws from; the same copy as long as somebody has it. Null where a device
/// cannot gather its batches: rows of numbers that are augmented as images.
std::shared_ptr<const nn::DeviceSamples> device_samples(const datasets::Stream& stream);

/// Adds what batches first .. first + count - 1 draw.
void add_draws(const datasets::Stream& stream, std::int64_t first, int count,
               std::vector<autodiff::kernels::device::Sample>& drawn);

}  // namespace ev3
