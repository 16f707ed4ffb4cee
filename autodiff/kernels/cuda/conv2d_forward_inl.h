// Convolutions with windows of 3 x 3 and 1 x 1 by tensor cores, most of those of a residual net: with stride
// 1 and 2, and of images that are spread out, which are the data gradients of those with stride 2.
//
// A block forms a tile of the result, whose pixels lie in cells of 8 columns and a few rows. What lies under
// all their windows comes to shared memory once, some channels at a time. A warp has two cells and 16
// filters: it reads 8 channels of a row of both, as the left factor of 16 pixels, once for all the taps of
// the window that meet this row, each of which adds to another row of the result. Edges of the image, and
// cells beyond them, are zeros. Of the two products of 8 columns one has the even filters and one the odd
// ones, so that a thread reads and writes neighbours. With the result goes what a chain would do to it
// (epilogue.h), and sums over pixels are formed with it (conv2d_sums_inl.h); with the image goes what a chain
// would do to it before (prologue.h), by the thread that has fetched it.
//
// What the host says about tiles is in conv2d_forward.cu. Somewhat long: one kernel, whose end needs what its
// beginning has.
#pragma once

#include "autodiff/kernels/cuda/conv2d_sums_inl.h"
#include "autodiff/kernels/cuda/tensor_inl.h"

namespace autodiff::kernels::cuda::forward {

// Before compute capability 8.0 the kernels are empty, and never called.
#pragma nv_diag_suppress 177

constexpr int log_threads = 8, threads = 1 << log_threads, cell_columns = 8, filters = 16;
// In shared memory, for which the lanes of a warp meet different banks.
constexpr int filter_width = filters + 8;

// With spread = top = left >= 0 the images are read as if zeros stood between their rows and columns: up = 2.
// A pixel of theirs then stands for four of the result, at rows 2i + p and columns 2j + q, and each tap
// belongs to one of the four: tap a to those rows for which top - a - p is even, at row i + (p + a - top)
// / 2.
template <int taps_, int stride_, int spread>
struct Window {
  static constexpr int taps = taps_, stride = stride_;  // stride 1 where there is one tap: see `step`
  static constexpr bool is_spread = spread >= 0;
  static constexpr int kinds = is_spread ? 4 : 1, sums = taps == 1 ? 1 : kinds;  // others are zero
  // Rows of a cell, and of the image under it. `before`: how many of these the first one lies before it.
  static constexpr int rows = is_spread ? 2 : 4;
  static constexpr int extent = !is_spread ? taps : taps == 3 ? 2 : 1;
  static constexpr int image_rows = (rows - 1) * stride + extent;
  static constexpr int before = spread == 2 ? 1 : 0;
  static constexpr int kind(int tap) { return is_spread ? (spread + tap) % 2 : 0; }
  // The row of the image under a tap, for row 0 of the cell.
  static constexpr int offset(int tap) { return is_spread ? before + (kind(tap) + tap - spread) / 2 : tap; }
};

// How a tile lies: 2^... cells side by side, below each other, and in neighbouring images; around them `rows`
// x `columns` positions of each image. With stride 2 the even columns come first, so that the lanes of a warp
// read side by side. by_...: 2^20 / ..., for divisions of small numbers.
struct Frame {
  int log_across, log_down, log_images;
  int rows, columns, positions, by_rows, by_columns;
  int top, left;  // of the window of pixel (0, 0)
  int tiles_across, tiles_down, by_tiles;
  int log_cells, log_filters;  // 2^... warps with different cells, 2^... with different filters
  int slots;                   // for slices of channels in shared memory
  int of_other;                // floats of a slice that the prologue takes beside the image
};

#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800
// What a prologue takes of rows for four neighbouring channels, and what it makes of the image there.
struct Begin {
  const Prologue& p;
  float4 mean, factor, shift, other_shift = {};

