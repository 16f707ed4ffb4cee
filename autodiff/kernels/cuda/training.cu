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

__global__ void update_kernel(UpdateDims d, const UpdateScalars* scalars, const int* step, UpdateArrays a) {
  await_previous();
  const std::size_t i = thread_index();
  if (i >= d.n) return;
  if (a.is_statistic[i]) {
    a.parameters[i] = a.statistics[i];
    return;
  }
  update_element(d, scalars[*step], i, a.gradient,
                 {a.decay_from, a.first_moments, a.second_moments, a.parameters});
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

__global__ void gather_images_kernel(Images d, const Sample* samples, const int* step, int batch,
                                     float* features) {
  await_previous();
  const int pixels = d.height * d.width, pixel = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  const int row = static_cast<int>(blockIdx.y);
  if (pixel >= pixels) return;
  const Sample s = samples[*step * batch + row];
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
}

__global__ void gather_rows_kernel(const float* rows, std::size_t width, const Sample* samples,
                                   const int* step, int batch, float* features) {
  await_previous();
  const std::size_t i = thread_index();
  if (i >= static_cast<std::size_t>(batch) * width) return;
  const Sample s = samples[*step * batch + static_cast<int>(i / width)];
  features[i] = rows[static_cast<std::size_t>(s.index) * width + i % width];
}

__global__ void gather_labels_kernel(const int* classes, const Sample* samples, const int* step, int batch,
                                     int* labels) {
  await_previous();
  const int row = static_cast<int>(thread_index());
  if (row < batch) labels[row] = classes[samples[*step * batch + row].index];
}

__global__ void end_step_kernel(const float* value, float* all, int* step) {
  await_previous();
  all[*step] = *value;
  ++*step;
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

void update(const UpdateDims& d, const UpdateScalars* scalars, const int* step, const UpdateArrays& arrays) {
  if (d.n == 0) return;
  launch("update", blocks(d.n, block), block, 0, update_kernel, d, scalars, step, arrays);
}

void clip_by_norm(float* gradient, std::size_t n, double most) {
  if (n == 0) return;
  auto* partials = static_cast<double*>(cuda::partials());
  launch("clip_by_norm", norm_blocks, norm_threads, 0, squares_kernel, n, gradient, partials);
  launch("clip_by_norm", blocks(n, block), block, 0, clip_kernel, n, most, partials, gradient);
}

void gather_images(const Images& images, const Sample* samples, const int* step, int batch, float* features) {
  const auto pixels = static_cast<std::size_t>(images.height) * static_cast<std::size_t>(images.width);
  launch("gather_images", dim3(blocks(pixels, block), static_cast<unsigned>(batch)), block, 0,
         gather_images_kernel, images, samples, step, batch, features);
}

void gather_rows(const float* rows, std::size_t width, const Sample* samples, const int* step, int batch,
                 float* features) {
  launch("gather_rows", blocks(static_cast<std::size_t>(batch) * width, block), block, 0, gather_rows_kernel,
         rows, width, samples, step, batch, features);
}

void gather_labels(const int* classes, const Sample* samples, const int* step, int batch, int* labels) {
  launch("gather_labels", blocks(static_cast<std::size_t>(batch), block), block, 0, gather_labels_kernel,
         classes, samples, step, batch, labels);
}

void end_step(const float* value, float* all, int* step) {
  launch("end_step", 1, 1, 0, end_step_kernel, value, all, step);
}

void end_batch(const float* values, std::size_t count, float* all, int* step) {
  if (count) launch("end_batch", blocks(count, block), block, 0, end_batch_kernel, values, count, all, step);
  launch("end_batch", 1, 1, 0, next_step_kernel, step);
}

void take_row(const int* from, std::size_t count, const int* step, int* to) {
  launch("take_row", blocks(count, block), block, 0, take_row_kernel, from, count, step, to);
}

}  // namespace autodiff::kernels::device
