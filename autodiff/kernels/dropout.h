// Dropout (Srivastava et al. 2014): elements are set to 0 at random, those kept are scaled up so that the
// mean stays.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "autodiff/kernels/scalar.h"
#include "autodiff/tensor/philox.h"

namespace autodiff::kernels {

/// x and y [samples, size], keys [samples]. Whether element i of a sample is kept is a pure function of (the
/// sample's key, layer, i): neither the batch around it nor threads matter, and the derivative, which is the
/// same op on dy, finds the same mask again without having stored it.
struct DropoutDims {
  std::size_t samples, size;
  std::uint32_t layer;
  std::uint32_t threshold;  ///< a random word below it drops: the rate times 2^32
  float scale;              ///< of what is kept: 1 / (1 - rate)
};

/// Four random words: those of elements 4 group .. 4 group + 3. The last counter word keeps them apart from
/// the numbers of tensor/random.h, which have 0 or 1 there.
constexpr std::array<std::uint32_t, 4> dropout_words(std::size_t group, std::uint32_t layer,
                                                     std::int32_t key) {
  const std::uint64_t g = group;
  return philox({static_cast<std::uint32_t>(g), static_cast<std::uint32_t>(g >> 32), layer, 2},
                {static_cast<std::uint32_t>(key), 0x64726f70});
}

/// y_i = scale x_i where word i >= threshold, else 0.
template <class T>
void dropout_reference(const DropoutDims& d, const T* x, const std::int32_t* keys, T* y) {
  const T scale = constant<T>(static_cast<double>(d.scale));
  for (std::size_t n = 0; n < d.samples; ++n, x += d.size, y += d.size) {
    for (std::size_t i = 0; i < d.size; ++i) {
      const std::uint32_t word = dropout_words(i / 4, d.layer, keys[n])[i % 4];
      y[i] = word >= d.threshold ? scale * x[i] : T{};
    }
  }
}

}  // namespace autodiff::kernels