  __device__ Begin(const Prologue& prologue, int channel)
      : p(prologue),
        mean(load(p.mean + channel)),
        factor(load(p.factor + channel)),
        shift(load(p.shift + channel)) {
    if (p.other_shift) other_shift = load(p.other_shift + channel);
  }
  __device__ float4 of(const float4& x, const float4& other) const {
    return {of(x.x, other.x, mean.x, factor.x, shift.x, other_shift.x),
            of(x.y, other.y, mean.y, factor.y, shift.y, other_shift.y),
            of(x.z, other.z, mean.z, factor.z, shift.z, other_shift.z),
            of(x.w, other.w, mean.w, factor.w, shift.w, other_shift.w)};
  }
  __device__ static float4 load(const float* from) { return *reinterpret_cast<const float4*>(from); }

 private:
  __device__ float of(float x, float other, float m, float f, float s, float other_s) const {
    float v = (x - m) * f + s;
    if (p.other) v = v + (p.other_shift ? other + other_s : other);
    return unary_reference(Unary::relu, v, 0);
  }
};

__device__ inline int divided(int x, int by) { return x * by >> 20; }
__device__ inline float2 load2(const float* p) { return *reinterpret_cast<const float2*>(p); }
#endif

// Floats of a block's result.
template <class W, int parts>
constexpr int results_of = 8 * W::rows* W::kinds*(threads / parts);

// x is the image, or what `before` makes it of. A slice has `steps` times 8 channels for each of `parts`
// parts of the warps, which take turns and whose sums are added last. `Ending`: an Epilogue, or what
// conv2d_sums_inl.h has.
template <class W, int steps, int parts, Precision precision, class Ending>
__global__ void __launch_bounds__(threads, std::is_same_v<Ending, Epilogue> ? 3 : 2)
    forward_kernel(const Conv2dDims d, const Frame f, const float* x, const float* w, const Prologue before,
                   const Ending e) {
#if __CUDA_ARCH__ >= 800
  constexpr bool forms_sums = !std::is_same_v<Ending, Epilogue>;
  constexpr int warps = threads / 32 / parts, channels = 8 * steps * parts, taps = W::taps, rows = W::rows;
  constexpr int width = channels + 4;  // of a position in shared memory
  constexpr int filter_rows = taps * taps * channels;
  const int tid = static_cast<int>(threadIdx.x), lane = tid % 32, warp = tid / 32 % warps,
            part = tid / 32 / warps, g = lane / 4, t = lane % 4;
  const int filter_group = warp >> f.log_cells,
            cells = (warp & ((1 << f.log_cells) - 1)) * 2;  // the first of the warp's two
  const int others_at = f.positions * width + (filter_rows * filter_width << f.log_filters),
            slot_size = others_at + f.of_other;
  float* memory = block_memory();
  int* source = reinterpret_cast<int*>(memory + f.slots * slot_size);

  const int tile = static_cast<int>(blockIdx.z), tile_above = divided(tile, f.by_tiles);
  const int tile_column = (tile - tile_above * f.tiles_across) << f.log_across,  // in cells
      tile_row = tile_above << f.log_down, tile_image = static_cast<int>(blockIdx.x) << f.log_images;
  const int first_filter = static_cast<int>(blockIdx.y) * filters << f.log_filters;
  const int items = d.in / channels;

  const auto fetch_filters = [&](int item, int slot) {
    const int pieces = 4 << f.log_filters, across = tid & (pieces - 1), step = threads / 4 >> f.log_filters;
    float* to = memory + slot * slot_size + f.positions * width + across / 4 * filter_rows * filter_width +
                across % 4 * 4;
    const float* from = w + item * channels * d.out + first_filter + across * 4;
    for (int k = tid / 4 >> f.log_filters; k < filter_rows; k += step) {
      send(to + k * filter_width, from + (k / channels * d.in + k % channels) * d.out, true);
    }
  };

  // Where the positions are in x, or -1; and 1 more where no other tile has the position inside of its own
  // edges. Of windows of 1 x 1 only those that are read are positions.
  const int step = taps == 1 ? d.stride : 1;
  for (int p = tid; p < f.positions; p += threads) {
    const int line = divided(p, f.by_columns), s = p - line * f.columns;
    const int image = divided(line, f.by_rows), even = (f.columns + 1) / 2;
    const int column = W::stride == 1 ? s : s < even ? 2 * s : 2 * (s - even) + 1;
    const int n = tile_image + image,
              i = (tile_row * rows * W::stride + line - image * f.rows) * step - f.top,
              j = (tile_column * cell_columns * W::stride + column) * step - f.left;
    const bool inside = n < d.n && i >= 0 && i < d.h && j >= 0 && j < d.w;
    const int own_i = i - tile_row * rows * W::stride, own_j = j - tile_column * cell_columns * W::stride;
    const bool own = own_i >= 0 && own_i < rows * W::stride << f.log_down && own_j >= 0 &&
                     own_j < cell_columns * W::stride << f.log_across;
    source[p] = inside ? ((n * d.h + i) * d.w + j) * d.in + (own ? 1 : 0) : -1;
  }
  sync_block();
  await_previous();
  fetch_filters(0, 0);

  const auto fetch_image = [&](int item, int slot) {
    constexpr int pieces = channels / 4;
    float* to = memory + slot * slot_size + tid % pieces * 4;
    const float* from = x + item * channels + tid % pieces * 4;
    for (int p = tid / pieces; p < f.positions; p += threads / pieces) {
      const int at = source[p];
      send(to + p * width, from + (max(at, 0) & ~1), at >= 0);
    }
    if (!before.other) return;
    to = memory + slot * slot_size + others_at + tid % pieces * 4;
    from = before.other + item * channels + tid % pieces * 4;
    for (int p = tid / pieces; p < f.positions; p += threads / pieces)
      send(to + p * channels, from + (max(source[p], 0) & ~1), source[p] >= 0);
  };
  // Slices on their way while one is multiplied.
  const int ahead = f.slots > 2 || items <= f.slots ? 2 : 1;
  const auto arrive = [&] { ahead == 2 ? __pipeline_wait_prior(1) : __pipeline_wait_prior(0); };
  // What this thread has fetched becomes the image; zeros around it stay.
  const auto begin = [&](int item, int slot) {
    constexpr int pieces = channels / 4;
    const int channel = item * channels + tid % pieces * 4;
    const Begin does(before, channel);
    arrive();
    float* image = memory + slot * slot_size + tid % pieces * 4;
    const float* other = image + others_at;
    for (int p = tid / pieces; p < f.positions; p += threads / pieces) {
      const int at = source[p];
      if (at < 0) continue;
      auto* v = reinterpret_cast<float4*>(image + p * width);
      *v = does.of(*v, before.other ? Begin::load(other + p * channels) : float4{});
      if (at % 2 != 0 && blockIdx.y == 0) *reinterpret_cast<float4*>(before.y + at - 1 + channel) = *v;
    }
  };

  // The cell, and its pixel (0, 0), of lanes that read rows of factors.
  const auto across_of = [&](int cell) { return cell & ((1 << f.log_across) - 1); };
  const auto down_of = [&](int cell) { return cell >> f.log_across & ((1 << f.log_down) - 1); };
  const auto image_of = [&](int cell) { return cell >> (f.log_across + f.log_down); };
  const int mine = cells + lane / 8 % 2;
  const int corner = (image_of(mine) * f.rows + down_of(mine) * rows * W::stride) * f.columns +
                     across_of(mine) * cell_columns + lane % 8;
  const int image_at = corner * width + part * 8 + lane / 16 * 4;
  const int filter_at =
      f.positions * width + (filter_group * filter_rows + part * 8 + t) * filter_width + 2 * g;
  const int line = f.columns * width;

  float sum[W::kinds][rows][2][4] = {};
  for (int turn = 0, to = 0, slot = 0; turn < items + ahead; ++turn) {
    if (turn >= ahead) {
      before.x ? begin(turn - ahead, slot) : arrive();
      sync_block();
    }
    if (turn < items) {
      fetch_image(turn, to);
      if (turn > 0) fetch_filters(turn, to);
      to = to + 1 == f.slots ? 0 : to + 1;
    }
    __pipeline_commit();
    if (turn < ahead) continue;
    const float* image = memory + slot * slot_size + image_at;
    const float* filter = memory + slot * slot_size + filter_at;
    slot = slot + 1 == f.slots ? 0 : slot + 1;
#pragma unroll 1
    for (int k = 0; k < steps; ++k, image += 8 * parts, filter += 8 * parts * filter_width) {
#pragma unroll
      for (int b = 0; b < taps; ++b) {
        Factor<2> right[taps][2];
#pragma unroll
        for (int a = 0; a < taps; ++a) {
          const float* from = filter + (a * taps + b) * channels * filter_width;
          const float2 upper = load2(from), lower = load2(from + 4 * filter_width);
          right[a][0].template set<precision>(0, upper.x);
          right[a][1].template set<precision>(0, upper.y);
          right[a][0].template set<precision>(1, lower.x);
          right[a][1].template set<precision>(1, lower.y);
        }
        const int offset = W::stride == 1 ? W::offset(b) : b / 2 + (b % 2 == 0 ? 0 : (f.columns + 1) / 2);
#pragma unroll
        for (int r = 0; r < W::image_rows; ++r) {
          Factor<4> left;
          unsigned loaded[4];
          load_factor(loaded, image + r * line + offset * width);
#pragma unroll
          for (int v = 0; v < 4; ++v) left.template set<precision>(v, __uint_as_float(loaded[v]));
          // One kind of product after the other, so that those of one sum are far apart.
          const auto add = [&](const unsigned* l, auto half) {
#pragma unroll
            for (int a = 0; a < taps; ++a) {
              const int i = r - W::offset(a);
              if (i < 0 || i % W::stride != 0 || i / W::stride >= rows) continue;
#pragma unroll
              for (int o = 0; o < 2; ++o) {
                multiply(sum[2 * W::kind(a) + W::kind(b)][i / W::stride][o], l, half(right[a][o]));
              }
            }
          };
          if constexpr (precision == Precision::float32) {
            add(left.rest, [](const Factor<2>& v) { return v.big; });
            add(left.big, [](const Factor<2>& v) { return v.rest; });
          }
          add(left.big, [](const Factor<2>& v) { return v.big; });
        }
      }
    }
  }

  let_next_begin();
  if constexpr (parts > 1) {
    constexpr int size = W::sums * rows * 8;
    float* to = memory + warp * size * 32 + lane;
    sync_block();
#pragma unroll
    for (int k = 0; k < size; ++k) {
      if (part > 0)
        to[((part - 1) * warps * size + k) * 32] = sum[k / (rows * 8)][k / 8 % rows][k / 4 % 2][k % 4];
    }
    sync_block();
    if (!forms_sums && part > 0) return;
    if (!forms_sums || part == 0) {
#pragma unroll
      for (int k = 0; k < size; ++k) {
#pragma unroll
        for (int other = 0; other < parts - 1; ++other) {
          sum[k / (rows * 8)][k / 8 % rows][k / 4 % 2][k % 4] += to[(other * warps * size + k) * 32];
        }
      }
    }
  }
  constexpr int up = W::is_spread ? 2 : 1;
  const int filter_0 = first_filter + filter_group * filters + 4 * t;
  const auto row_of = [&](int cell) { return (tile_row + down_of(cell)) * rows * up; };
  const auto column_of = [&](int cell) { return ((tile_column + across_of(cell)) * cell_columns + g) * up; };
  // By way of shared memory, for loops of few instructions: the result by fours, `each` pixels in a turn.
  // Those of a cell are a column of it, or of images spread out the four pixels for one of the image, row by
  // row.
  constexpr int lines = W::is_spread ? rows : 1, turns = 2 * lines, each = rows * W::kinds / lines;
  auto* mine4 = reinterpret_cast<float4*>(memory + warp * turns * each * 4 * 32) + lane;
  const auto put_down = [&] {
    parts == 1 ? sync_block() : __syncwarp();  // what lies there has been read
#pragma unroll
    for (int k = 0; k < turns * each; ++k) {
      const int h = k / each / lines, i = W::is_spread ? k / each % lines : k % each,
                kind = W::is_spread ? k % each : 0;
      const float *even = sum[kind][i][0] + h * 2, *odd = sum[kind][i][1] + h * 2;
      mine4[k * 32] = {even[0], odd[0], even[1], odd[1]};
    }
  };
  if constexpr (forms_sums) {
    static_assert(W::sums == W::kinds);  // a warp puts its result where it has read that of other parts
    const EarlyList then(e.join.list);
    const typename Ending::Thread thread(e, filter_0);
    typename Ending::Others other[each];
    const int line_size = d.ow * d.out;
    int first = 0, rows_inside = 0, columns_inside = 0;
    const auto row = [](int k) { return W::is_spread ? k / 2 : k; };
    const auto column = [](int k) { return W::is_spread ? k % 2 : 0; };
    const auto inside = [&](int k) { return row(k) < rows_inside && column(k) < columns_inside; };
    const auto place = [&](int k) { return first + row(k) * line_size + column(k) * d.out; };
    const auto load = [&](int turn) {
      const int cell = cells + turn / lines, n = tile_image + image_of(cell),
                i0 = row_of(cell) + turn % lines * up, j0 = column_of(cell);
      first = ((n * d.oh + i0) * d.ow + j0) * d.out + filter_0;
      rows_inside = n < d.n ? d.oh - i0 : 0, columns_inside = d.ow - j0;
#pragma unroll
      for (int k = 0; k < each; ++k) {
        if (inside(k)) other[k] = thread.others(place(k));
      }
    };
    // The first of what is read beside the result is on its way before that lies in shared memory, unless the
    // sums take too many registers for both.
    if constexpr (!W::is_spread) load(part);
    if (parts == 1 || part == 0) put_down();
    if (parts > 1) sync_block();  // the parts share what is left to do
    if constexpr (W::is_spread) load(part);
    FilterSums all;
#pragma unroll 1
    for (int turn = part;;) {
#pragma unroll
      for (int k = 0; k < each; ++k) {
        if (inside(k)) thread.write(place(k), mine4[(turn * each + k) * 32], other[k], all);
      }
      turn += parts;
      if (turn >= turns) break;
      load(turn);
    }
    // Slots of a group of filters follow each other.
    const int of_group = warp & ((1 << f.log_cells) - 1), log_slots = f.log_cells + (parts > 1 ? 1 : 0);
    static_assert(parts <= 2);
    auto* room = reinterpret_cast<double2*>(memory + results_of<W, parts>);
    const int slot = (filter_group << log_slots) + (part << f.log_cells) + of_group;
    const auto write = [&](int filter, const double2& sums) { e.finish(filter, sums); };
    if (join_sums(e.join, all, room, first_filter, slot, log_slots, write)) run_list(then, memory);
    return;
  } else if constexpr (!W::is_spread) {
    if (e.row || e.array || e.relu) {
      put_down();
      const Finish finish(e, filter_0);
#pragma unroll 1
      for (int h = 0; h < 2; ++h) {
        const int cell = cells + h, n = tile_image + image_of(cell), i0 = row_of(cell), j = column_of(cell);
        if (n >= d.n || j >= d.ow) continue;
        const int first = ((n * d.oh + i0) * d.ow + j) * d.out + filter_0, line_size = d.ow * d.out;
        float4 other[rows];
#pragma unroll
        for (int i = 0; i < rows; ++i) {
          if (i0 + i < d.oh) other[i] = finish.others(first + i * line_size);
        }
#pragma unroll
        for (int i = 0; i < rows; ++i) {
          if (i0 + i < d.oh) finish.write(first + i * line_size, mine4[(h * rows + i) * 32], other[i]);
        }
      }
      return;
    }
  }
  if constexpr (!forms_sums) {
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      const int cell = cells + h, n = tile_image + image_of(cell), i0 = row_of(cell), j0 = column_of(cell);
      if (n >= d.n) continue;
      float* to = e.y + ((n * d.oh + i0) * d.ow + j0) * d.out + filter_0;
#pragma unroll
      for (int i = 0; i < rows; ++i) {
#pragma unroll
        for (int kind = 0; kind < W::kinds; ++kind) {
          const int p = i * up + kind / 2, q = kind % 2;
          if (i0 + p >= d.oh || j0 + q >= d.ow) continue;
          const float *even = sum[kind][i][0] + h * 2, *odd = sum[kind][i][1] + h * 2;
          *reinterpret_cast<float4*>(to + (p * d.ow + q) * d.out) = {even[0], odd[0], even[1], odd[1]};
        }
      }
    }
  }
#endif
}

}  // namespace autodiff::kernels::cuda::forward
