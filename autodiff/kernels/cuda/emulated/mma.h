// Matrices that a warp holds together, for tensor cores of tf32: see cuda_runtime.h of this folder.
#pragma once

#include "autodiff/kernels/cuda/emulated/cuda_runtime.h"

namespace nvcuda::wmma {

struct matrix_a {};
struct matrix_b {};
struct accumulator {};
struct row_major {};
struct col_major {};
namespace precision {
struct tf32 {};
}  // namespace precision
enum layout_t { mem_row_major, mem_col_major };

/// The product is [m, k] [k, n]; a lane holds consecutive elements of the matrix, row by row.
template <class Use, int m, int n, int k, class T, class Layout = void>
struct fragment {
  static constexpr int rows = std::is_same_v<Use, matrix_b> ? k : m,
                       columns = std::is_same_v<Use, matrix_a> ? k : n;
  static constexpr int num_elements = rows * columns / 32;
  float x[num_elements];

  static int element(int i) { return emulated::lane() * num_elements + i; }
  static std::ptrdiff_t place(int i, unsigned step) {
    const int row = element(i) / columns, column = element(i) % columns;
    const bool turned = std::is_same_v<Layout, col_major>;
    return static_cast<std::ptrdiff_t>(turned ? column : row) * static_cast<std::ptrdiff_t>(step) +
           (turned ? row : column);
  }
};

template <class Fragment>
void fill_fragment(Fragment& f, float value) {
  for (float& x : f.x) x = value;
}
template <class Fragment>
void load_matrix_sync(Fragment& f, const float* from, unsigned step) {
  __syncwarp();
  for (int i = 0; i < Fragment::num_elements; ++i) f.x[i] = from[Fragment::place(i, step)];
}
template <class Fragment>
void store_matrix_sync(float* to, const Fragment& f, unsigned step, layout_t) {
  for (int i = 0; i < Fragment::num_elements; ++i) to[Fragment::place(i, step)] = f.x[i];
  __syncwarp();
}
template <class Sum, class A, class B>
void mma_sync(Sum& out, const A& a, const B& b, const Sum& c) {
  struct Mine {
    float a[A::num_elements], b[B::num_elements];
  } mine;
  std::copy(std::begin(a.x), std::end(a.x), mine.a);
  std::copy(std::begin(b.x), std::end(b.x), mine.b);
  const Mine* all = emulated::exchange(mine);
  for (int i = 0; i < Sum::num_elements; ++i) {
    const int row = Sum::element(i) / Sum::columns, column = Sum::element(i) % Sum::columns;
    float sum = c.x[i];
    for (int p = 0; p < A::columns; ++p) {
      const int left = row * A::columns + p, right = p * B::columns + column;
      const auto tf32 = [](float x) { return emulated::read_tf32(std::bit_cast<unsigned>(x)); };
      sum = std::fma(tf32(all[left / A::num_elements].a[left % A::num_elements]),
                     tf32(all[right / B::num_elements].b[right % B::num_elements]), sum);
    }
    out.x[i] = sum;
  }
}

}  // namespace nvcuda::wmma
