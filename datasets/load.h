// One door to all data: a name, a folder or a file.
#pragma once

#include <string>
#include <vector>

#include "datasets/cifar.h"
#include "datasets/csv.h"
#include "datasets/dataset.h"
#include "datasets/idx.h"
#include "datasets/synthetic.h"

namespace datasets {

struct LoadOptions {
  Part part = Part::train;                 // of a folder with MNIST's or CIFAR's files
  CifarLabels labels = CifarLabels::fine;  // of CIFAR-100
  CsvOptions csv = {};                     // of .csv files
  GaussianOptions gaussian = {};
  PlaneOptions plane = {};  // of moons, spirals and xor
};

/// The names that `load` knows: digits, gaussian, moons, spirals, xor.
const std::vector<std::string>& names();

/// The data called `what`: one of names(), a folder with the files of MNIST, CIFAR-10 or CIFAR-100 (or with
/// CIFAR's own folder in it), a .csv, .csv.gz or .npz file. Throws Error with what is known and the nearest
/// name for anything else, for a folder with both CIFARs, and as the reader does.
Dataset load(const std::string& what, const LoadOptions& options = {});

}  // namespace datasets
