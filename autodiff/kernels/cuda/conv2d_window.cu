// Convolutions with windows of 3 x 3, most of those of a residual net, by tensor cores: with stride 1, and
// data gradients of those with stride 2. A block has 128 neighbouring pixels of the result and loads what
// lies under all their windows once, 16 channels at a time; the nine taps then read it from shared memory.
// (As products of slices, as in conv2d_tensor.cu, every tap reads the image anew.) Filter gradients are in
// conv2d_window_filters.cu.
#include "autodiff/kernels/cuda/conv2d_inl.h"
#include "autodiff/kernels/cuda/tensor_inl.h"

namespace autodiff::kernels::cuda {
namespace {

// Before compute capability 8.0 the kernels are empty, and never called.
#pragma nv_diag_suppress 177

constexpr int pixels = 128, threads = 128, chunk = 16, taps = 9;
constexpr int warp_pixels = 32;
// Distances of positions and rows in shared memory, for which the lanes of a warp meet different banks.
constexpr int position_width = chunk + 4;
__host__ __device__ constexpr int filter_width(int filters) { return filters + 8; }

// How a block's pixels lie: `rows` rows of each of `images` images. Around them lie in_rows x in_columns
// positions.
struct Frame {
  int images, rows, in_rows, in_columns;
  __host__ __device__ int positions() const { return images * in_rows * in_columns; }
};

__host__ __device__ Frame frame_of(const Conv2dDims& d) {
  const int rows = pixels / d.ow, images = rows > d.oh ? rows / d.oh : 1;
  return {images, rows / images, rows / images + 2, d.ow + 2};
}

#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800
// Sends `chunk` channels of all positions of tile `tile` to shared memory, a row by each warp in turn.
template <int width>
__device__ void send_positions(const Conv2dDims& d, const Frame& f, int tile, const float* x, float* to) {
  const int first = tile * pixels, n0 = first / (d.oh * d.ow), i = first / d.ow % d.oh;
  const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
  for (int r = warp; r < f.images * f.in_rows; r += threads / 32) {
    const int n = n0 + r / f.in_rows, row = i - d.top + r % f.in_rows;
    const bool has_row = n < d.n && row >= 0 && row < d.h;
    const float* from = x + (static_cast<long long>(n) * d.h + row) * d.w * d.in;
    float* row_to = to + r * f.in_columns * width;
    for (int q = lane; q < f.in_columns * 4; q += 32) {
      const int column = q / 4 - d.left, c = q % 4 * 4;
      const bool inside = has_row && column >= 0 && column < d.w;
      send(row_to + q / 4 * width + c, inside ? from + static_cast<long long>(column) * d.in + c : x, inside);
    }
  }
}

// The position under tap (0, 0) of pixel p of a tile.
__device__ int position_of(const Conv2dDims& d, const Frame& f, int p) {
  const int row = p / d.ow, image = row / f.rows;
  return (image * f.in_rows + row % f.rows) * f.in_columns + p % d.ow;
}
#endif

// y; a warp has 32 pixels and the block's filters.
//
// With `spread` = top = left the images are read as if zeros stood between their rows and columns (up = 2),
// and `d` is of the images as they are. A pixel of theirs then stands for four of the result, at rows 2i + p
// and columns 2j + q, and each tap belongs to one of the four: tap a to those rows for which top - a - p is
// even, at row i + (p + a - top) / 2.
template <int filters, int spread, Precision precision>
__global__ void __launch_bounds__(threads)
    forward_kernel(const Conv2dDims d, const float* __restrict__ x, const float* __restrict__ w,
                   float* __restrict__ y) {
#if __CUDA_ARCH__ >= 800
  float* memory = block_memory();
  const Frame f = frame_of(d);
  constexpr int width = filter_width(filters), filter_size = taps * chunk * width;
  const int image_size = f.positions() * position_width;
  const int tid = static_cast<int>(threadIdx.x), warp = tid / 32, g = tid % 32 / 4, t = tid % 4;
  const int first_filter = static_cast<int>(blockIdx.y) * filters;
  const int chunks = d.in / chunk;

  // Work is a list of items, the chunks of every gridDim.x-th tile; an item is on its way while the one
  // before is multiplied. Filters of a single chunk are loaded once.
  const int tiles = d.n * d.oh * d.ow / pixels;
  const int items = (tiles - static_cast<int>(blockIdx.x) + static_cast<int>(gridDim.x) - 1) /
                    static_cast<int>(gridDim.x) * chunks;
  const auto tile_of = [&](int item) {
    return static_cast<int>(blockIdx.x) + item / chunks * static_cast<int>(gridDim.x);
  };
  const auto filters_of = [&](int item) {
    return memory + 2 * image_size + (chunks > 1 ? item % 2 * filter_size : 0);
  };
  const auto fetch = [&](int item) {
    if (item < items) {
      const int c = item % chunks;
      send_positions<position_width>(d, f, tile_of(item), x + c * chunk, memory + item % 2 * image_size);
      float* to = filters_of(item);
      for (int q = tid; (chunks > 1 || item == 0) && q < taps * chunk * filters / 4; q += threads) {
        const int row = q / (filters / 4), o = q % (filters / 4) * 4, tap = row / chunk, k = row % chunk;
        send(to + row * width + o,
             w + (static_cast<long long>(tap) * d.in + c * chunk + k) * d.out + first_filter + o, true);
      }
    }
    __pipeline_commit();
  };

  constexpr int kinds = spread ? 4 : 1;
  float sum[kinds][2][filters / 8][4] = {};
  int base[2][2];
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    base[r][0] = position_of(d, f, warp * warp_pixels + r * 16 + g) * position_width + t;
    base[r][1] = position_of(d, f, warp * warp_pixels + r * 16 + g + 8) * position_width + t;
  }
  fetch(0);
  for (int item = 0; item < items; ++item) {
    fetch(item + 1);
    __pipeline_wait_prior(1);
    __syncthreads();
    const float* image = memory + item % 2 * image_size;
    const float* filter = filters_of(item);
#pragma unroll
    for (int tap = 0; tap < taps; ++tap) {
      const int a_row = tap / 3, a_column = tap % 3, p = (spread + a_row) & 1, q = (spread + a_column) & 1;
      const int kind = spread ? 2 * p + q : 0;
      const int row = spread ? 1 + (p + a_row - spread) / 2 : a_row,
                column = spread ? 1 + (q + a_column - spread) / 2 : a_column;
      const int offset = (row * f.in_columns + column) * position_width;
#pragma unroll
      for (int k = 0; k < chunk; k += 8) {
        Factor<4> a[2];
#pragma unroll
        for (int r = 0; r < 2; ++r) {
          const float *upper = image + base[r][0] + offset + k, *lower = image + base[r][1] + offset + k;
          a[r].template set<precision>(0, upper[0]);
          a[r].template set<precision>(1, lower[0]);
          a[r].template set<precision>(2, upper[4]);
          a[r].template set<precision>(3, lower[4]);
        }
#pragma unroll
        for (int o = 0; o < filters / 8; ++o) {
          Factor<2> b;
          const float* from = filter + (tap * chunk + k + t) * width + o * 8 + g;
          b.template set<precision>(0, from[0]);
          b.template set<precision>(1, from[4 * width]);
          multiply<precision>(sum[kind][0][o], a[0], b);
          multiply<precision>(sum[kind][1][o], a[1], b);
        }
      }
    }
    __syncthreads();
    if ((item + 1) % chunks != 0) continue;
#pragma unroll
    for (int half = 0; half < 4; ++half) {  // rows g and g + 8 of both tiles
      const int m = tile_of(item) * pixels + warp * warp_pixels + half * 8 + g;
#pragma unroll
      for (int kind = 0; kind < kinds; ++kind) {
        const int i = m / d.ow, j = m % d.ow;  // i: a row of all images together
        const long long at = spread ? (2LL * i + kind / 2) * (2 * d.ow) + 2 * j + kind % 2 : m;
        float* to = y + at * d.out + first_filter + 2 * t;
#pragma unroll
        for (int o = 0; o < filters / 8; ++o) {
          float* from = sum[kind][half / 2][o] + half % 2 * 2;
          *reinterpret_cast<float2*>(to + o * 8) = {from[0], from[1]};
          from[0] = from[1] = 0;
        }
      }
    }
  }
#endif
}

// Blocks may have more shared memory than 48 KiB where they ask for it: always for all there is, since
// another thread may have recorded a launch of the same kernel that needs more than this one.
template <class Kernel>
void allow(Kernel* kernel) {
  int device = 0, most = 0;
  check(cudaGetDevice(&device), "cudaGetDevice");
  check(cudaDeviceGetAttribute(&most, cudaDevAttrMaxSharedMemoryPerBlockOptin, device), "shared memory");
  check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, most), "shared memory");
}

