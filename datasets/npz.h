// Data sets in NumPy's .npz files.
#pragma once

#include <filesystem>

#include "datasets/dataset.h"

namespace datasets {

/// A file with features [n, sample...] under one of the keys feature, features, x, and whole-number labels
/// [n] under label, labels or y. uint8 features stay bytes, others become floats as they are; a sample [H, W]
/// becomes [H, W, 1]. Throws Error naming the path for missing keys, wrong shapes, and what autodiff::Npz,
/// check and check_classes refuse.
Dataset read_npz(const std::filesystem::path& path);

}  // namespace datasets
