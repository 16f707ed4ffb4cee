// CIFAR-10 and CIFAR-100 in their binary form: records of labels and 32 x 32 pixels in three planes.
#pragma once

#include <filesystem>

#include "datasets/dataset.h"
#include "datasets/idx.h"

namespace datasets {

/// The classes of CIFAR-100: 100 of them, or the 20 groups of five that they form.
enum class CifarLabels { fine, coarse };

struct CifarOptions {
  Part part = Part::train;
  CifarLabels labels = CifarLabels::fine;  // of CIFAR-100
  int samples = 0;                         // the first so many, 0: all
};

/// Where CIFAR's files are: `where` itself or its folder cifar-10-batches-bin; empty if in neither.
std::filesystem::path find_cifar10(const std::filesystem::path& where);
/// The same with cifar-100-binary.
std::filesystem::path find_cifar100(const std::filesystem::path& where);

/// data_batch_1.bin .. data_batch_5.bin, or test_batch.bin, one after the other: samples [32, 32, 3] of
/// bytes, 10 classes, named where there is a batches.meta.txt. Throws Error naming the file when one is
/// missing, its size is no multiple of a record's 3,073 bytes, or it is empty; when a label is out of range,
/// the names are not as many as the classes, or there are fewer than `samples` records.
Dataset cifar10(const std::filesystem::path& where, const CifarOptions& options = {});

/// train.bin or test.bin: the same with records of 3,074 bytes and 100 classes or 20; names from
/// fine_label_names.txt or coarse_label_names.txt.
Dataset cifar100(const std::filesystem::path& where, const CifarOptions& options = {});

}  // namespace datasets
