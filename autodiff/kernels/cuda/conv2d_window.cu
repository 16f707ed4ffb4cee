// Filter gradients of windows of 3 x 3 with stride 1, most of those of a residual net, by tensor cores. A
// block has tiles of 128 neighbouring pixels and loads what lies under all their windows once, 16 channels at
// a time; the nine taps then read it from shared memory. (As products of slices, as in conv2d_tensor.cu,
// every tap reads the image anew.)
#include "autodiff/kernels/cuda/conv2d_inl.h"
#include "autodiff/kernels/cuda/tensor_inl.h"

namespace autodiff::kernels::cuda {
namespace {

// Before compute capability 8.0 the kernels are empty, and never called.
#pragma nv_diag_suppress 177

constexpr int pixels = 128, threads = 128, chunk = 16, taps = 9;
constexpr int warp_pixels = 32;
// Distances of positions and rows in shared memory, for which the lanes of a warp meet different banks.
constexpr int turned_width = chunk + 8;

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

// Partial filter gradients [part, taps, in, out] of 16 inputs and 16 outputs, from every gridDim.x-th tile; a
// warp has 32 pixels of each.
template <Precision precision>
__global__ void __launch_bounds__(threads)
    filters_kernel(const Conv2dDims d, int tiles, const float* __restrict__ x, const float* __restrict__ dy,
                   float* __restrict__ partial) {
#if __CUDA_ARCH__ >= 800
  float* memory = block_memory();
  const Frame f = frame_of(d);
  const int image_size = f.positions() * turned_width, stage = image_size + pixels * turned_width;
  const int tid = static_cast<int>(threadIdx.x), warp = tid / 32, g = tid % 32 / 4, t = tid % 4;
  const int in_chunks = d.in / chunk, first_in = static_cast<int>(blockIdx.y) % in_chunks * chunk,
            first_out = static_cast<int>(blockIdx.y) / in_chunks * chunk;
  x += first_in;
  dy += first_out;

  const auto fetch = [&](int tile, int turn) {
    if (tile < tiles) {
      float* to = memory + turn % 2 * stage;
      send_positions<turned_width>(d, f, tile, x, to);
      to += image_size;
      for (int q = tid; q < pixels * 4; q += threads) {
        send(to + q / 4 * turned_width + q % 4 * 4,
             dy + (static_cast<long long>(tile) * pixels + q / 4) * d.out + q % 4 * 4, true);
      }
    }
    __pipeline_commit();
  };

  float sum[taps][2][4] = {};
  const int step = static_cast<int>(gridDim.x);
  int turn = 0;
  fetch(static_cast<int>(blockIdx.x), 0);
  for (int tile = static_cast<int>(blockIdx.x); tile < tiles; tile += step, ++turn) {
    fetch(tile + step, turn + 1);
    __pipeline_wait_prior(1);
    __syncthreads();
    const float* image = memory + turn % 2 * stage;
    const float* slope = image + image_size;
#pragma unroll
    for (int k = 0; k < warp_pixels; k += 8) {
      const int p = warp * warp_pixels + k;
      Factor<2> b[2];
#pragma unroll
      for (int o = 0; o < 2; ++o) {
        b[o].template set<precision>(0, slope[(p + t) * turned_width + o * 8 + g]);
        b[o].template set<precision>(1, slope[(p + t + 4) * turned_width + o * 8 + g]);
      }
      // Eight neighbouring pixels lie in one row.
      const float* first = image + (position_of(d, f, p) + t) * turned_width + g;
#pragma unroll
      for (int tap = 0; tap < taps; ++tap) {
        const float* from = first + (tap / 3 * f.in_columns + tap % 3) * turned_width;
        Factor<4> a;
        a.template set<precision>(0, from[0]);
        a.template set<precision>(1, from[8]);
        a.template set<precision>(2, from[4 * turned_width]);
        a.template set<precision>(3, from[4 * turned_width + 8]);
        multiply<precision>(sum[tap][0], a, b[0]);
        multiply<precision>(sum[tap][1], a, b[1]);
      }
    }
    __syncthreads();
  }
  // The sums of the warps, one after the other, in shared memory [tap][in][out].
  for (int turn_of = 0; turn_of < threads / 32; ++turn_of) {
    if (warp == turn_of) {
#pragma unroll
      for (int tap = 0; tap < taps; ++tap) {
#pragma unroll
        for (int o = 0; o < 2; ++o) {
#pragma unroll
          for (int e = 0; e < 4; ++e) {
            float& to = memory[(tap * chunk + g + e / 2 * 8) * chunk + o * 8 + 2 * t + e % 2];
            to = turn_of == 0 ? sum[tap][o][e] : to + sum[tap][o][e];
          }
        }
      }
    }
    __syncthreads();
  }
  partial += static_cast<long long>(blockIdx.x) * taps * d.in * d.out;
  for (int q = tid; q < taps * chunk * chunk; q += threads) {
    const int o = q % chunk, k = q / chunk % chunk, tap = q / (chunk * chunk);
    partial[(static_cast<long long>(tap) * d.in + first_in + k) * d.out + first_out + o] = memory[q];
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

}  // namespace

bool window_filters_supports(const Conv2dDims& d) {
  const int rows = d.ow > 0 && pixels % d.ow == 0 ? pixels / d.ow : 0;
  const bool is_even = rows > 0 && (rows <= d.oh ? d.oh % rows == 0 : rows % d.oh == 0);
  return has_tensor_cores() && d.kh == 3 && d.kw == 3 && d.stride == 1 && d.dilation == 1 && d.up == 1 &&
         d.groups == 1 && d.in % chunk == 0 && d.out % chunk == 0 && d.ow % 8 == 0 && is_even &&
         d.n * d.oh * d.ow % pixels == 0;
}

int window_parts(const Conv2dDims& d) {
  const int tiles = d.n * d.oh * d.ow / pixels, blocks = d.in / chunk * (d.out / chunk);
  return std::clamp(396 / blocks, 1, tiles);
}

void filters_window(const Conv2dDims& d, const float* x, const float* dy, float* partial) {
  const dim3 grid(static_cast<unsigned>(window_parts(d)),
                  static_cast<unsigned>(d.in / chunk * (d.out / chunk)));
  const std::size_t stage =
      static_cast<std::size_t>((frame_of(d).positions() + pixels) * turned_width) * sizeof(float);
  by_precision([&](auto precision) {
    allow(filters_kernel<precision()>);
    launch("conv2d_filter_grad", grid, threads, 2 * stage, filters_kernel<precision()>, d,
           d.n * d.oh * d.ow / pixels, x, dy, partial);
  });
}

}  // namespace autodiff::kernels::cuda
