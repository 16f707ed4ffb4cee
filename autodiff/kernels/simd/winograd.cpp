// Convolution with 3 x 3 filters by Winograd's F(4 x 4, 3 x 3): a row of its own, so that it can be left out.
// A long file, as the gradient of the filters goes through the same steps.
//
// The positions of all images are cut into tiles of 4 x 4. A block of tiles at a time, the patches x are
// transformed to v [36, tiles, inputs], multiplied with the transformed filters u [36, inputs, outputs] (36
// matrix products, a quarter of the direct convolution's operations), and the results m [36, tiles, outputs]
// are transformed back. The gradient of the filters goes the same way: du [36, inputs, outputs] is the sum
// over tiles of v and the transformed dy.
//
// Won over simd/conv2d.cpp on a Zen 4 with AVX-512 (8 images, each the best of some runs, microseconds
// forward and for the filters): 16 channels of 32 x 32: 143, 145 (simd: 324, 312); 32 of 16 x 16: 115, 117
// (320, 304); 64 of 8 x 8: 107, 112 (300, 280). That is 260 to 350 GFLOP/s of the convolution's nominal
// operations, where 118 are the most that the CPU's multiply-add gives.
//
// Every m is one chain of fused multiply-adds over the inputs, every du one over the tiles: the bits do not
// depend on the size of the blocks.
#include <algorithm>

#include "autodiff/kernels/simd/simd.h"
#include "autodiff/kernels/simd/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "autodiff/kernels/simd/winograd.cpp"
#include <hwy/foreach_target.h>

#include "autodiff/kernels/simd/matmul_inl.h"
#include "autodiff/kernels/simd/winograd_inl.h"

HWY_BEFORE_NAMESPACE();
namespace autodiff::kernels::simd::HWY_NAMESPACE {
#if EV3_HAVE_VECTORS
namespace winograd {
namespace {

#if (HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX3) || HWY_ARCH_ARM_A64
constexpr int sums = 16;  // 32 registers
#else
constexpr int sums = 8;  // 16 registers
#endif
constexpr std::size_t block_floats = 96 << 10;  // of v and m: they stay in the second-level cache
constexpr std::size_t gap = 16;  // between the 36 matrices, lest they fall into the same cache lines

const float zeros[64] = {};

// Sizes in elements, for all output channels or some; rows of channels are padded to whole vectors.
struct Sizes {
  std::size_t in, out, in_row, out_row, u_row;
  int down, across;          // tiles of an image
  std::size_t tiles, block;  // in all, and at a time
  std::size_t v_step, m_step, u_step;

