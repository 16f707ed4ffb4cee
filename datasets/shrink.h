// Smaller images, for studies that must be quick.
#pragma once

#include "datasets/dataset.h"

namespace datasets {

/// Images [H, W, C] as images [H / factor, W / factor, C]: every pixel is the mean of factor x factor pixels,
/// of bytes rounded to the nearest byte (halves up). Throws Error for samples that are no images, and unless
/// `factor` is at least 1 and divides both sides.
Dataset shrink(const Dataset& data, int factor);

}  // namespace datasets
