// Random crops and flips of images, as a pure function of a seed and a position in a stream.
#pragma once

#include <cstdint>
#include <string>

#include "autodiff/tensor/random.h"
#include "autodiff/tensor/shape.h"

namespace datasets {

/// Pads an image by `pad` pixels on each side, mirrored at its border (which is not repeated: 2 1 | 0 1 2),
/// crops it at random to its own size, and mirrors it left to right with probability one half.
struct Augmentation {
  int pad = 0;
  bool flip = false;
  /// Whether it does anything.
  bool any() const { return pad > 0 || flip; }
  bool operator==(const Augmentation&) const = default;
};

/// Throws Error beginning with `name` for samples that are not images [H, W, C], and unless 0 <= pad <
/// min(H, W).
void check(const Augmentation& augmentation, const autodiff::Shape& sample, const std::string& name);

/// What becomes of one image: pixel (y, x) of the result is pixel (reflect(y + dy), reflect(x + dx)) of the
/// image, or with flip (reflect(y + dy), reflect(W - 1 - x + dx)); reflect(-i) = i, reflect(n - 1 + i) =
/// n - 1 - i.
struct Placement {
  int dy = 0, dx = 0;
  bool flip = false;
  bool operator==(const Placement&) const = default;
};

/// The placement of the image at position p of a stream: with r(i) = random number i of `random`,
///
///     dy = r(3p) below(2 pad + 1) - pad,   dx = r(3p + 1) below(2 pad + 1) - pad,   flip = r(3p + 2)
///     below(2)
Placement placement(const Augmentation& augmentation, const autodiff::Random& random, std::uint64_t p);

}  // namespace datasets
