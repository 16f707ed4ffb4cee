// Lists of small functions as programs for one thread per element, in registers: for lists whose calls are
// all of vectors of one length, or of several such one after the other. Those of batch norms (what they do
// with means and variances, and their gradients) have code of their own. Others are interpreted, which takes
// 0.3 to 0.4 us for each call that has to wait for another: the instructions of a single warp come one after
// the other. No CUDA in here.
#pragma once

#include <algorithm>
#include <array>
#include <initializer_list>
#include <map>
#include <optional>

#include "autodiff/kernels/cuda/small_list.h"
#include "autodiff/kernels/elementwise.h"

namespace autodiff::kernels::cuda {

/// Makes a table of calls, unless they are of something else.
class ListProgram {
 public:
  ListTable table = {};
  ListValues values = {};

  static std::optional<ListProgram> of(const std::vector<Small>& calls) {
    ListProgram out;
    int unit = 0;
    for (const Small& s : calls) {
      const int n = s.rows * s.columns;
      unit = unit == 0 ? n : std::min(unit, n);
    }
    out.values.n = unit;
    for (const Small& s : calls) {
      if (!out.add(s, unit)) return std::nullopt;
    }
    return out;
  }

 private:
  bool add(const Small& s, int unit) {
    const int n = s.rows * s.columns;
    const auto is_vector = [&](const Part& p) {
      return !p.p || (p.is_one_row() && (n == 1 || p.column == 1));
    };
    const auto is_number = [&](const Part& p) {
      return (p.rows == 1 || p.row == 0) && (p.columns == 1 || p.column == 0) && n > 1;
    };
    const Part a = part_a(s), b = part_b(s), y = part_y(s);
    if (n % unit != 0 || !is_vector(y)) return false;
    for (int first = 0; first < n; first += unit) {
      if (table.steps == ListTable::most_steps) return false;
      ListTable::Step step;
      step.code = s.kind == Small::Kind::zero   ? ListTable::zero
                  : s.kind == Small::Kind::copy ? ListTable::copy
                  : s.kind == Small::Kind::binary
                      ? static_cast<unsigned char>(ListTable::first_binary + s.code)
                      : s.code;
      for (const Part* p : {&a, &b}) {
        if (!p->p) continue;
        const bool number = !is_vector(*p) && is_number(*p);
        if (!number && !is_vector(*p)) return false;
        const int value = read(number ? p->p : p->p + first, number, unit);
        if (value < 0) return false;
        (p == &a ? step.a : step.b) = static_cast<unsigned char>(value);
      }
      if (!write(s.y + first, unit)) return false;
      values.y[table.steps] = s.y + first;
      values.constant[table.steps] = s.constant;
      table.step[static_cast<std::size_t>(table.steps++)] = step;
    }
    return true;
  }
  // The value at an address, -1 where there is none to be had.
  int read(const float* p, bool number, int unit) {
    const Range range(p, number ? 1 : static_cast<std::size_t>(unit));
    for (const auto& [at, value] : vectors_) {
      const Range other(at, static_cast<std::size_t>(unit));
      if (!range.meets(other)) continue;
      return at == p && !number ? value : -1;
    }
    for (int k = 0; k < table.inputs; ++k) {
      if (values.input[k] == p && (values.step[k] == 0) == number) return k;
    }
    if (table.inputs == ListTable::most_inputs) return -1;
    values.input[table.inputs] = p;
    values.step[table.inputs] = number ? 0 : 1;
    return table.inputs++;
  }
  bool write(float* p, int unit) {
    const Range range(p, static_cast<std::size_t>(unit));
    for (const auto& [at, value] : vectors_) {
      if (at != p && range.meets(Range(at, static_cast<std::size_t>(unit)))) return false;
    }
    for (int k = 0; k < table.inputs; ++k) {  // a thread has read its own element before, and no other
      const bool own = values.input[k] == p && values.step[k] == 1;
      if (!own && range.meets(Range(values.input[k], values.step[k] ? static_cast<std::size_t>(unit) : 1)))
        return false;
    }
    const auto [there, is_new] = vectors_.try_emplace(p);
    if (!is_new) values.y[there->second - ListTable::most_inputs] = nullptr;
    there->second = ListTable::most_inputs + table.steps;
    return true;
  }
  std::map<const float*, int> vectors_;  // that were written, by address: the value that is there now
};

namespace list_patterns {

constexpr unsigned char x(int input) { return static_cast<unsigned char>(input); }
constexpr unsigned char v(int step) { return static_cast<unsigned char>(ListTable::most_inputs + step); }
using Step = ListTable::Step;
constexpr Step unary(Unary kind, unsigned char a) { return {static_cast<unsigned char>(kind), a, 0}; }
constexpr Step binary(Binary kind, unsigned char a, unsigned char b) {
  return {static_cast<unsigned char>(ListTable::first_binary + static_cast<int>(kind)), a, b};
}
constexpr Step same(unsigned char a) { return {ListTable::copy, a, 0}; }
constexpr Step none() { return {ListTable::zero, 0, 0}; }
constexpr Step scale(unsigned char a) { return unary(Unary::scale, a); }
constexpr Step shift(unsigned char a) { return unary(Unary::shift, a); }
constexpr Step sqrt(unsigned char a) { return unary(Unary::sqrt, a); }
constexpr Step add(unsigned char a, unsigned char b) { return binary(Binary::add, a, b); }
constexpr Step sub(unsigned char a, unsigned char b) { return binary(Binary::sub, a, b); }
constexpr Step mul(unsigned char a, unsigned char b) { return binary(Binary::mul, a, b); }
constexpr Step div(unsigned char a, unsigned char b) { return binary(Binary::div, a, b); }

constexpr ListTable table(int inputs, std::initializer_list<Step> steps) {
  ListTable out;
  out.inputs = inputs;
  for (const Step& step : steps) out.step[static_cast<std::size_t>(out.steps++)] = step;
  return out;
}

// The gradient of a batch norm.
constexpr ListTable norm_gradient() {
  return table(7, {scale(x(0)),
                   mul(v(0), x(1)),
                   mul(v(0), x(2)),
                   add(v(2), x(3)),
                   div(v(3), x(4)),
                   mul(v(3), x(1)),
                   div(v(5), x(4)),
                   scale(v(6)),
                   scale(v(7)),
                   div(v(8), x(4)),
                   none(),
                   none(),
                   same(v(9)),
                   none(),
                   none(),
                   same(v(1)),
                   add(v(10), v(15)),
                   add(v(12), v(14)),
                   same(v(17)),
                   div(v(18), x(5)),
                   same(v(16)),
                   div(v(20), x(6))});
}
// Of two whose sum goes into a relu: the sum of its gradient, and what step 0 makes of that, is the same for
// both.
constexpr ListTable two_norm_gradients() {
  const ListTable one = norm_gradient();
  ListTable out = one;
  const auto of_second = [&](unsigned char value) {
    const int more = value < ListTable::most_inputs ? one.inputs - 1 : one.steps - 1;
    return value == x(0) || value == v(0) ? value : static_cast<unsigned char>(value + more);
  };
  out.inputs += one.inputs - 1;
  for (int s = 1; s < one.steps; ++s) {
    ListTable::Step step = one.step[static_cast<std::size_t>(s)];
    if (step.code != ListTable::zero) step.a = of_second(step.a);
    if (step.code >= ListTable::first_binary) step.b = of_second(step.b);
    out.step[static_cast<std::size_t>(out.steps++)] = step;
  }
  return out;
}

inline constexpr ListTable list[] = {
    // a batch norm while it is trained: running statistics, factor and shift
    table(6, {same(x(0)), same(x(1)), scale(x(2)), scale(v(0)), add(v(2), v(3)), scale(x(3)), scale(v(1)),
              add(v(5), v(6)), shift(v(1)), sqrt(v(8)), div(x(4), v(9)), sub(v(0), v(0)), mul(v(11), v(10)),
              sub(x(5), v(12))}),
    // its gradient, and that of two
    norm_gradient(),
    two_norm_gradients(),
    // a batch norm that is not trained, and two
    table(5, {mul(x(0), x(1)), sub(x(2), v(0)), shift(x(3)), sqrt(v(2)), div(x(4), v(3))}),
    table(7, {mul(x(0), x(1)), sub(x(2), v(0)), shift(x(3)), shift(x(4)), sqrt(v(2)), sqrt(v(3)),
              div(x(5), v(4)), div(x(6), v(5))}),
};
inline constexpr int count = static_cast<int>(std::size(list));

/// Whether a repeat writes where another reads: the threads of one do not wait for those of the other.
inline bool repeats_meet(const ListValues& values, int repeats, const ListTable& one) {
  const auto n = static_cast<std::size_t>(values.n);
  for (int y = 0; y < repeats * one.steps; ++y) {
    if (!values.y[y]) continue;
    const Range writes(values.y[y], n);
    for (int x = 0; x < repeats * one.inputs; ++x) {
      if (x / one.inputs != y / one.steps && writes.meets(Range(values.input[x], values.step[x] ? n : 1)))
        return true;
    }
  }
  return false;
}

}  // namespace list_patterns

/// Puts the pattern that the table is of into `values`, if there is one.
inline void find_list_pattern(const ListTable& table, ListValues& values) {
  for (int pattern = 0; pattern < list_patterns::count; ++pattern) {
    const ListTable& one = list_patterns::list[pattern];
    if (table.steps % one.steps != 0 || table.inputs != table.steps / one.steps * one.inputs) continue;
    ListTable all;
    all.inputs = table.inputs;
    for (; all.steps < table.steps; ++all.steps) {
      const int repeat = all.steps / one.steps;
      const auto of_repeat = [&](unsigned char value) {
        const int more = value < ListTable::most_inputs ? one.inputs : one.steps;
        return static_cast<unsigned char>(value + repeat * more);
      };
      const ListTable::Step& step = one.step[static_cast<std::size_t>(all.steps % one.steps)];
      ListTable::Step& to = all.step[static_cast<std::size_t>(all.steps)];
      to = {step.code, of_repeat(step.a), of_repeat(step.b)};
      if (step.code == ListTable::zero) to.a = to.b = 0;
      if (step.code < ListTable::first_binary) to.b = 0;
    }
    if (!(all == table) || list_patterns::repeats_meet(values, table.steps / one.steps, one)) continue;
    values.pattern = pattern;
    values.repeats = table.steps / one.steps;
    return;
  }
}

}  // namespace autodiff::kernels::cuda
