// Launches of the convolutions of conv2d_forward_inl.h: how tiles lie, how much shared memory they take, and
// which kernel takes what.
#include "autodiff/kernels/cuda/conv2d_forward_inl.h"

namespace autodiff::kernels::cuda {
namespace {

using namespace forward;

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

// More than two blocks of 128 pixels and 32 filters for every multiprocessor.
bool has_much_work(const Conv2dDims& d) {
  return d.y_size() / (128 * 32) > 2 * static_cast<std::size_t>(multiprocessors());
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
Conv2dLaunch run(const Conv2dDims& d, const float* x, const float* w, const Prologue& first) {
  constexpr int warps = threads / 32 / parts, channels = 8 * steps * parts;
  Frame f = frame_of<W>(d, warps);
  const int most = most_shared();
  f.of_other = first.other ? f.positions * channels : 0;
  const int slot = (f.positions * (channels + 4) + f.of_other +
                    (W::taps * W::taps * channels * filter_width << f.log_filters)) *
                   4;
  const int table = f.positions * 4, sums = (parts - 1) * warps * W::sums * W::rows * 8 * 32 * 4;
  f.slots = std::min(d.in / channels, 3);
  // Where there is more work than one block for every multiprocessor, two of them side by side.
  const int room = has_much_work(d) ? most / 2 - 1024 : most;
  while (f.slots > 2 && f.slots * slot + table > room) --f.slots;
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
      launch_on(to, "conv2d", grid, threads, static_cast<std::size_t>(bytes), kernel, d, f, x, w, first, e);
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
      launch_on(to, "conv2d", grid, threads, static_cast<std::size_t>(all), kernel, d, f, x, w, first,
                ending);
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

// Whether a kernel can do this before it reads its image. Every pixel has to be written, by the tile that has
// it inside of its edges: all of those are among what the tile's windows read.
bool can_begin(const Conv2dDims& d, const Prologue& first) {
  for (const float* p : {first.x, first.mean, first.factor, first.shift, first.other, first.other_shift,
                         static_cast<const float*>(first.y)}) {
    if (!is_aligned(p)) return false;
  }
  if (d.up == 2) return (d.oh + 1) / 2 >= d.h && (d.ow + 1) / 2 >= d.w;
  return std::min(d.top, d.left) >= 0 && std::max(d.top, d.left) <= d.kh - d.stride &&
         d.oh * d.stride >= d.h && d.ow * d.stride >= d.w;
}

// In how many parts is said by the channels alone, so that sums have the same bits on every device and in
// every batch.
template <class W>
Conv2dLaunch run(const Conv2dDims& d, const float* x, const float* w, const Prologue& first) {
  if (d.in % 32 != 0) return run<W, 2, 1>(d, x, w, first);
  // Slices of 32 channels are whole lines of memory; but of two slices one is multiplied while the other
  // comes.
  if constexpr (W::stride == 1) {
    if (W::taps == 1 || (d.in > 32 && !has_much_work(d))) {
      if (auto launch = run<W, 2, 2>(d, x, w, first)) return launch;
    }
  }
  if constexpr (W::taps == 3) return run<W, 1, 2>(d, x, w, first);
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

Conv2dLaunch conv2d_forward(const Conv2dDims& d, const float* x, const float* w, const Prologue& first) {
  if (first && !can_begin(d, first)) return {};
  if (first) x = first.x;
  if (d.up == 2) {
    if (d.kh == 1) return run<Window<1, 1, 0>>(d, x, w, first);
    return d.top == 1 ? run<Window<3, 1, 1>>(d, x, w, first) : run<Window<3, 1, 2>>(d, x, w, first);
  }
  if (d.kh == 1) return run<Window<1, 1, -1>>(d, x, w, first);
  return d.stride == 1 ? run<Window<3, 1, -1>>(d, x, w, first) : run<Window<3, 2, -1>>(d, x, w, first);
}

}  // namespace autodiff::kernels::cuda
