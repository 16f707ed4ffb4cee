// Matrix products by cuBLAS, which counts columns first: c = a b row by row is c^T = b^T a^T column by
// column. Small ones, for which cuBLAS takes longer to begin than to multiply, by a thread for each element
// or four.
#include <cublas_v2.h>

#include <algorithm>
#include <array>
#include <memory>
#include <span>
#include <utility>

#include "autodiff/kernels/cuda/small.h"
#include "autodiff/tensor/error.h"

namespace autodiff::kernels::cuda {
namespace {

void check(cublasStatus_t status, const char* what) {
  if (status != CUBLAS_STATUS_SUCCESS) fail("cuda: ", what, ": ", cublasGetStatusString(status));
}

// One for each thread of the host: a handle belongs to a stream at a time. Its own memory would be one more
// allocation while a step is recorded; the stream's partial results are not in use then.
cublasHandle_t handle() {
  struct Destroy {
    void operator()(cublasContext* h) const { cublasDestroy(h); }
  };
  thread_local const std::unique_ptr<cublasContext, Destroy> own = [] {
    cublasHandle_t h = nullptr;
    check(cublasCreate(&h), "cublasCreate");
    return std::unique_ptr<cublasContext, Destroy>(h);
  }();
  return own.get();
}

cublasComputeType_t compute_type() {
  switch (device_precision()) {
    case Precision::float32:
      return CUBLAS_COMPUTE_32F;
    case Precision::tf32:
      return CUBLAS_COMPUTE_32F_FAST_TF32;
    case Precision::bf16:
      return CUBLAS_COMPUTE_32F_FAST_16BF;
  }
  return CUBLAS_COMPUTE_32F;
}

// Small products wait as copies do, and those that do not need each other go together. A row that is added to
// the last one, perhaps with a relu, goes with it.
struct Product {
  MatmulDims d{};
  const float *a = nullptr, *b = nullptr;
  float* c = nullptr;              // null: not to be written
  int lanes = 1, first_block = 0;  // so many threads of a warp share an element
  const float* row = nullptr;      // y = c + row
  float* y = nullptr;
  bool relu = false;
};
struct ProductList {
  static constexpr int most = 4;
  int count = 0, blocks = 0;
  Product product[most];
};
constexpr int product_threads = 64;
thread_local ProductList waiting_products;

__global__ void products_kernel(ProductList list) {
  await_previous();
  int which = 0;
  while (which + 1 < list.count && static_cast<int>(blockIdx.x) >= list.product[which + 1].first_block)
    ++which;
  const Product& p = list.product[which];
  const MatmulDims& d = p.d;
  const int index = (static_cast<int>(blockIdx.x) - p.first_block) * product_threads +
                    static_cast<int>(threadIdx.x),
            at = min(index / p.lanes, d.m * d.n - 1), part = index % p.lanes;
  const int i = at / d.n, j = at % d.n;
  const int a_step = d.transpose_a ? d.row_of_a() : 1, b_step = d.transpose_b ? 1 : d.row_of_b();
  const float* a = p.a + (d.transpose_a ? i : static_cast<std::ptrdiff_t>(i) * d.row_of_a());
  const float* b = p.b + (d.transpose_b ? static_cast<std::ptrdiff_t>(j) * d.row_of_b() : j);
  float sum = 0;
#pragma unroll 8
  for (int k = part; k < d.k; k += p.lanes)
    sum = fmaf(a[static_cast<std::ptrdiff_t>(k) * a_step], b[static_cast<std::ptrdiff_t>(k) * b_step], sum);
  for (int step = p.lanes / 2; step > 0; step /= 2) sum += __shfl_xor_sync(~0u, sum, step);
  if (index >= p.lanes * d.m * d.n || part != 0) return;
  if (p.c) p.c[static_cast<std::ptrdiff_t>(i) * d.row_of_c() + j] = sum;
  if (!p.y) return;
  const float v = sum + p.row[j];
  p.y[at] = p.relu ? unary_reference(Unary::relu, v, 0) : v;
}

Range of_matrix(const float* p, int rows, int columns, int row) {
  return {p, p ? static_cast<std::size_t>(rows - 1) * static_cast<std::size_t>(row) +
                     static_cast<std::size_t>(columns)
               : 0};
}
std::array<Range, 3> reads_of(const Product& p) {
  const MatmulDims& d = p.d;
  return {of_matrix(p.a, d.transpose_a ? d.k : d.m, d.transpose_a ? d.m : d.k, d.row_of_a()),
          of_matrix(p.b, d.transpose_b ? d.n : d.k, d.transpose_b ? d.k : d.n, d.row_of_b()),
          of_matrix(p.row, 1, d.n, d.n)};
}
std::array<Range, 2> writes_of(const Product& p) {
  return {of_matrix(p.c, p.d.m, p.d.n, p.d.row_of_c()), of_matrix(p.y, p.d.m, p.d.n, p.d.n)};
}
bool meet(std::span<const Range> some, std::span<const Range> others) {
  return std::ranges::any_of(some, [&](const Range& x) {
    return std::ranges::any_of(others, [&](const Range& y) { return x.meets(y); });
  });
}
// Whether one may run beside the others of the list but the last `without` of them.
bool may_join(const Product& one, int without) {
  const ProductList& all = waiting_products;
  return std::none_of(all.product, all.product + all.count - without, [&](const Product& other) {
    return meet(writes_of(one), reads_of(other)) || meet(writes_of(one), writes_of(other)) ||
           meet(reads_of(one), writes_of(other));
  });
}

void add_product(const MatmulDims& d, const float* a, const float* b, float* c) {
  ProductList& all = waiting_products;
  Product one{.d = d, .a = a, .b = b, .c = c, .lanes = d.k < 32 ? 1 : 4};
  if (all.count == 0 || all.count == ProductList::most || !may_join(one, 0)) stream();  // launches what waits
  one.first_block = all.blocks;
  all.blocks += static_cast<int>(blocks(
      static_cast<std::size_t>(d.m) * static_cast<std::size_t>(d.n) * static_cast<std::size_t>(one.lanes),
      product_threads));
  all.product[all.count++] = one;
}

// Adds a row to the last product c, if that is one without gaps.
bool finish_product(const float* c, std::size_t rows, std::size_t columns, const float* row, bool relu,
                    float* y, bool spent) {
  ProductList& all = waiting_products;
  if (all.count == 0) return false;
  Product& last = all.product[all.count - 1];
  const MatmulDims& d = last.d;
  if (last.c != c || last.y || static_cast<std::size_t>(d.m) != rows ||
      static_cast<std::size_t>(d.n) != columns || d.row_of_c() != d.n) {
    return false;
  }
  Product with = last;
  with.row = row, with.relu = relu, with.y = y;
  // What one thread writes no other may read.
  const auto [result, sums] = writes_of(with);
  if (meet(std::array{sums}, reads_of(with)) || sums.meets(result) || result.meets(Range(row, columns)))
    return false;
  if (spent) with.c = nullptr;
  if (!may_join(with, 1)) return false;
  last = with;
  return true;
}

void matmul(const MatmulDims& d, const float* a, const float* b, Scratch, float* c) {
  if (d.m == 0 || d.n == 0) return;
  if (d.k == 0) {
    cuda::check(cudaMemset2DAsync(c, static_cast<std::size_t>(d.row_of_c()) * sizeof(float), 0,
                                  static_cast<std::size_t>(d.n) * sizeof(float),
                                  static_cast<std::size_t>(d.m), stream()),
                "matmul");
    return;
  }
  if (d.k <= 256 && static_cast<double>(d.m) * d.n * d.k <= 1 << 18) return add_product(d, a, b, c);
  cublasHandle_t h = handle();
  check(cublasSetStream(h, stream()), "cublasSetStream");
  check(cublasSetWorkspace(h, partials(), most_partial_bytes), "cublasSetWorkspace");
  const float one = 1, zero = 0;
  const auto op = [](bool transposed) { return transposed ? CUBLAS_OP_T : CUBLAS_OP_N; };
  check(cublasGemmEx(h, op(d.transpose_b), op(d.transpose_a), d.n, d.m, d.k, &one, b, CUDA_R_32F,
                     d.row_of_b(), a, CUDA_R_32F, d.row_of_a(), &zero, c, CUDA_R_32F, d.row_of_c(),
                     compute_type(), CUBLAS_GEMM_DEFAULT),
        "cublasGemmEx");
}

}  // namespace

void make_ready() { handle(); }

bool products_wait() { return waiting_products.count > 0; }
void forget_products() { waiting_products = {}; }
void launch_products(cudaStream_t to) {
  const ProductList list = std::exchange(waiting_products, {});
  if (list.count > 0)
    launch_on(to, "matmul", static_cast<unsigned>(list.blocks), product_threads, 0, products_kernel, list);
}

bool finish_product(const PointwiseDims& chain, std::size_t rows, float* const* operands) {
  if (!products_wait() || chain.spent < 0) return false;
  const auto e = epilogue_of(chain, operands);
  if (!e || e->array || !e->row) return false;
  return finish_product(operands[chain.spent], rows, chain.columns, e->row, e->relu, e->y, true);
}

bool finish_product(const Small& call) {
  const bool adds = call.kind == Small::Kind::binary && call.code == static_cast<unsigned char>(Binary::add);
  if (!products_wait() || !adds) return false;
  const auto is_whole = [&](int row, int column) { return row == call.columns && column == 1; };
  const auto is_row = [](int row, int column) { return row == 0 && column == 1; };
  if (!is_whole(call.y_row, call.y_column) || call.rows < 2) return false;
  const float *c = call.a, *row = call.b;
  if (is_whole(call.b_row, call.b_column) && is_row(call.a_row, call.a_column)) {
    std::swap(c, row);
  } else if (!is_whole(call.a_row, call.a_column) || !is_row(call.b_row, call.b_column)) {
    return false;
  }
  return finish_product(c, static_cast<std::size_t>(call.rows), static_cast<std::size_t>(call.columns), row,
                        false, call.y, false);
}

void add_matmul(Backend& row) { row.matmul = {matmul}; }

}  // namespace autodiff::kernels::cuda
