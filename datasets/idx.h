// IDX files, the format of MNIST and Fashion-MNIST: a magic number, the sizes, the elements, all big-endian.
#pragma once

#include <cstddef>
#include <filesystem>
#include <string>

#include "datasets/dataset.h"

namespace datasets {

/// The content of an IDX file, the elements still as bytes.
struct Idx {
  autodiff::Shape shape;
  int type = 0;  // 0x08 uint8, 0x09 int8, 0x0B int16, 0x0C int32, 0x0D float32, 0x0E float64
  std::string bytes;

  /// Element i in row-major order; exact for every type.
  double operator[](std::size_t i) const;
};

/// Reads an IDX file, plain or gzip. Throws Error naming the path for a wrong magic number, an unknown type,
/// more than 6 axes, and fewer or more bytes than the sizes mean.
Idx read_idx(const std::filesystem::path& path);

/// Images [n, H, W] and labels [n] as a Dataset of samples [H, W, 1]; bytes stay bytes, other types become
/// floats as they are. Throws Error as read_idx, and for other shapes, different n, and labels that are not
/// whole numbers in 0 .. classes-1 or leave a class without a sample.
Dataset read_idx(const std::filesystem::path& images, const std::filesystem::path& labels, int classes);

/// Which part of a data set that comes in two.
enum class Part { train, test };

/// MNIST or a set with the same file names: {train,t10k}-images-idx3-ubyte and -labels-idx1-ubyte, plain or
/// with .gz, in the folder `where` or beginning with it ("data/fashion-"). Samples [28, 28, 1] of bytes, 10
/// classes. Throws Error with the names looked for when they are missing, and as read_idx.
Dataset mnist(const std::filesystem::path& where, Part part = Part::train);

}  // namespace datasets
