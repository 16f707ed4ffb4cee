// How parameters start.
#pragma once

#include <span>

#include "autodiff/tensor/random.h"
#include "autodiff/tensor/shape.h"

namespace nn {

enum class Distribution { zeros, ones, normal, uniform, truncated_normal };
enum class Fan { in, out, average };

/// Random values with variance `scale` / fan (JAX's variance_scaling), or a constant. fan_in of a kernel [in,
/// out] is in; of [height, width, in, out] it is height x width x in; fan_out likewise.
struct Initializer {
  Distribution distribution = Distribution::zeros;
  double scale = 1;
  Fan fan = Fan::in;
};

inline constexpr Initializer zeros{Distribution::zeros};
inline constexpr Initializer ones{Distribution::ones};
/// LeCun et al. 1998: variance 1 / fan_in. Truncated at two standard deviations, as the reference of EV3 has
/// it.
inline constexpr Initializer lecun_normal{Distribution::truncated_normal, 1, Fan::in};
inline constexpr Initializer lecun_uniform{Distribution::uniform, 1, Fan::in};
/// Glorot and Bengio 2010: variance 2 / (fan_in + fan_out).
inline constexpr Initializer glorot_normal{Distribution::truncated_normal, 1, Fan::average};
inline constexpr Initializer glorot_uniform{Distribution::uniform, 1, Fan::average};
/// He et al. 2015: variance 2 / fan_in.
inline constexpr Initializer he_normal{Distribution::truncated_normal, 2, Fan::in};
inline constexpr Initializer he_uniform{Distribution::uniform, 2, Fan::in};

/// Fills `values`, a parameter of `shape`. Truncated normals are cut at two standard deviations of the
/// untruncated one and widened so that the variance is as asked.
void fill(const Initializer& initializer, const autodiff::Shape& shape, autodiff::Seed seed,
          std::span<float> values);

}  // namespace nn
