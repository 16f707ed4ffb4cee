// Direct convolution in registers, on images and filters as they lie in memory: a tile of P positions of one
// output row and C vectors of output channels stays in registers while the window and the input channels run
// by.
//
// Every output is one chain of fused multiply-adds over a, b, c, in the order of the definition (a, c, b
// where three taps share their factors); positions outside the image are skipped by rows and multiplied with
// zeros by columns. The positions of a tile are `up` columns apart: then they see the same elements of the
// filter, and a transposed convolution is no other code. (A long file: the gradient of the filters, which
// walks the same tiles, is the second half.)
#include <algorithm>

#include "autodiff/kernels/simd/simd.h"
#include "autodiff/kernels/simd/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "autodiff/kernels/simd/conv2d.cpp"
#include <hwy/foreach_target.h>

#include "autodiff/kernels/simd/vector_inl.h"

HWY_BEFORE_NAMESPACE();
namespace autodiff::kernels::simd::HWY_NAMESPACE {
#if EV3_HAVE_VECTORS
namespace {

#if (HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX3) || HWY_ARCH_ARM_A64
constexpr int tile_positions = 8, tile_vectors = 2, tile_inputs = 8;  // 32 registers
#else
constexpr int tile_positions = 4, tile_vectors = 2, tile_inputs = 4;  // 16 registers
#endif
constexpr int most_inputs = 2048;
const float zeros[most_inputs] = {};

// Where a vector of `width` output channels begins: the last one ends where the channels end.
template <class D>
HWY_INLINE std::size_t vector_at(std::size_t vector, std::size_t vectors, std::size_t width) {
  return vector + 1 < vectors ? vector * lanes<D> : width - lanes<D>;
}

// Of the positions 0, 1, ... that see rows or columns `shift`, shift + stride, ...: the first inside the
// image, and the end of those that are. (Divisions are slow, and a stride is often 1.)
HWY_INLINE int strides(int distance, int stride) {
  return stride == 1 ? distance : (distance + stride - 1) / stride;
}
HWY_INLINE int first_inside(int shift, int stride) { return shift >= 0 ? 0 : strides(-shift, stride); }
HWY_INLINE int end_inside(int shift, int stride, int size) {
  return shift >= size ? 0 : strides(size - shift, stride);
}

// Where the inputs of a tile's positions are: `first` and then every `step` floats, as far as columns
// [begin, end) of the positions are inside the image; zeros elsewhere.
struct Sources {
  const float* first;
  std::ptrdiff_t step;
  int begin, end;
  HWY_INLINE const float* at(int p) const { return p >= begin && p < end ? first + p * step : zeros; }
};

// sums[p][v] += sum over c of x_p[c] w[c, v]
template <int P, int C, class D>
HWY_INLINE void tap(D d, const Sources& x, std::size_t in, const float* w, std::size_t w_row,
                    std::size_t width, hn::Vec<D> (&sums)[P][C]) {
  const float* from[P];
#pragma GCC unroll 16
  for (int p = 0; p < P; ++p) from[p] = x.at(p);
  for (std::size_t c = 0; c < in; ++c, w += w_row) {
    hn::Vec<D> row[C];
#pragma GCC unroll 16
    for (std::size_t v = 0; v < C; ++v) row[v] = hn::LoadU(d, w + vector_at<D>(v, C, width));
#pragma GCC unroll 16
    for (int p = 0; p < P; ++p) {
      const auto factor = hn::Set(d, from[p][c]);
#pragma GCC unroll 16
      for (int v = 0; v < C; ++v) sums[p][v] = hn::MulAdd(factor, row[v], sums[p][v]);
    }
  }
}

// sums[p] += sum over c and over three taps b of x[p + b, c] w[b, c]: a factor serves three positions, where
// one vector of output channels alone would need a load for each multiplication. `first` and `last` are where
// the first and the last of the P + 2 columns are, zeros if outside the image.
template <int P, class D>
HWY_INLINE void three_taps(D d, const float* x, const float* first, const float* last, std::size_t in,
                           const float* w, std::size_t w_row, hn::Vec<D> (&sums)[P][1]) {
  const std::size_t w_tap = in * w_row;
  for (std::size_t c = 0; c < in; ++c, w += w_row) {
    const auto w0 = hn::LoadU(d, w), w1 = hn::LoadU(d, w + w_tap), w2 = hn::LoadU(d, w + 2 * w_tap);
    const auto meet = [&](int column, const float* from) HWY_ATTR {
      const auto factor = hn::Set(d, from[c]);
      if (column >= 2) sums[column - 2][0] = hn::MulAdd(factor, w2, sums[column - 2][0]);
      if (column >= 1 && column <= P) sums[column - 1][0] = hn::MulAdd(factor, w1, sums[column - 1][0]);
      if (column < P) sums[column][0] = hn::MulAdd(factor, w0, sums[column][0]);
    };
    meet(0, first);
#pragma GCC unroll 16
    for (int column = 1; column <= P; ++column) meet(column, x + static_cast<std::size_t>(column) * in);
    meet(P + 1, last);
  }
}

// One output row: positions j0, j0 + up, ..., `count` of them, channels [0, width) of w and y.
template <int P, int C, class D>
void positions(D d, const Conv2dDims& s, const float* image, const float* w, float* y, int i, int j0,
               int count, std::size_t width) {
  const auto in = static_cast<std::size_t>(s.in), out = static_cast<std::size_t>(s.out);
  const std::ptrdiff_t step = std::ptrdiff_t{s.stride} * s.in;
  while (count >= P) {
    hn::Vec<D> sums[P][C];
#pragma GCC unroll 16
    for (int p = 0; p < P; ++p) {
#pragma GCC unroll 16
      for (int v = 0; v < C; ++v) sums[p][v] = hn::Zero(d);
    }
    // Where the whole window is inside, the inputs of its taps follow each other, as their filters do.
    const int left = j0 * s.stride - s.left, right = left + (P - 1) * s.stride + s.kw;
    const bool inside = s.up == 1 && s.dilation == 1 && left >= 0 && right <= s.w;
    for (int a = 0; a < s.kh; ++a) {
      const int row = s.source_row(i, a);
      if (row < 0) continue;
      if constexpr (C == 1) {
        if (s.kw == 3 && s.stride == 1 && s.up == 1 && s.dilation == 1 && left >= -1 && right <= s.w + 1) {
          const float* x = image + (std::ptrdiff_t{row} * s.w + left) * s.in;
          three_taps<P>(d, x, left < 0 ? zeros : x, right > s.w ? zeros : x + std::ptrdiff_t{P + 1} * s.in,
                        in, w + static_cast<std::size_t>(a) * 3 * in * out, out, sums);
          continue;
        }
      }
      if (inside) {
        const float* first = image + (std::ptrdiff_t{row} * s.w + left) * s.in;
        const auto window = static_cast<std::size_t>(s.kw);
        tap<P, C>(d, {first, step, 0, P}, window * in, w + static_cast<std::size_t>(a) * window * in * out,
                  out, width, sums);
        continue;
      }
      for (int b = 0; b < s.kw; ++b) {
        int column = j0 * s.stride + b * s.dilation - s.left;  // of the first position, spread out
        if (s.up > 1) {
          if (column % s.up != 0) continue;
          column /= s.up;  // p positions on: p stride more
        }
        const int begin = first_inside(column, s.stride);
        const int end = column + (P - 1) * s.stride < s.w ? P : end_inside(column, s.stride, s.w);
        if (begin >= P || end <= 0) continue;
        const float* first = image + (std::ptrdiff_t{row} * s.w + column) * s.in;
        const float* filter = w + static_cast<std::size_t>(a * s.kw + b) * in * out;
        tap<P, C>(d, {first, step, begin, end}, in, filter, out, width, sums);
      }
    }
    float* to = afresh(y + static_cast<std::size_t>(j0) * out);
#pragma GCC unroll 16
    for (int p = 0; p < P; ++p, to += static_cast<std::size_t>(s.up) * out) {
#pragma GCC unroll 16
      for (std::size_t v = 0; v < C; ++v) {
        hn::StoreU(sums[static_cast<std::size_t>(p)][v], d, to + vector_at<D>(v, C, width));
      }
    }
    j0 += P * s.up;
    count -= P;
  }
  if constexpr (P > 1) {
    if (count > 0) positions<P / 2, C>(d, s, image, w, y, i, j0, count, width);
  }
}

template <int C, class D>
void rows(D d, const Conv2dDims& s, const float* x, const float* w, float* y, std::size_t width) {
  constexpr int P = C == 1 ? 2 * tile_positions : tile_positions;
  const std::ptrdiff_t image = std::ptrdiff_t{s.h} * s.w * s.in, line = std::ptrdiff_t{s.ow} * s.out;
  for (int n = 0; n < s.n; ++n, x += image) {
    for (int i = 0; i < s.oh; ++i, y += line) {
      for (int phase = 0; phase < s.up && phase < s.ow; ++phase) {
        positions<P, C>(d, s, x, w, y, i, phase, (s.ow - phase + s.up - 1) / s.up, width);
      }
    }
  }
}

template <class D>
void channels(D d, const Conv2dDims& s, const float* x, const float* w, float* y) {
  constexpr std::size_t N = lanes<D>;
  const auto out = static_cast<std::size_t>(s.out);
  for (std::size_t o = 0; o < out;) {
    const std::size_t left = (out - o + N - 1) / N;
    // Never less than a vector behind others: the one before the last takes it along.
    const std::size_t vectors =
        left == 3 && (out - o) % N != 0 ? 1 : std::min<std::size_t>(left, tile_vectors);
    const std::size_t width = std::min(vectors * N, out - o);
    if (vectors == 1) {
      rows<1>(d, s, x, w + o, y + o, width);
    } else {
      rows<2>(d, s, x, w + o, y + o, width);
    }
    o += width;
  }
}

void conv2d(const Conv2dDims& s, const float* x, const float* w, Scratch, float* y) {
  if (s.out < 8) return channels(Quad(), s, x, w, y);
  if (s.out < static_cast<int>(lanes<Full>)) return channels(hn::CappedTag<float, 8>(), s, x, w, y);
  channels(Full(), s, x, w, y);
}

// Columns [begin, end) of dy in so many images and, for the first column, where the inputs of row 0 begin.
struct Columns {
  int images, a, begin, end;
  const float* from;
};

// dw [I, width] += the sum over images and positions, in these columns, of x dy.
template <int I, int C, class D>
void filter_tile(D d, const Conv2dDims& s, const Columns& columns, const float* dy, float* dw,
                 std::size_t width) {
  const auto out = static_cast<std::size_t>(s.out);
  const std::ptrdiff_t line = std::ptrdiff_t{s.w} * s.in, step = std::ptrdiff_t{s.stride} * s.in;
  hn::Vec<D> sums[I][C];
  const float* before = afresh(dw);
#pragma GCC unroll 16
  for (std::size_t c = 0; c < I; ++c, before += out) {
#pragma GCC unroll 16
    for (std::size_t v = 0; v < C; ++v) sums[c][v] = hn::LoadU(d, before + vector_at<D>(v, C, width));
  }
  // Rows of dy that have a row of x.
  const int shift = columns.a * s.dilation - s.top;
  const int first = first_inside(shift, s.stride), end = std::min(s.oh, end_inside(shift, s.stride, s.h));
  for (int n = 0; n < columns.images; ++n) {
    const float* x_row =
        columns.from + (std::ptrdiff_t{n} * s.h + std::ptrdiff_t{first} * s.stride + shift) * line;
    const float* dy_row = dy + ((std::ptrdiff_t{n} * s.oh + first) * s.ow + columns.begin) * s.out;
    for (int i = first; i < end; ++i, x_row += s.stride * line, dy_row += std::ptrdiff_t{s.ow} * s.out) {
      const float *from = x_row, *g = dy_row;
      for (int j = columns.begin; j < columns.end; ++j, from += step, g += out) {
        hn::Vec<D> row_of_dy[C];
#pragma GCC unroll 16
        for (std::size_t v = 0; v < C; ++v) row_of_dy[v] = hn::LoadU(d, g + vector_at<D>(v, C, width));
#pragma GCC unroll 16
        for (int c = 0; c < I; ++c) {
          const auto factor = hn::Set(d, from[c]);
#pragma GCC unroll 16
          for (int v = 0; v < C; ++v) sums[c][v] = hn::MulAdd(factor, row_of_dy[v], sums[c][v]);
        }
      }
    }
  }
  dw = afresh(dw);
#pragma GCC unroll 16
  for (std::size_t c = 0; c < I; ++c, dw += out) {
#pragma GCC unroll 16
    for (std::size_t v = 0; v < C; ++v) hn::StoreU(sums[c][v], d, dw + vector_at<D>(v, C, width));
  }
}

template <int I, int C, class D>
void filter_inputs(D d, const Conv2dDims& s, Columns columns, const float* dy, float* dw, int inputs,
                   std::size_t width) {
  for (; inputs >= I; inputs -= I) {
    filter_tile<I, C>(d, s, columns, dy, dw, width);
    columns.from += I;
    dw += std::ptrdiff_t{I} * s.out;
  }
  if constexpr (I > 1) {
    if (inputs > 0) filter_inputs<I / 2, C>(d, s, columns, dy, dw, inputs, width);
  }
}

// Fewer channels than a vector has.
void filter_rest(const Conv2dDims& s, const Columns& columns, const float* dy, float* dw, int inputs,
                 int width) {
  for (int n = 0; n < columns.images; ++n) {
    for (int i = 0; i < s.oh; ++i) {
      const int row = s.source_row(i, columns.a);
      if (row < 0) continue;
      const float* from = columns.from + (std::ptrdiff_t{n} * s.h + row) * s.w * s.in;
      const float* g = dy + ((std::ptrdiff_t{n} * s.oh + i) * s.ow + columns.begin) * s.out;
      for (int j = columns.begin; j < columns.end; ++j, from += std::ptrdiff_t{s.stride} * s.in, g += s.out) {
        for (std::ptrdiff_t c = 0; c < inputs; ++c) {
          for (std::ptrdiff_t o = 0; o < width; ++o) dw[c * s.out + o] += from[c] * g[o];
        }
      }
    }
  }
}

// All channels, in tiles that do not overlap, as each adds to what is there.
void filter_columns(const Conv2dDims& s, const Columns& columns, const float* dy, float* dw, int inputs) {
  if (columns.begin >= columns.end) return;
  std::size_t left = static_cast<std::size_t>(s.out);
  const auto tiles = [&]<int C, class D>(D d) {
    constexpr std::size_t width = C * lanes<D>;
    constexpr int tile = C == 1 ? 2 * tile_inputs : tile_inputs;
    for (; left >= width; left -= width, dy += width, dw += width) {
      filter_inputs<tile, C>(d, s, columns, dy, dw, inputs, width);
    }
  };
  tiles.template operator()<2>(Full());
  tiles.template operator()<1>(Full());
  tiles.template operator()<1>(hn::CappedTag<float, 8>());
  tiles.template operator()<1>(Quad());
  if (left > 0) filter_rest(s, columns, dy, dw, inputs, static_cast<int>(left));
}

// Row a of the filters. Where the whole window is inside, its taps are like so many inputs; the columns at
// the edges meet them one by one.
void filter_row(const Conv2dDims& s, int images, const float* x, const float* dy, int a, float* dw) {
  const auto columns = [&](int shift, int begin, int end) {
    return Columns{images, a, begin, end, x + (std::ptrdiff_t{begin} * s.stride + shift) * s.in};
  };
  int begin = 0, end = 0;  // of the columns that see all taps
  if (s.dilation == 1) {
    begin = std::min(s.ow, first_inside(-s.left, s.stride));
    end = std::max(begin, std::min(s.ow, end_inside(s.kw - 1 - s.left, s.stride, s.w)));
    filter_columns(s, columns(-s.left, begin, end), dy, dw, s.kw * s.in);
  }
  for (int b = 0; b < s.kw; ++b, dw += std::ptrdiff_t{s.in} * s.out) {
    const int shift = b * s.dilation - s.left;
    const int first = first_inside(shift, s.stride), last = std::min(s.ow, end_inside(shift, s.stride, s.w));
    filter_columns(s, columns(shift, first, std::min(begin, last)), dy, dw, s.in);
    filter_columns(s, columns(shift, std::max(first, end), last), dy, dw, s.in);
  }
}

void conv2d_filter_grad(const Conv2dDims& s, const float* x, const float* dy, Scratch, float* dw) {
  std::fill_n(dw, s.w_size(), 0.0f);
  // Small images together: the more positions, the less often are sums fetched and stored.
  constexpr std::ptrdiff_t floats = 64 << 10;  // of x and dy: a quarter of the second-level cache
  const std::ptrdiff_t x_image = std::ptrdiff_t{s.h} * s.w * s.in,
                       dy_image = std::ptrdiff_t{s.oh} * s.ow * s.out;
  const int most = static_cast<int>(
      std::clamp<std::ptrdiff_t>(floats / std::max<std::ptrdiff_t>(1, x_image + dy_image), 1, 1 << 10));
  for (int first = 0; first < s.n; first += most) {
    const int images = std::min(most, s.n - first);
    for (int a = 0; a < s.kh; ++a) {
      filter_row(s, images, x, dy, a, dw + std::ptrdiff_t{a} * s.kw * s.in * s.out);
    }
    x += images * x_image;
    dy += images * dy_image;
  }
}

bool supports(const Conv2dDims& s) { return s.groups == 1 && s.out >= 4 && s.in <= most_inputs; }

bool supports_filter_grad(const Conv2dDims& s) { return s.groups == 1 && s.up == 1 && s.out >= 4; }

}  // namespace
#endif

void add_conv2d([[maybe_unused]] Backend& row) {
#if EV3_HAVE_VECTORS
  row.conv2d = {conv2d, supports};
  row.conv2d_filter_grad = {conv2d_filter_grad, supports_filter_grad};
#endif
}

}  // namespace autodiff::kernels::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace autodiff::kernels::simd {

HWY_EXPORT(add_conv2d);
void add_conv2d(Backend& row) { HWY_DYNAMIC_DISPATCH(add_conv2d)(row); }

}  // namespace autodiff::kernels::simd
#endif
