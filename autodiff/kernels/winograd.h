// Winograd's minimal filtering F(4 x 4, 3 x 3): a patch x of 6 x 6 positions and a filter g of 3 x 3 give 4 x
// 4 outputs of the convolution by 36 products instead of 144,
//
//     y = A^T [(G g G^T) * (B^T x B)] A        (* element by element)
//
// Lavin and Gray, "Fast algorithms for convolutional neural networks", 2016. The matrices evaluate
// polynomials at 0, a, -a, b, -b and infinity, multiply the values, and interpolate (Toom and Cook). The
// usual points 1 and 2 make the numbers in between large; with 3/4 and 3/2, whose products are exact as well,
// the greatest error for 16 to 64 channels is a quarter of theirs, and about twice that of a direct sum in
// float.
#pragma once

namespace autodiff::kernels::winograd {

inline constexpr int tile = 4, window = 3, patch = tile + window - 1, products = patch * patch;

inline constexpr double a = 0.75, b = 1.5, aa = a * a, bb = b * b;
/// One over what Lagrange's polynomials are divided by, at 0, at +-a and at +-b.
inline constexpr double at_0 = 1 / (aa * bb), at_a = 1 / (2 * aa * (aa - bb)),
                        at_b = 1 / (2 * bb * (bb - aa));

inline constexpr double transform_patch[patch][patch] = {  // B^T
    {aa * bb, 0, -(aa + bb), 0, 1, 0}, {0, -a* bb, -bb, a, 1, 0}, {0, a* bb, -bb, -a, 1, 0},
    {0, -b* aa, -aa, b, 1, 0},         {0, b* aa, -aa, -b, 1, 0}, {0, aa* bb, 0, -(aa + bb), 0, 1}};
inline constexpr double transform_filter[patch][window] = {  // G
    {at_0, 0, 0},
    {at_a, a* at_a, aa* at_a},
    {at_a, -a* at_a, aa* at_a},
    {at_b, b* at_b, bb* at_b},
    {at_b, -b* at_b, bb* at_b},
    {0, 0, 1}};
inline constexpr double transform_back[tile][patch] = {  // A^T
    {1, 1, 1, 1, 1, 0},
    {0, a, -a, b, -b, 0},
    {0, aa, aa, bb, bb, 0},
    {0, a* aa, -a* aa, b* bb, -b* bb, 1}};

}  // namespace autodiff::kernels::winograd
