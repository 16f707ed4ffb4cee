// Lists of small functions as programs for one thread per element: for lists whose calls are all of vectors
// of one length, or of several such one after the other, as those of batch norms are (what they do with means
// and variances, and their gradients). Threads then need not wait for each other. A loop over the steps, of
// few instructions: code that is run once, by one block, takes as long as its instructions take to come, and
// code compiled for known lists took 8 to 10 us for the 22 steps of a norm's gradient, as a kernel of its own
// on an H200. No CUDA in here.
#pragma once

#include <algorithm>
#include <map>
#include <optional>

#include "autodiff/kernels/cuda/small_list.h"
#include "autodiff/kernels/elementwise.h"

namespace autodiff::kernels::cuda {

/// What is computed of what: values are inputs, and then the results of steps. As a kernel takes it; no bytes
/// are unnamed.
struct ListProgram {
  static constexpr int most_inputs = 24, most_steps = 48;
  static constexpr unsigned char zero = 14, copy = 15, first_binary = 16;  ///< codes beside those of Unary
  struct alignas(16) Input {
    const float* from = nullptr;
    int step = 0;  ///< from element to element: 1, or 0 for one number
    int nothing = 0;
  };
  struct alignas(16) Step {
    float* y = nullptr;  ///< null where another step writes there later
    float constant = 0;
    unsigned char code = 0, a = 0, b = 0, nothing = 0;  ///< a and b: values
  };
  int inputs = 0, steps = 0, n = 0;
  int log_at_once = 5;  ///< so many elements' values have room together
  Input input[most_inputs] = {};
  Step step[most_steps] = {};

  EV3_SHARED int at_once() const { return 1 << log_at_once; }
  /// The program of these calls, unless they are of something else.
  static std::optional<ListProgram> of(const std::vector<Small>& calls);
};
static_assert(sizeof(ListProgram) <= sizeof(SmallList::call));

/// All steps for element e. `room`: of this element, with the values of the inputs; values are at_once()
/// floats apart.
EV3_SHARED inline void run_steps(const ListProgram& p, float* room, int e) {
  const int stride = p.at_once(), inputs = p.inputs, steps = p.steps;
  ListProgram::Step next = p.step[0];
  float* to = room + inputs * stride;
#ifdef __CUDA_ARCH__
#pragma unroll 1
#endif
  for (int s = 0; s < steps; ++s, to += stride) {
    const ListProgram::Step now = next;
    if (s + 1 < steps) next = p.step[s + 1];
    float a = 0, b = 0, y = 0;
    if (now.code != ListProgram::zero) a = room[now.a * stride], b = room[now.b * stride];
    if (now.code >= ListProgram::first_binary) {
      y = binary_reference(static_cast<Binary>(now.code - ListProgram::first_binary), a, b);
    } else if (now.code == ListProgram::copy) {
      y = a;
    } else if (now.code != ListProgram::zero) {
      y = unary_reference(static_cast<Unary>(now.code), a, static_cast<double>(now.constant));
    }
    *to = y;
    if (now.y) now.y[e] = y;
  }
}

namespace detail {

/// Makes a program of calls.
class ListProgramMaker {
 public:
  ListProgram program = {};

  bool add_all(const std::vector<Small>& calls) {
    int unit = 0;
    for (const Small& s : calls) {
      const int n = s.rows * s.columns;
      unit = unit == 0 ? n : std::min(unit, n);
    }
    program.n = unit;
    if (!std::ranges::all_of(calls, [&](const Small& s) { return add(s, unit); })) return false;
    // Values were numbered with room for all inputs.
    for (int k = 0; k < program.steps; ++k) {
      for (unsigned char* value : {&program.step[k].a, &program.step[k].b}) {
        if (*value >= first_result)
          *value = static_cast<unsigned char>(*value - first_result + program.inputs);
      }
    }
    while (program.log_at_once < 8 && program.at_once() < unit &&
           2 * program.at_once() * (program.inputs + program.steps) <= SmallList::room) {
      ++program.log_at_once;
    }
    return true;
  }

 private:
  static constexpr int first_result = ListProgram::most_inputs;

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
      if (program.steps == ListProgram::most_steps) return false;
      ListProgram::Step step;
      step.code = s.kind == Small::Kind::zero   ? ListProgram::zero
                  : s.kind == Small::Kind::copy ? ListProgram::copy
                  : s.kind == Small::Kind::binary
                      ? static_cast<unsigned char>(ListProgram::first_binary + s.code)
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
      step.y = s.y + first;
      step.constant = s.constant;
      program.step[program.steps++] = step;
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
    for (int k = 0; k < program.inputs; ++k) {
      if (program.input[k].from == p && (program.input[k].step == 0) == number) return k;
    }
    if (program.inputs == ListProgram::most_inputs) return -1;
    program.input[program.inputs] = {.from = p, .step = number ? 0 : 1};
    return program.inputs++;
  }
  bool write(float* p, int unit) {
    const Range range(p, static_cast<std::size_t>(unit));
    for (const auto& [at, value] : vectors_) {
      if (at != p && range.meets(Range(at, static_cast<std::size_t>(unit)))) return false;
    }
    for (int k = 0; k < program.inputs; ++k) {  // a thread has read its own element before, and no other
      const ListProgram::Input& in = program.input[k];
      const bool own = in.from == p && in.step == 1;
      if (!own && range.meets(Range(in.from, in.step ? static_cast<std::size_t>(unit) : 1))) return false;
    }
    const auto [there, is_new] = vectors_.try_emplace(p);
    if (!is_new) program.step[there->second - first_result].y = nullptr;
    there->second = first_result + program.steps;
    return true;
  }
  std::map<const float*, int> vectors_;  // that were written, by address: the value that is there now
};

}  // namespace detail

inline std::optional<ListProgram> ListProgram::of(const std::vector<Small>& calls) {
  detail::ListProgramMaker maker;
  if (!maker.add_all(calls)) return std::nullopt;
  return maker.program;
}

}  // namespace autodiff::kernels::cuda
