// Tasks made of random numbers: any number of samples, the same ones for the same seed.
//
// Sample i depends on the seed and i alone, so a larger set begins with the smaller one. The values of
// `gaussian` and `exclusive_or` are the same on every platform; `moons` and `spirals` use std::sin and
// std::cos, whose last bit is not promised.
#pragma once

#include <cstdint>

#include "datasets/dataset.h"

namespace datasets {

struct GaussianOptions {
  int samples = 100000;
  int features = 2;
  int labels = 2;
  std::uint64_t seed = 0;
};

/// Standard normal features [n, features]. Two labels: 1 on the positive side of a random direction, else 0.
/// More labels (two features only): the sector of the angle, counted counterclockwise from the negative x
/// axis. Throws Error for no samples or features, fewer than 2 labels, or more than 2 with other than 2
/// features.
Dataset gaussian(const GaussianOptions& options = {});

struct PlaneOptions {
  int samples = 1000;
  double noise = 0.05;  // standard deviation of what is added to both coordinates
  std::uint64_t seed = 0;
};

/// Two interleaved half circles of radius 1 [n, 2], 2 classes in turn. Throws Error for no samples, negative
/// noise.
Dataset moons(const PlaneOptions& options = {});

/// Two arms of a spiral of one and a half turns in the unit disc [n, 2], 2 classes in turn. Throws Error as
/// moons.
Dataset spirals(const PlaneOptions& options = {});

/// Uniform in the square [-1, 1] x [-1, 1] [n, 2], class 1 where the signs differ before the noise is added:
/// what no linear model can learn. Throws Error as moons.
Dataset exclusive_or(const PlaneOptions& options = {});

}  // namespace datasets
