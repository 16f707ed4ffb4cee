// Convolutions with windows of 3 x 3 and 1 x 1 by tensor cores, most of those of a residual net: with stride
// 1 and 2, and of images that are spread out, which are the data gradients of those with stride 2.
//
// A block forms a tile of the result, whose pixels lie in cells of 8 columns and a few rows. What lies under
// all their windows comes to shared memory once, some channels at a time. A warp has two cells and 16
// filters: it reads 8 channels of a row of both, as the left factor of 16 pixels, once for all the taps of
// the window that meet this row, each of which adds to another row of the result. Edges of the image, and
// cells beyond them, are zeros. Of the two products of 8 columns one has the even filters and one the odd
// ones, so that a thread reads and writes neighbours. With the result goes what a chain would do to it
// (epilogue.h), and sums over pixels are formed with it (conv2d_sums_inl.h).
//
// Somewhat long: the kernel and what the host says about tiles belong together.
#include "autodiff/kernels/cuda/conv2d_sums_inl.h"
#include "autodiff/kernels/cuda/tensor_inl.h"

namespace autodiff::kernels::cuda {
namespace {

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
};

#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800
__device__ int divided(int x, int by) { return x * by >> 20; }
__device__ float2 load2(const float* p) { return *reinterpret_cast<const float2*>(p); }
#endif

// Floats of a block's result.
template <class W, int parts>
constexpr int results_of = 8 * W::rows* W::kinds*(threads / parts);

// A slice has `steps` times 8 channels for each of `parts` parts of the warps, which take turns and whose
// sums are added last. `Ending`: an Epilogue, or what conv2d_sums_inl.h has.
template <class W, int steps, int parts, Precision precision, class Ending>
__global__ void __launch_bounds__(threads, 2)
    forward_kernel(const Conv2dDims d, const Frame f, const float* x, const float* w, const Ending e) {
#if __CUDA_ARCH__ >= 800
  constexpr bool forms_sums = !std::is_same_v<Ending, Epilogue>;
  constexpr int warps = threads / 32 / parts, channels = 8 * steps * parts, taps = W::taps, rows = W::rows;
  constexpr int width = channels + 4;  // of a position in shared memory
  constexpr int filter_rows = taps * taps * channels;
  const int tid = static_cast<int>(threadIdx.x), lane = tid % 32, warp = tid / 32 % warps,
            part = tid / 32 / warps, g = lane / 4, t = lane % 4;
  const int filter_group = warp >> f.log_cells,
            cells = (warp & ((1 << f.log_cells) - 1)) * 2;  // the first of the warp's two
  const int slot_size = f.positions * width + (filter_rows * filter_width << f.log_filters);
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

  // Where the positions are in x, or -1. Of windows of 1 x 1 only those that are read are positions.
  const int step = taps == 1 ? d.stride : 1;
  for (int p = tid; p < f.positions; p += threads) {
    const int line = divided(p, f.by_columns), s = p - line * f.columns;
    const int image = divided(line, f.by_rows), even = (f.columns + 1) / 2;
    const int column = W::stride == 1 ? s : s < even ? 2 * s : 2 * (s - even) + 1;
    const int n = tile_image + image,
              i = (tile_row * rows * W::stride + line - image * f.rows) * step - f.top,
              j = (tile_column * cell_columns * W::stride + column) * step - f.left;
    const bool inside = n < d.n && i >= 0 && i < d.h && j >= 0 && j < d.w;
    source[p] = inside ? ((n * d.h + i) * d.w + j) * d.in : -1;
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
      send(to + p * width, from + max(at, 0), at >= 0);
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

  // Slices on their way while one is multiplied.
  const int ahead = f.slots > 2 || items <= f.slots ? 2 : 1;
  float sum[W::kinds][rows][2][4] = {};
  for (int turn = 0, to = 0, slot = 0; turn < items + ahead; ++turn) {
    if (turn >= ahead) {
      ahead == 2 ? __pipeline_wait_prior(1) : __pipeline_wait_prior(0);
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

// Blocks may have more shared memory than 48 KiB where they ask for it: always for all there is, since
// another thread may have recorded a launch of the same kernel that needs more than this one.
template <class Kernel>
void allow(Kernel* kernel, int most) {
  check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, most), "shared memory");
}

int most_shared() {
  int device = 0, most = 0;
  check(cudaGetDevice(&device), "cudaGetDevice");
  check(cudaDeviceGetAttribute(&most, cudaDevAttrMaxSharedMemoryPerBlockOptin, device), "shared memory");
  return most;
}

int log_of(int x) {  // rounded up
  int log = 0;
  while (1 << log < x) ++log;
  return log;
}

template <class W>
Frame frame_of(const Conv2dDims& d, int warps) {
  const auto up = [](int x, int by) { return (x + by - 1) / by; };
  const int oh = W::is_spread ? up(d.oh, 2) : d.oh, ow = W::is_spread ? up(d.ow, 2) : d.ow;
  const int across = up(ow, cell_columns), down = up(oh, W::rows);
  Frame f{};
  f.log_filters = d.out % (2 * filters) == 0 ? 1 : 0;
  f.log_cells = log_of(warps) - f.log_filters;
  const int log_all = f.log_cells + 1;
  f.log_across = std::min({log_all, log_of(across), 2});
  f.log_down = std::min(log_all - f.log_across, log_of(down));
  f.log_images = log_all - f.log_across - f.log_down;
  f.tiles_across = up(across, 1 << f.log_across);
  f.tiles_down = up(down, 1 << f.log_down);
  f.rows = ((W::rows << f.log_down) - 1) * W::stride + W::extent;
  f.columns = ((cell_columns << f.log_across) - 1) * W::stride + W::extent;
  f.positions = (f.rows << f.log_images) * f.columns;
  f.by_rows = (1 << 20) / f.rows + 1;
  f.by_columns = (1 << 20) / f.columns + 1;
  f.by_tiles = (1 << 20) / f.tiles_across + 1;
  f.top = W::is_spread ? W::before : d.top;
  f.left = W::is_spread ? W::before : d.left;
  return f;
}

// Nothing where it takes more shared memory than there is, or images are huge.
template <class W, int steps, int parts>
Conv2dLaunch run(const Conv2dDims& d, const float* x, const float* w) {
  constexpr int warps = threads / 32 / parts, channels = 8 * steps * parts;
  Frame f = frame_of<W>(d, warps);
  const int most = most_shared();
  const int slot =
      (f.positions * (channels + 4) + (W::taps * W::taps * channels * filter_width << f.log_filters)) * 4;
  const int table = f.positions * 4, sums = (parts - 1) * warps * W::sums * W::rows * 8 * 32 * 4;
  f.slots = std::min(d.in / channels, 3);
  while (f.slots > 2 && f.slots * slot + table > most) --f.slots;
  const int results = W::is_spread ? 0 : results_of<W, parts> * 4;
  const int bytes = std::max({f.slots * slot + table, sums, results});
  // More tiles of an image than can be told apart by divided().
  if (bytes > most || f.tiles_across * f.tiles_down > 1024) return {};
  const dim3 grid(static_cast<unsigned>((d.n + (1 << f.log_images) - 1) >> f.log_images),
                  static_cast<unsigned>(d.out / filters >> f.log_filters),
                  static_cast<unsigned>(f.tiles_across * f.tiles_down));
  Conv2dLaunch out;
  out.run = [=](cudaStream_t to, const Epilogue& e) {
    by_precision([&](auto precision) {
      constexpr auto* kernel = forward_kernel<W, steps, parts, precision(), Epilogue>;
      allow(kernel, most);
      launch_on(to, "conv2d", grid, threads, static_cast<std::size_t>(bytes), kernel, d, f, x, w, e);
    });
  };
  out.adds = !W::is_spread;
  const auto q = block_sums(d, grid, log_threads, log_of(filters << f.log_filters));
  if (!q) return out;
  const int all = std::max({bytes, results_of<W, parts> * 4 + static_cast<int>(sums_bytes(*q, threads)),
                            list_floats * static_cast<int>(sizeof(float))}),
            most_dynamic = most - 64;  // is_last_block has some that is not
  if (all > most_dynamic) return out;
  const auto run_with = [=](cudaStream_t to, const auto& ending) {
    by_precision([&](auto precision) {
      constexpr auto* kernel =
          forward_kernel<W, steps, parts, precision(), std::remove_cvref_t<decltype(ending)>>;
      allow(kernel, most_dynamic);
      launch_on(to, "conv2d", grid, threads, static_cast<std::size_t>(all), kernel, d, f, x, w, ending);
    });
  };
  if constexpr (!W::is_spread) {
    out.run_with_moments = [=](cudaStream_t to, float* y, float* m, const SmallList* list) {
      run_with(to, MomentsEnding{q->before(list), factor_of(d), y, m});
    };
  }
  if constexpr (W::stride == 1 && W::sums == W::kinds) {
    out.run_with_norm_gradient = [=](cudaStream_t to, const NormGradient& n, const SmallList* list) {
      run_with(to, NormGradientEnding{q->before(list), n});
    };
  }
  return out;
}

// In how many parts is said by the channels alone, so that sums have the same bits on every device and in
// every batch.
template <class W>
Conv2dLaunch run(const Conv2dDims& d, const float* x, const float* w) {
  if (d.in % 32 != 0) return run<W, 2, 1>(d, x, w);
  // Slices of 32 channels are whole lines of memory; but of two slices one is multiplied while the other
  // comes.
  if constexpr (W::stride == 1) {
    if (W::taps == 1 || d.in > 32) {
      if (auto launch = run<W, 2, 2>(d, x, w)) return launch;
    }
  }
  if constexpr (W::taps == 3) return run<W, 1, 2>(d, x, w);
  return {};
}

}  // namespace

bool forward_supports(const Conv2dDims& d) {
  constexpr std::size_t most = 1U << 31;
  if (!has_tensor_cores() || d.groups != 1 || d.dilation != 1 || d.kh != d.kw || d.in % 16 != 0 ||
      d.in == 0 || d.out % filters != 0 || d.x_size() >= most || d.y_size() >= most || d.w_size() >= most) {
    return false;
  }
  if (d.up == 1) return d.kh == 1 || (d.kh == 3 && d.stride <= 2);
  if (d.up != 2 || d.stride != 1 || d.top != d.left) return false;
  return d.kh == 3 ? d.top == 1 || d.top == 2 : d.kh == 1 && d.top == 0;
}

Conv2dLaunch conv2d_forward(const Conv2dDims& d, const float* x, const float* w) {
  if (d.up == 2) {
    if (d.kh == 1) return run<Window<1, 1, 0>>(d, x, w);
    return d.top == 1 ? run<Window<3, 1, 1>>(d, x, w) : run<Window<3, 1, 2>>(d, x, w);
  }
  if (d.kh == 1) return run<Window<1, 1, -1>>(d, x, w);
  return d.stride == 1 ? run<Window<3, 1, -1>>(d, x, w) : run<Window<3, 2, -1>>(d, x, w);
}

}  // namespace autodiff::kernels::cuda
