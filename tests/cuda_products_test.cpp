// Small products of matrices on a device: those that do not need each other go together, and a row that is
// added goes with them.
#include "autodiff/kernels/backend.h"
#include "autodiff/kernels/device.h"
#include "tests/catch.h"
#include "tests/device.h"

using namespace autodiff;
using namespace tests;

namespace {

/// Memory on the device, and calls of kernels on it.
class Desk {
 public:
  float* numbers(std::size_t n) {
    memory_.emplace_back(n * 4);
    const std::vector<float> values = random_floats(n, memory_.size());
    work_.to_device(memory_.back().data(), values.data(), n * 4);
    return reinterpret_cast<float*>(memory_.back().data());
  }
  /// Calls body() and returns the number of kernels.
  template <class Body>
  std::size_t run(const Body& body) {
    const kernels::DeviceStream::Recording recording = work_.record(body);
    work_.play(recording);
    work_.wait();
    return recording.size();
  }
  std::vector<float> back(const float* from, std::size_t n) {
    std::vector<float> out(n);
    work_.to_host(out.data(), from, n * 4);
    return out;
  }

 private:
  kernels::DeviceStream work_;
  std::vector<kernels::DeviceMemory> memory_;
};

std::vector<float> product(const kernels::MatmulDims& d, const std::vector<float>& a,
                           const std::vector<float>& b) {
  std::vector<float> c(static_cast<std::size_t>(d.m * d.n));
  kernels::matmul_reference(d, a.data(), b.data(), c.data());
  return c;
}

kernels::BinaryDims row_added(int rows, int columns, bool row_first) {
  kernels::BinaryDims d{
      .kind = kernels::Binary::add, .rank = 2, .size = {rows, columns}, .a_stride = {}, .b_stride = {}};
  (row_first ? d.b_stride : d.a_stride) = {columns, 1};
  (row_first ? d.a_stride : d.b_stride) = {0, 1};
  return d;
}

}  // namespace

TEST_CASE("small products that do not need each other are one kernel, others are not") {
  if (no_device("small products")) return;
  const kernels::Backend& row = *kernels::cuda_backend();
  Desk desk;
  const kernels::MatmulDims first{.m = 8, .n = 10, .k = 33, .transpose_a = true},
      second{.m = 33, .n = 8, .k = 10, .transpose_b = true};
  float *h = desk.numbers(33 * 8), *dz = desk.numbers(33 * 10), *w = desk.numbers(8 * 10),
        *dw = desk.numbers(8 * 10), *dh = desk.numbers(33 * 8);
  CHECK(desk.run([&] {
    row.matmul.run(first, h, dz, {}, dw);
    row.matmul.run(second, dz, w, {}, dh);
  }) == 1);
  const std::vector<float> dzs = desk.back(dz, 330);
  CHECK(distance(desk.back(dw, 80), product(first, desk.back(h, 264), dzs)) < 1e-6);
  CHECK(distance(desk.back(dh, 264), product(second, dzs, desk.back(w, 80))) < 1e-6);
  // Of what the one has written; over what the one reads; over what it writes; many.
  const kernels::MatmulDims square{.m = 8, .n = 8, .k = 8};
  float *a = desk.numbers(64), *b = desk.numbers(64), *c = desk.numbers(64);
  const auto pair = [&](const float* x, float* y) {
    return desk.run([&] {
      row.matmul.run(square, a, b, {}, c);
      row.matmul.run(square, x, b, {}, y);
    });
  };
  float* e = desk.numbers(64);
  CHECK(pair(c, e) == 2);
  CHECK(pair(e, a) == 2);
  CHECK(pair(e, c) == 2);
  CHECK(pair(a, e) == 1);
  std::vector<float*> many;
  for (int k = 0; k < 5; ++k) many.push_back(desk.numbers(64));
  CHECK(desk.run([&] {
    for (float* y : many) row.matmul.run(square, a, b, {}, y);
  }) == 2);
}

TEST_CASE("a row is added to a small product by the same kernel") {
  if (no_device("small products and rows")) return;
  const kernels::Backend& row = *kernels::cuda_backend();
  const kernels::MatmulDims d{.m = 32, .n = 10, .k = 40};
  for (const bool row_first : {false, true}) {
    Desk desk;
    float *a = desk.numbers(32 * 40), *b = desk.numbers(400), *bias = desk.numbers(10),
          *c = desk.numbers(320), *y = desk.numbers(320);
    CHECK(desk.run([&] {
      row.matmul.run(d, a, b, {}, c);
      row.binary.run(row_added(32, 10, row_first), row_first ? bias : c, row_first ? c : bias, y);
    }) == 1);
    const std::vector<float> products = desk.back(c, 320), sums = desk.back(y, 320),
                             added = desk.back(bias, 10);
    CHECK(distance(products, product(d, desk.back(a, 32 * 40), desk.back(b, 400))) < 1e-6);
    for (std::size_t i = 0; i < 320; ++i) CHECK(sums[i] == products[i] + added[i % 10]);
    // A second row is something else, and so is one of a result that a product reads.
    CHECK(desk.run([&] {
      row.matmul.run(d, a, b, {}, c);
      row.binary.run(row_added(32, 10, false), c, bias, y);
      row.binary.run(row_added(32, 10, false), c, bias, a);
    }) == 2);
    CHECK(desk.run([&] {
      row.matmul.run(d, a, b, {}, c);
      row.binary.run(row_added(32, 10, false), c, bias, a);
    }) == 2);
    CHECK(desk.run([&] {  // and so is a row of the result itself
      row.matmul.run(d, a, b, {}, c);
      row.binary.run(row_added(32, 10, false), c, c + 30, y);
    }) == 2);
  }
}

TEST_CASE("a row and a relu are added to a small product, which is not written") {
  if (no_device("small products and chains")) return;
  const kernels::Backend& row = *kernels::cuda_backend();
  const kernels::MatmulDims d{.m = 32, .n = 10, .k = 7};
  Desk desk;
  float *a = desk.numbers(32 * 7), *b = desk.numbers(70), *bias = desk.numbers(10), *c = desk.numbers(320),
        *y = desk.numbers(320);
  kernels::PointwiseDims chain{.columns = 10, .full = 2, .repeated = 1, .local = 1, .spent = 0};
  chain.steps.push_back({.is_binary = true, .binary = kernels::Binary::add, .a = 0, .b = 2, .y = 3});
  chain.steps.push_back({.unary = kernels::Unary::relu, .a = 3, .y = 1});
  float* const operands[] = {c, y, bias};
  const std::vector<float> unwritten = desk.back(c, 320);
  CHECK(desk.run([&] {
    row.matmul.run(d, a, b, {}, c);
    row.pointwise(chain, 32, operands);
  }) == 1);
  CHECK((desk.back(c, 320) == unwritten));
  const std::vector<float> products = product(d, desk.back(a, 32 * 7), desk.back(b, 70)),
                           added = desk.back(bias, 10), got = desk.back(y, 320);
  std::vector<float> want(320);
  for (std::size_t i = 0; i < 320; ++i) want[i] = std::max(0.0f, products[i] + added[i % 10]);
  CHECK(distance(got, want) < 1e-6);
  CHECK(distance(got, std::vector<float>(320)) > 0.1);
}
