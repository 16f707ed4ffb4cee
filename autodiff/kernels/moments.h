// Mean and variance of every channel over all samples and positions: what batch normalization needs.
#pragma once

#include <cstddef>

#include "autodiff/kernels/scalar.h"

namespace autodiff::kernels {

/// x [rows, channels] (samples and positions are rows), m [2, channels]: the means, then the biased
/// variances.
struct MomentsDims {
  std::size_t rows, channels;
};

/// mean_c = sum over r of x_rc / rows, var_c = sum over r of (x_rc - mean_c)^2 / rows, both formed in double:
/// two passes, so that a mean far from zero costs no digits.
template <class T>
void moments_reference(const MomentsDims& d, const T* x, T* m) {
  const auto rows = static_cast<double>(d.rows);
  for (std::size_t c = 0; c < d.channels; ++c) {
    Accumulator<T> sum{}, squares{};
    for (std::size_t r = 0; r < d.rows; ++r) sum += x[r * d.channels + c];
    const Accumulator<T> mean = sum / rows;
    for (std::size_t r = 0; r < d.rows; ++r) {
      const Accumulator<T> distance = Accumulator<T>(x[r * d.channels + c]) - mean;
      squares += distance * distance;
    }
    m[c] = static_cast<T>(mean);
    m[d.channels + c] = static_cast<T>(squares / rows);
  }
}

/// The moments of all chunks from those of each: part k has weight[k] of the samples.
///     mean = sum of w_k mean_k,   var = sum of w_k (var_k + (mean_k - mean)^2)       (Chan, Golub, LeVeque)
inline void combine_moments(std::size_t channels, std::size_t parts, const double* weights,
                            const float* const* partials, float* m) {
  for (std::size_t c = 0; c < channels; ++c) {
    double mean = 0, variance = 0;
    for (std::size_t k = 0; k < parts; ++k) mean += weights[k] * static_cast<double>(partials[k][c]);
    for (std::size_t k = 0; k < parts; ++k) {
      const double distance = static_cast<double>(partials[k][c]) - mean;
      variance += weights[k] * (static_cast<double>(partials[k][channels + c]) + distance * distance);
    }
    m[c] = static_cast<float>(mean);
    m[channels + c] = static_cast<float>(variance);
  }
}

}  // namespace autodiff::kernels
