// Dropout: who is dropped is a pure function of key, layer and element, with the statistics that are
// promised.
#include <cmath>

#include "autodiff/graph/ops.h"
#include "autodiff/program/immediate.h"
#include "tests/catch.h"
#include "tests/guards.h"
#include "tests/op_cases.h"

using namespace autodiff;
using namespace tests;

namespace {

Labels keys_from(std::int32_t first, int n) {
  Labels keys({n});
  for (int i = 0; i < n; ++i) keys[static_cast<std::size_t>(i)] = first + i;
  return keys;
}

Tensor ones(const Shape& shape) { return Tensor(shape, std::vector<float>(shape.size(), 1.0f)); }

// dropout of `x` with these keys.
Tensor dropped(const Tensor& x, const Labels& keys, const DropoutOptions& options) {
  Graph g;
  const Value in = g.input(x.shape()), k = g.labels(static_cast<int>(keys.size()), "keys");
  return evaluate(dropout(in, k, options), {{in, x}}, {{k, keys}});
}

std::vector<char> mask(int n, int size, const DropoutOptions& options, std::int32_t first_key = 1000) {
  const Tensor y = dropped(ones({n, size}), keys_from(first_key, n), options);
  std::vector<char> kept;
  for (const float v : y) kept.push_back(v != 0);
  return kept;
}

// Whether `count` of `n` is what a probability p gives, within five standard errors.
bool plausible(double count, double n, double p) {
  return std::abs(count - n * p) <= 5 * std::sqrt(n * p * (1 - p));
}

double both(const std::vector<char>& a, const std::vector<char>& b) {
  double count = 0;
  for (std::size_t i = 0; i < std::min(a.size(), b.size()); ++i) count += a[i] && b[i];
  return count;
}

}  // namespace

TEST_CASE("dropout drops at its rate and preserves the mean") {
  constexpr int n = 300, size = 401;
  for (const double rate : {0.1, 0.5, 0.75}) {
    const Tensor y = dropped(ones({n, size}), keys_from(-150, n), {.rate = rate});
    double kept = 0, total = 0;
    std::vector<double> by_sample(n), by_element(size);
    for (std::size_t i = 0; i < y.size(); ++i) {
      CHECK((y[i] == 0 || y[i] == static_cast<float>(1 / (1 - rate))));
      kept += y[i] != 0;
      total += static_cast<double>(y[i]);
      by_sample[i / size] += y[i] != 0;
      by_element[i % size] += y[i] != 0;
    }
    CHECK(plausible(kept, n * size, 1 - rate));
    CHECK(total / (n * size) == Approx(1).margin(5 * std::sqrt(rate / (1 - rate) / (n * size))));
    for (const double k : by_sample) CHECK(plausible(k, size, 1 - rate));
    for (const double k : by_element) CHECK(plausible(k, n, 1 - rate));
  }
}

TEST_CASE("masks of layers, samples and neighbouring elements are independent") {
  constexpr int n = 200, size = 500;
  const double rate = 0.4, square = (1 - rate) * (1 - rate);
  const std::vector<char> first = mask(n, size, {.rate = rate});
  const auto later = [&](std::ptrdiff_t by) { return std::vector<char>(first.begin() + by, first.end()); };
  // Another layer; another step, whose keys are others; the next sample; and elements 1 to 4 further on, from
  // the same call of the generator and from the next.
  CHECK(plausible(both(first, mask(n, size, {.rate = rate, .layer = 1})), n * size, square));
  CHECK(plausible(both(first, mask(n, size, {.rate = rate}, 5000)), n * size, square));
  CHECK(plausible(both(first, later(size)), (n - 1) * size, square));
  for (const std::ptrdiff_t by : {1, 2, 3, 4}) {
    CHECK(plausible(both(first, later(by)), static_cast<double>(n * size - by), square));
  }
  // The same layer and keys again: the same mask, and more is kept at a lower rate, nothing less.
  CHECK(mask(n, size, {.rate = rate}) == first);
  const std::vector<char> more = mask(n, size, {.rate = rate / 2});
  CHECK(both(first, more) == both(first, first));
}

TEST_CASE("a sample's mask depends on its key, not on its place in the batch, chunks or threads") {
  constexpr int n = 37, size = 21;
  const Shape shape{n, size};
  const std::vector<float> values = random_values(Fill::off_zero, shape, Seed{3});
  const Tensor x(shape, values), whole = dropped(x, keys_from(7, n), {.layer = 2});
  const auto check_row = [&](const float* row, int sample) {
    CHECK(std::equal(row, row + size, whole.data() + sample * size));
  };
  for (int i = 0; i < n; ++i) {  // alone
    const Tensor row({1, size}, std::vector<float>(x.data() + i * size, x.data() + (i + 1) * size));
    check_row(dropped(row, keys_from(7 + i, 1), {.layer = 2}).data(), i);
  }
  Graph g;
  const Value in = g.input(shape), keys = g.labels(n, "keys");
  const Value y = dropout(ballast(in), keys, {.layer = 2});
  CHECK(y.batched());
  const Labels numbers = keys_from(7, n);
  for (const int threads : {1, 2, 3}) {
    const ThreadsGuard guard(threads);
    Program program = compile(g, {y}, {.threads = threads});
    CHECK(program.plan().stages[0].chunks == n);
    program.bind(in, std::span<const float>(values));
    program.bind(keys, {numbers.data(), numbers.size()});
    program.run();
    for (int i = 0; i < n; ++i) check_row(program.value(y).data + i * size, i);
  }
}

TEST_CASE("the derivative of dropout passes where the element was kept") {
  Graph g;
  const Value x = g.input({5, 3, 2}), keys = g.labels(5, "keys");
  const Value y = dropout(x, keys, {.rate = 0.3, .layer = 4});
  const Value dx = gradient(sum(y), x);
  const Tensor one = ones({5, 3, 2});
  const Labels numbers = keys_from(1, 5);
  const Tensor kept = evaluate(y, {{x, one}}, {{keys, numbers}});
  const Tensor slope = evaluate(dx, {{x, one}}, {{keys, numbers}});
  CHECK(std::equal(kept.begin(), kept.end(), slope.begin()));
  CHECK(std::count(kept.begin(), kept.end(), 0.0f) > 0);
  CHECK(dropout(x, keys, {.rate = 0}) == x);
}

TEST_CASE("masks are the same everywhere and for ever") {
  // Written down once; a change of these changes every run that uses dropout.
  const std::vector<char> kept = mask(2, 16, {}, 42);
  std::string text;
  for (const char k : kept) text += k ? '1' : '0';
  CHECK(text == "01101011010011011011011111100100");
}