  Sizes(const Conv2dDims& d, int outs, std::size_t lanes)
      : in(static_cast<std::size_t>(d.in)),
        out(static_cast<std::size_t>(outs)),
        in_row((in + lanes - 1) / lanes * lanes),
        out_row((out + lanes - 1) / lanes * lanes),
        u_row((static_cast<std::size_t>(d.out) + lanes - 1) / lanes * lanes),
        down((d.oh + tile - 1) / tile),
        across((d.ow + tile - 1) / tile),
        tiles(static_cast<std::size_t>(d.n) * static_cast<std::size_t>(down) *
              static_cast<std::size_t>(across)) {
    const std::size_t fit = block_floats / (products * (in_row + out_row));
    block = std::min(tiles, std::max<std::size_t>(sums, fit / sums * sums));
    v_step = block * in_row + gap;
    m_step = block * out_row + gap;
    u_step = in_row * u_row + gap;
  }
  std::size_t filter_floats() const { return products * u_step; }
  std::size_t floats() const { return products * (v_step + m_step); }
};

// The first position of tile k.
struct Place {
  int n, i, j;
  Place(const Sizes& s, std::size_t k) {
    const auto across = static_cast<std::size_t>(s.across), down = static_cast<std::size_t>(s.down);
    n = static_cast<int>(k / (across * down));
    i = static_cast<int>(k / across % down) * tile;
    j = static_cast<int>(k % across) * tile;
  }
};

// Transforms the patches of images [h, w, channels] that begin at `top` and `left` of their tile; what lies
// outside is zero.
template <class Transform, class D>
HWY_INLINE void gather(D d, const float* x, int h, int w, std::size_t channels, std::size_t row,
                       const Place& at, float* to, std::size_t step) {
  constexpr std::size_t N = lanes<D>;
  constexpr int size = Transform::from;
  const std::ptrdiff_t column = static_cast<std::ptrdiff_t>(channels), line = column * w;
  const float* first = x + (std::ptrdiff_t{at.n} * h + at.i) * line + at.j * column;
  const bool inside = at.i >= 0 && at.j >= 0 && at.i + size <= h && at.j + size <= w;
  std::size_t c = 0;
  if (inside) {
    for (; c + N <= channels; c += N) {
      const Grid from(first + c, line, column);
      const Grid results(to + c, patch * step, step);
      both_ways<Transform>(d, loads_from(d, from), stores_to(d, results));
    }
  }
  for (; c < row; c += N) {
    const std::size_t count = std::min(N, channels - c);
    const Grid from(first + c, line, column);
    const Grid results(to + c, patch * step, step);
    both_ways<Transform>(
        d,
        [&](int i, int j) HWY_ATTR {
          const bool is_inside = at.i + i >= 0 && at.i + i < h && at.j + j >= 0 && at.j + j < w;
          const float* x_at = is_inside ? from.at(i, j) : zeros;
          return count == N ? hn::LoadU(d, x_at) : load_first(d, x_at, count);
        },
        stores_to(d, results));
  }
}

template <class D>
void transform_filters(D d, const Sizes& s, const float* w, float* u) {
  constexpr std::size_t N = lanes<D>;
  for (std::size_t i = 0; i < s.in; ++i) {
    for (std::size_t o = 0; o < s.out; o += N) {
      const std::size_t count = std::min(N, s.out - o);
      const Grid from(w + i * s.out + o, window * s.in * s.out, s.in * s.out);
      const Grid results(u + i * s.u_row + o, patch * s.u_step, s.u_step);
      both_ways<Filter>(
          d,
          [&](int p, int q) HWY_ATTR {
            return count == N ? hn::LoadU(d, from.at(p, q)) : load_first(d, from.at(p, q), count);
          },
          stores_to(d, results));
    }
  }
}

template <class D>
void transform_patches(D d, const Conv2dDims& dims, const Sizes& s, const float* x, std::size_t first,
                       std::size_t count, float* v) {
  for (std::size_t k = 0; k < count; ++k) {
    Place at(s, first + k);
    at.i -= dims.top;
    at.j -= dims.left;
    gather<Patch>(d, x, dims.h, dims.w, s.in, s.in_row, at, v + k * s.in_row, s.v_step);
  }
}

// c [rows, width] (+)= a [rows, k] b [k, width], where width is a multiple of the vector.
template <class D>
HWY_INLINE void product(D d, std::size_t rows, std::size_t width, std::size_t k, const Matrix& a,
                        const float* b, std::size_t b_row, float* c, bool add) {
  constexpr std::size_t N = lanes<D>;
  std::size_t o = 0;
  for (; o + 2 * N <= width; o += 2 * N) {
    strip<sums / 2, 2>(d, rows, k, a, b + o, b_row, c + o, width, 2 * N, add);
  }
  if (o < width) strip<sums, 1>(d, rows, k, a, b + o, b_row, c + o, width, N, add);
}

template <class D>
void scatter(D d, const Conv2dDims& dims, const Sizes& s, const float* m, std::size_t first,
             std::size_t count, float* y) {
  constexpr std::size_t N = lanes<D>;
  for (std::size_t k = 0; k < count; ++k, m += s.out_row) {
    const Place at(s, first + k);
    const int down = std::min(tile, dims.oh - at.i), across = std::min(tile, dims.ow - at.j);
    float* to = y + ((std::ptrdiff_t{at.n} * dims.oh + at.i) * dims.ow + at.j) * dims.out;
    for (std::size_t o = 0; o < s.out; o += N) {
      const std::size_t channels = std::min(N, s.out - o);
      const Grid from(m + o, patch * s.m_step, s.m_step);
      const Grid results(to + o, std::ptrdiff_t{dims.ow} * dims.out, std::ptrdiff_t{dims.out});
      if (down == tile && across == tile && channels == N) {
        both_ways<Outputs>(d, loads_from(d, from), stores_to(d, results));
      } else {
        both_ways<Outputs>(d, loads_from(d, from), [&](int i, int j, hn::Vec<D> v) HWY_ATTR {
          if (i < down && j < across) store_first(v, d, results.at(i, j), channels);
        });
      }
    }
  }
}

template <class D>
void conv2d_packed(D d, const PackedConv2dDims& dims, const float* x, const float* u, float* scratch,
                   float* y) {
  const Sizes s(dims, dims.outs, lanes<D>);
  float *v = scratch, *m = v + products * s.v_step;
  u += dims.first_out;
  y += dims.first_out;
  for (std::size_t first = 0; first < s.tiles; first += s.block) {
    const std::size_t count = std::min(s.block, s.tiles - first);
    transform_patches(d, dims, s, x, first, count, v);
    // While they are multiplied, the rows that the block is scattered to are fetched, line by line.
    const Place begin(s, first), last(s, first + count - 1);
    const std::ptrdiff_t row = std::ptrdiff_t{dims.ow} * dims.out;
    const float* next = y + (std::ptrdiff_t{begin.n} * dims.oh + begin.i) * row;
    const float* end = y + (std::ptrdiff_t{last.n} * dims.oh + std::min(last.i + tile, dims.oh)) * row;
    for (std::size_t p = 0; p < products; ++p) {
      const std::ptrdiff_t share = (end - next) / static_cast<std::ptrdiff_t>(products - p);
      for (const float* share_end = next + share; next < share_end; next += cache_line)
        __builtin_prefetch(next, 1);
      product(d, count, s.out_row, s.in, {v + p * s.v_step, s.in_row, 1}, u + p * s.u_step, s.u_row,
              m + p * s.m_step, false);
    }
    scatter(d, dims, s, m, first, count, y);
  }
}

template <class D>
void conv2d_filter_grad(D d, const Conv2dDims& dims, const float* x, const float* dy, float* scratch,
                        float* dw) {
  constexpr std::size_t N = lanes<D>;
  const Sizes s(dims, dims.out, N);
  float *u = scratch, *v = u + products * s.u_step, *m = v + products * s.v_step;
  for (std::size_t first = 0; first < s.tiles; first += s.block) {
    const std::size_t count = std::min(s.block, s.tiles - first);
    transform_patches(d, dims, s, x, first, count, v);
    for (std::size_t k = 0; k < count; ++k) {
      gather<OutputsBack>(d, dy, dims.oh, dims.ow, s.out, s.out_row, Place(s, first + k), m + k * s.out_row,
                          s.m_step);
    }
    for (std::size_t p = 0; p < products; ++p) {
      product(d, s.in, s.out_row, count, {v + p * s.v_step, 1, s.in_row}, m + p * s.m_step, s.out_row,
              u + p * s.u_step, first > 0);
    }
  }
  for (std::size_t i = 0; i < s.in; ++i) {
    for (std::size_t o = 0; o < s.out; o += N) {
      const std::size_t count = std::min(N, s.out - o);
      const Grid from(u + i * s.out_row + o, patch * s.u_step, s.u_step);
      const Grid results(dw + i * s.out + o, window * s.in * s.out, s.in * s.out);
      both_ways<FilterBack>(d, loads_from(d, from), [&](int p, int q, hn::Vec<D> g) HWY_ATTR {
        store_first(g, d, results.at(p, q), count);
      });
    }
  }
}

using Narrow = hn::CappedTag<float, 8>;
bool narrow(const Conv2dDims& s) { return std::min(s.in, s.out) < static_cast<int>(lanes<Full>); }

Sizes sizes(const Conv2dDims& s, int outs) { return {s, outs, narrow(s) ? lanes<Narrow> : lanes<Full>}; }

std::size_t packed_floats(const Conv2dDims& s) { return sizes(s, s.out).filter_floats(); }

void conv2d_pack(const Conv2dDims& s, const float* w, float* u) {
  if (narrow(s)) return transform_filters(Narrow(), sizes(s, s.out), w, u);
  transform_filters(Full(), sizes(s, s.out), w, u);
}

void conv2d_packed(const PackedConv2dDims& s, const float* x, const float* u, Scratch scratch, float* y) {
  if (narrow(s)) return conv2d_packed(Narrow(), s, x, u, scratch.data, y);
  conv2d_packed(Full(), s, x, u, scratch.data, y);
}

void conv2d(const Conv2dDims& s, const float* x, const float* w, Scratch scratch, float* y) {
  conv2d_pack(s, w, scratch.data);
  conv2d_packed({s, 0, s.out}, x, scratch.data, {scratch.data + packed_floats(s)}, y);
}

void conv2d_filter_grad(const Conv2dDims& s, const float* x, const float* dy, Scratch scratch, float* dw) {
  if (s.n == 0) return static_cast<void>(std::fill_n(dw, s.w_size(), 0.0f));
  if (narrow(s)) return conv2d_filter_grad(Narrow(), s, x, dy, scratch.data, dw);
  conv2d_filter_grad(Full(), s, x, dy, scratch.data, dw);
}

std::size_t scratch_bytes(const Conv2dDims& s) {
  const Sizes all = sizes(s, s.out);
  return sizeof(float) * (all.filter_floats() + all.floats());
}

std::size_t packed_scratch_bytes(const PackedConv2dDims& s) {
  return sizeof(float) * sizes(s, s.outs).floats();
}

bool supports(const Conv2dDims& s) {
  const auto whole = [](int size) { return (size + tile - 1) / tile * tile; };
  // Half of the tiles' positions are wanted. An image of a single tile is left to the direct kernel: with few
  // positions many filters' gradients are next to nothing, and what Winograd's rounding adds to them AdamW
  // makes whole steps of.
  const bool filled = s.oh > tile && s.ow > tile && 2 * s.oh * s.ow >= whole(s.oh) * whole(s.ow);
  return s.kh == window && s.kw == window && s.stride == 1 && s.up == 1 && s.dilation == 1 && s.groups == 1 &&
         s.in >= 8 && s.out >= 8 && filled;
}

}  // namespace
}  // namespace winograd
#endif

void add_winograd([[maybe_unused]] Backend& row) {
#if EV3_HAVE_VECTORS
  row.conv2d = {winograd::conv2d, winograd::supports, winograd::scratch_bytes};
  row.conv2d_pack = {winograd::conv2d_pack, winograd::supports};
  row.conv2d_packed = {winograd::conv2d_packed, nullptr, winograd::packed_scratch_bytes};
  row.conv2d_packed_floats = winograd::packed_floats;
  row.conv2d_filter_grad = {winograd::conv2d_filter_grad, winograd::supports, winograd::scratch_bytes};
#endif
}

}  // namespace autodiff::kernels::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace autodiff::kernels::simd {

HWY_EXPORT(add_winograd);
void add_winograd(Backend& row) { HWY_DYNAMIC_DISPATCH(add_winograd)(row); }

}  // namespace autodiff::kernels::simd
#endif
