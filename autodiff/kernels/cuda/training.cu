// What a training step needs besides the kernels of ops: optimizers, batches, the count of steps.
#include <algorithm>

#include "autodiff/kernels/cuda/cuda.h"

namespace autodiff::kernels::device {
namespace {

using cuda::await_previous;
using cuda::block;
using cuda::blocks;
using cuda::launch;
using cuda::sync_block;
using cuda::thread_index;

__device__ void update_one(const UpdateDims& d, const UpdateScalars* scalars, int step, const UpdateArrays& a,
                           std::size_t i) {
  if (a.is_statistic[i]) {
    a.parameters[i] = a.statistics[i];
    return;
  }
  update_element(d, scalars[step], i, a.gradient,
                 {a.decay_from, a.first_moments, a.second_moments, a.parameters});
}

__global__ void update_kernel(UpdateDims d, const UpdateScalars* scalars, const int* step, UpdateArrays a) {
  await_previous();
  const std::size_t i = thread_index();
  if (i < d.n) update_one(d, scalars, *step, a, i);
}

__device__ void end_step(const StepEnd& e) {
  e.all[*e.step] = *e.value;
  ++*e.step;
}

__global__ void end_step_kernel(StepEnd e) {
  await_previous();
  end_step(e);
}

// Both, by one block.
constexpr unsigned most_of_one_block = 2048, one_block = 512;
__global__ void update_and_end_step_kernel(UpdateDims d, const UpdateScalars* scalars, UpdateArrays a,
                                           StepEnd e) {
  await_previous();
  const int step = *e.step;
  for (std::size_t i = threadIdx.x; i < d.n; i += blockDim.x) update_one(d, scalars, step, a, i);
  sync_block();
  if (threadIdx.x == 0) end_step(e);
}

constexpr unsigned norm_blocks = 64, norm_threads = 256;

__device__ double block_sum(double value) {
  __shared__ double values[norm_threads];
  values[threadIdx.x] = value;
  sync_block();
  for (unsigned half = norm_threads / 2; half > 0; half /= 2) {
    if (threadIdx.x < half) values[threadIdx.x] += values[threadIdx.x + half];
    sync_block();
  }
  return values[0];
}

__global__ void squares_kernel(std::size_t n, const float* g, double* partials) {
  await_previous();
  double sum = 0;
  for (std::size_t i = thread_index(); i < n; i += norm_blocks * norm_threads) {
    sum += static_cast<double>(g[i]) * static_cast<double>(g[i]);
  }
  sum = block_sum(sum);
  if (threadIdx.x == 0) partials[blockIdx.x] = sum;
}

__global__ void clip_kernel(std::size_t n, double most, const double* partials, float* g) {
  await_previous();
  double sum = 0;
  for (unsigned k = 0; k < norm_blocks; ++k) sum += partials[k];
  const double length = sqrt(sum);
  const std::size_t i = thread_index();
  if (i >= n || !(length > most) || !isfinite(length)) return;
  g[i] *= static_cast<float>(most / length);
}

__device__ int reflect(int i, int n) { return i < 0 ? -i : i >= n ? 2 * (n - 1) - i : i; }

__global__ void gather_images_kernel(Images d, Drawn drawn, float* features, Labels labels) {
  await_previous();
  const int pixels = d.height * d.width, pixel = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  const int row = static_cast<int>(blockIdx.y);
  if (pixel >= pixels) return;
  const Sample s = drawn.samples[*drawn.step * drawn.batch + row];
  const int y = pixel / d.width, x = pixel % d.width;
  const int from_y = reflect(y + s.dy, d.height),
            from_x = reflect((s.flip ? d.width - 1 - x : x) + s.dx, d.width);
  const unsigned char* from =
      d.pixels + (static_cast<std::size_t>(s.index) * static_cast<std::size_t>(pixels) +
                  static_cast<std::size_t>(from_y * d.width + from_x)) *
                     static_cast<std::size_t>(d.channels);
  float* to = features + (static_cast<std::size_t>(row) * static_cast<std::size_t>(pixels) +
                          static_cast<std::size_t>(pixel)) *
                             static_cast<std::size_t>(d.channels);
  for (int c = 0; c < d.channels; ++c) to[c] = d.table[256 * c + from[c]];
  if (pixel == 0 && labels.labels) labels.labels[row] = labels.classes[s.index];
}

__global__ void gather_rows_kernel(const float* rows, std::size_t width, Drawn drawn, float* features,
                                   Labels labels) {
  await_previous();
  const std::size_t i = thread_index(), row = i / width;
  if (i >= static_cast<std::size_t>(drawn.batch) * width) return;
  const Sample s = drawn.samples[*drawn.step * drawn.batch + static_cast<int>(row)];
  features[i] = rows[static_cast<std::size_t>(s.index) * width + i % width];
  if (i % width == 0 && labels.labels) labels.labels[row] = labels.classes[s.index];
}

__global__ void end_batch_kernel(const float* values, std::size_t count, float* all, const int* step) {
  await_previous();
  const std::size_t i = thread_index();
  if (i < count) all[static_cast<std::size_t>(*step) * count + i] = values[i];
}

__global__ void next_step_kernel(int* step) {
  await_previous();
  ++*step;
}

__global__ void take_row_kernel(const int* from, std::size_t count, const int* step, int* to) {
  await_previous();
  const std::size_t i = thread_index();
  if (i < count) to[i] = from[static_cast<std::size_t>(*step) * count + i];
}

}  // namespace

void update(const UpdateDims& d, const UpdateScalars* scalars, const UpdateArrays& arrays,
            const StepEnd& end) {
  if (d.n <= most_of_one_block)
    return launch("update", 1, one_block, 0, update_and_end_step_kernel, d, scalars, arrays, end);
  launch("update", blocks(d.n, block), block, 0, update_kernel, d, scalars, static_cast<const int*>(end.step),
         arrays);
  launch("end_step", 1, 1, 0, end_step_kernel, end);
}

void clip_by_norm(float* gradient, std::size_t n, double most) {
  if (n == 0) return;
  auto* partials = static_cast<double*>(cuda::partials());
  launch("clip_by_norm", norm_blocks, norm_threads, 0, squares_kernel, n, gradient, partials);
  launch("clip_by_norm", blocks(n, block), block, 0, clip_kernel, n, most, partials, gradient);
}

void gather_images(const Images& images, const Drawn& drawn, float* features, const Labels& labels) {
  const auto pixels = static_cast<std::size_t>(images.height) * static_cast<std::size_t>(images.width);
  launch("gather_images", dim3(blocks(pixels, block), static_cast<unsigned>(drawn.batch)), block, 0,
         gather_images_kernel, images, drawn, features, labels);
}

void gather_rows(const float* rows, std::size_t width, const Drawn& drawn, float* features,
                 const Labels& labels) {
  launch("gather_rows", blocks(static_cast<std::size_t>(drawn.batch) * width, block), block, 0,
         gather_rows_kernel, rows, width, drawn, features, labels);
}

void end_batch(const float* values, std::size_t count, float* all, int* step) {
  if (count) launch("end_batch", blocks(count, block), block, 0, end_batch_kernel, values, count, all, step);
  launch("end_batch", 1, 1, 0, next_step_kernel, step);
}

void take_row(const int* from, std::size_t count, const int* step, int* to) {
  launch("take_row", blocks(count, block), block, 0, take_row_kernel, from, count, step, to);
}

}  // namespace autodiff::kernels::device
