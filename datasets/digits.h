// Handwritten digits that need no file: 1,797 grey images of 8 x 8 pixels, compiled into the library.
//
// From "Optical Recognition of Handwritten Digits" (test part), E. Alpaydin and C. Kaynak, UCI Machine
// Learning Repository, 1998, https://doi.org/10.24432/C50P49, licensed CC BY 4.0. The pixels are scaled from
// 0..16 to 0..1.
#pragma once

#include "datasets/dataset.h"

namespace datasets {

/// 1,797 images [8, 8, 1] with values v/16 in [0, 1], 10 classes, 174 to 183 samples each.
Dataset digits();

}  // namespace datasets
