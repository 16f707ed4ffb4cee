// Chains that have a kernel of their own, in which every value is in a register: those of residual nets and
// perceptrons. Others are interpreted, which takes one and a half times as long, and longer with sums. No
// CUDA in here.
#pragma once

#include <array>
#include <initializer_list>

#include "autodiff/kernels/cuda/chain_table.h"

namespace autodiff::kernels::cuda {

/// As PointwiseDims, of a length known to the compiler.
struct Pattern {
  template <class T, std::size_t most>
  struct List {
    std::array<T, most> items = {};
    std::size_t count = 0;
    constexpr List() = default;  // for nvcc, which makes one item of {} without it
    constexpr List(std::initializer_list<T> list) {
      for (const T& item : list) items[count++] = item;
    }
    constexpr std::size_t size() const { return count; }
    constexpr const T& operator[](std::size_t i) const { return items[i]; }
  };
  int full = 0, repeated = 0, single = 0;
  List<PointwiseStep, 8> steps;
  List<PointwiseSum, most_pointwise_sums> sums = {};
};

namespace patterns {

constexpr PointwiseStep binary(Binary kind, int a, int b, int y) {
  return {.is_binary = true, .binary = kind, .a = a, .b = b, .y = y};
}
constexpr PointwiseStep add(int a, int b, int y) { return binary(Binary::add, a, b, y); }
constexpr PointwiseStep sub(int a, int b, int y) { return binary(Binary::sub, a, b, y); }
constexpr PointwiseStep mul(int a, int b, int y) { return binary(Binary::mul, a, b, y); }
constexpr PointwiseStep relu_grad(int a, int b, int y) { return binary(Binary::relu_grad, a, b, y); }
constexpr PointwiseStep mul_add(int a, int b, int c, int y) {
  PointwiseStep step = mul(a, b, y);
  step.adds = true;
  step.c = c;
  return step;
}
// (a - d) b
constexpr PointwiseStep mul_sub(int a, int d, int b, int y) {
  PointwiseStep step = mul(a, b, y);
  step.subtracts = true;
  step.d = d;
  return step;
}
// (a - d) b + c
constexpr PointwiseStep mul_sub_add(int a, int d, int b, int c, int y) {
  PointwiseStep step = mul_sub(a, d, b, y);
  step.adds = true;
  step.c = c;
  return step;
}
constexpr PointwiseStep relu(int a, int y) { return {.unary = Unary::relu, .a = a, .y = y}; }

/// The gradient of a batch norm that a relu follows: g after relu, and the sums of g and of g (x - m).
/// Operands: the relu's result, its gradient, g, x, m; or the two whose sum is the gradient, the relu's
/// result, g, x, m.
constexpr Pattern norm_gradient{4, 1, 0, {relu_grad(0, 1, 2), mul_sub(3, 4, 2, 6)}, {{0}, {1}}};
constexpr Pattern norm_gradient_of_two{
    5, 1, 0, {add(0, 1, 6), relu_grad(2, 6, 3), mul_sub(4, 5, 3, 7)}, {{1}, {2}}};

/// A batch norm with its relu: of (x - m) f + b, of (x - m) f + b + z, of the same with z + c. Operands: x,
/// z, the result, m, f, b, c.
constexpr Pattern norm{2, 3, 0, {mul_sub_add(0, 2, 3, 4, 5), relu(5, 1)}};
constexpr Pattern norm_and_array{3, 3, 0, {mul_sub_add(0, 3, 4, 5, 6), add(6, 1, 7), relu(7, 2)}};
constexpr Pattern norm_and_shifted{
    3, 4, 0, {mul_sub_add(0, 3, 4, 5, 7), add(1, 6, 8), add(7, 8, 9), relu(9, 2)}};

/// Operands: arrays from 0 on, then rows, then what only steps have.
constexpr Pattern list[] = {
    // relu of x + b, of x + b + z, and the gradient
    {2, 1, 0, {add(0, 2, 3), relu(3, 1)}},
    {3, 1, 0, {add(0, 3, 4), add(4, 1, 5), relu(5, 2)}},
    {3, 1, 0, {add(0, 3, 4), add(1, 4, 5), relu(5, 2)}},
    {3, 0, 0, {relu_grad(0, 1, 2)}, {{0}}},
    {3, 2, 0, {add(0, 3, 5), add(1, 4, 6), add(5, 6, 7), relu(7, 2)}},
    norm,
    norm_and_array,
    norm_and_shifted,
    // before a shortcut, with its (x - m) f; and where x - m is kept, since the gradient follows at once
    {4, 5, 0, {mul_sub_add(0, 4, 5, 6, 9), relu(9, 1), mul_sub(2, 7, 8, 3)}},
    {4, 3, 0, {sub(0, 4, 1), mul_add(1, 5, 6, 8), add(8, 2, 7), relu(7, 3)}},
    {4, 4, 0, {sub(0, 4, 1), mul_add(1, 5, 6, 9), add(2, 7, 8), add(9, 8, 10), relu(10, 3)}},
    // its gradient, and that of the sum of two norms
    norm_gradient,
    norm_gradient_of_two,
    {6, 2, 0, {add(0, 1, 8), relu_grad(2, 8, 3), mul_sub(4, 6, 3, 9), mul_sub(5, 7, 3, 10)}, {{1}, {2}, {3}}},
    {4, 0, 0, {relu_grad(0, 1, 2), mul(2, 3, 4)}, {{0}, {1}}},
    {5, 1, 0, {relu_grad(0, 1, 2), mul_sub(3, 5, 2, 7), mul(2, 4, 6)}, {{0}, {1}, {2}}},
    // and the rest of it: (x - m) a + b + g f
    {3, 4, 0, {mul_sub_add(0, 3, 4, 5, 7), mul_add(1, 6, 7, 2)}},
    {5,
     8,
     0,
     {mul_sub_add(0, 5, 6, 7, 13), mul_add(1, 8, 13, 2), mul_sub_add(3, 9, 10, 11, 13),
      mul_add(1, 12, 13, 4)}},
};
inline constexpr int count = static_cast<int>(std::size(list));

template <int... k>
constexpr std::array<ChainTable, sizeof...(k)> tables_of(std::integer_sequence<int, k...>) {
  return {table_of(list[k])...};
}
inline constexpr std::array<ChainTable, count> tables = tables_of(std::make_integer_sequence<int, count>{});
static_assert(tables[0].sums == 0 && tables[3].sums == 1);

}  // namespace patterns

/// The pattern that a chain is of, or -1.
inline int pattern_of(const ChainTable& table) {
  for (int k = 0; k < patterns::count; ++k) {
    if (patterns::tables[static_cast<std::size_t>(k)] == table) return k;
  }
  return -1;
}

}  // namespace autodiff::kernels::cuda