template <int filters, int spread>
void forward(const Conv2dDims& d, const float* x, const float* w, float* y) {
  const int tiles = d.n * d.oh * d.ow / pixels, most = 4 * multiprocessors();
  const int rounds = d.in > chunk ? 1 : (tiles + most - 1) / most;
  const dim3 grid(static_cast<unsigned>((tiles + rounds - 1) / rounds),
                  static_cast<unsigned>(d.out / filters));
  const int filter_size = taps * chunk * filter_width(filters);
  const std::size_t bytes = static_cast<std::size_t>(2 * frame_of(d).positions() * position_width +
                                                     filter_size * (d.in > chunk ? 2 : 1)) *
                            sizeof(float);
  by_precision([&](auto precision) {
    allow(forward_kernel<filters, spread, precision()>);
    launch("conv2d", grid, threads, bytes, forward_kernel<filters, spread, precision()>, d, x, w, y);
  });
}

}  // namespace

namespace {

// Of images that are spread out: as they are, with all that lies under the four pixels of the result around
// them.
Conv2dDims together(Conv2dDims d) {
  d.oh = d.h, d.ow = d.w;
  d.top = d.left = 1;
  d.up = 1;
  return d;
}

}  // namespace

bool window_supports(const Conv2dDims& dims) {
  Conv2dDims d = dims;
  if (d.up == 2) {
    if (d.top != d.left || d.top < 1 || d.top > 2 || d.oh != 2 * d.h || d.ow != 2 * d.w) return false;
    d = together(d);
  }
  const int rows = d.ow > 0 && pixels % d.ow == 0 ? pixels / d.ow : 0;
  const bool is_even = rows > 0 && (rows <= d.oh ? d.oh % rows == 0 : rows % d.oh == 0);
  return has_tensor_cores() && d.kh == 3 && d.kw == 3 && d.stride == 1 && d.dilation == 1 && d.up == 1 &&
         d.groups == 1 && d.in % chunk == 0 && d.out % chunk == 0 && d.ow % 8 == 0 && is_even &&
         d.n * d.oh * d.ow % pixels == 0;
}

void conv2d_window(const Conv2dDims& d, const float* x, const float* w, float* y) {
  if (d.up == 2) {
    return d.top == 1 ? forward<16, 1>(together(d), x, w, y) : forward<16, 2>(together(d), x, w, y);
  }
  const int tiles = d.n * d.oh * d.ow / pixels;
  d.out % 32 == 0 && tiles*(d.out / 32) >= 4 * multiprocessors() ? forward<32, 0>(d, x, w, y)
                                                                 : forward<16, 0>(d, x, w, y);
}

}  // namespace autodiff::kernels::cuda
