// What an op is: its definition, its derivative, how it treats the batch, and the kernel chosen for given
// sizes.
#pragma once

#include <cassert>
#include <complex>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "autodiff/graph/graph.h"
#include "autodiff/kernels/backend.h"

namespace autodiff {

/// Most inputs of an op: programs hold their addresses in an array of this size.
inline constexpr std::size_t max_inputs = 64;

/// What is worth a thread of its own: some 13 us of arithmetic.
inline constexpr double operations_per_part = 1.3e6;

/// How an op treats samples. `map`: sample n of the output needs only sample n of the batched inputs.
/// `reduce`: a sum over samples, so that partial results of chunks can be added. `whole`: it needs all
/// samples at once (or none).
enum class BatchRole { map, reduce, whole };

/// What a derivative is made from: node y = op(x), and dy = d loss / d y.
struct DerivativeArgs {
  Value y, dy;
  std::span<const Value> x;
  /// Whether d loss / d x[i] is asked for.
  std::span<const char> wanted;
};

/// Sizes for which a kernel is wanted: those of a node, or of a chunk of its samples.
struct LaunchArgs {
  std::span<const Shape> inputs;
  Shape output;
  const kernels::Backends& backends;
  /// Which of so many parts of the output the kernel is to write; see Op::parts.
  int part = 0, parts = 1;
};

/// A kernel chosen, its sizes fixed: run(inputs, output) on raw memory. Where scratch_bytes is not 0, the
/// address of so much scratch memory follows those of the inputs.
struct Launch {
  std::string_view backend;
  std::function<void(const void* const* inputs, void* output)> run;
  std::size_t scratch_bytes = 0;
  /// Of a part: the elements of the output that it writes, where they follow each other.
  std::size_t first = 0, count = 0;
};

/// Memory for the definition of an op over scalars T (labels are int32 always).
template <class T>
struct Operands {
  std::span<const void* const> inputs;
  void* output;
  std::span<const Shape> shapes;
  Shape output_shape;

  const T* in(std::size_t i) const { return static_cast<const T*>(inputs[i]); }
  const std::int32_t* labels(std::size_t i) const { return static_cast<const std::int32_t*>(inputs[i]); }
  T* out() const { return static_cast<T*>(output); }
  std::int32_t* out_labels() const { return static_cast<std::int32_t*>(output); }
};

/// How the partial results of chunks become the whole: weights[k] is the share of the samples that partial k
/// was formed from.
using Combine =
    std::function<void(std::span<const double> weights, const float* const* partials, float* output)>;

/// An op in two: `pack` brings an input that has no samples into the form that a kernel reads, an array of
/// `shape`, and `rest` does what the op does with that in its place.
struct Packing {
  std::shared_ptr<const Op> pack, rest;
  std::size_t input = 0;
  Shape shape = {};
  bool once = false;  ///< not worth its time in every run, only where the input stays as it is
};

class Op {
 public:
  virtual ~Op() = default;
  virtual std::string name() const = 0;
  virtual BatchRole role(std::span<const Value> inputs) const = 0;
  /// One value per input, invalid where none was wanted or the derivative is zero. The default: zero
  /// everywhere.
  virtual std::vector<Value> derivative(const DerivativeArgs& args) const {
    return std::vector<Value>(args.x.size());
  }
  virtual Launch launch(const LaunchArgs& args) const = 0;
  /// The same with a `const kernels::ParameterUpdate*` as the output: the result is not stored, but a
  /// gradient by which parameters of its shape are updated. Without `run` where the kernel cannot.
  virtual Launch launch_update(const LaunchArgs& args) const {
    (void)args;
    return {};
  }
  /// Into how many parts, at the most, the output can be cut for kernels that run at the same time, with the
  /// bits of the whole.
  virtual int parts(const LaunchArgs& args) const {
    (void)args;
    return 1;
  }
  /// How the op is cut in two for these sizes, where the kernel that would be chosen has it so. Programs do,
  /// and pack once for all chunks.
  virtual std::optional<Packing> packing(const LaunchArgs& args) const {
    (void)args;
    return {};
  }
  /// True for a map or reduction that had better meet all samples at once: chunk after chunk it would read,
  /// or write, so much memory anew that has no samples.
  virtual bool prefers_whole(std::span<const Value> inputs, const Shape& output) const {
    (void)inputs, (void)output;
    return false;
  }
  /// The definition.
  virtual void reference(const Operands<double>& o) const = 0;
  virtual void reference(const Operands<std::complex<double>>& o) const = 0;
  /// Operations on floating point numbers for the given sizes; exp and the like count as one.
  virtual double flops(std::span<const Shape> inputs, const Shape& output) const {
    (void)inputs;
    return static_cast<double>(output.size());
  }
  /// Of reductions. Empty: partial results are added.
  virtual Combine combine(const Shape& output) const {
    (void)output;
    return {};
  }
  /// True for a map that costs little more than reading its inputs: programs compute its result again rather
  /// than keep it in memory.
  virtual bool cheap() const { return false; }
  /// Fills in what is computed of each element, and returns true, where the op is one element-wise function
  /// of its inputs (which may be repeated): programs run such ops together.
  virtual bool pointwise(kernels::PointwiseStep& step) const {
    (void)step;
    return false;
  }
  /// True only where the other op computes the same of the same inputs.
  virtual bool equals(const Op& other) const {
    (void)other;
    return false;
  }
  /// True where the op adds all rows of an input [..., columns] of this shape and divides by `divisor`:
  /// programs let the functions before it do that where they can.
  virtual bool adds_rows(const Shape& in, double& divisor) const {
    (void)in;
    (void)divisor;
    return false;
  }
  /// True where the output has the elements of input 0, in the same order: nothing is computed, memory is
  /// shared.
  virtual bool alias() const { return false; }
};

/// Implements both `reference` functions by a template `void define(const Operands<T>&) const` of Derived.
template <class Derived>
class OpBase : public Op {
 public:
  void reference(const Operands<double>& o) const final { self().define(o); }
  void reference(const Operands<std::complex<double>>& o) const final { self().define(o); }

 private:
  const Derived& self() const { return static_cast<const Derived&>(*this); }
};

namespace detail {

template <class Dims, class... Args, std::size_t... I>
Launch bind(std::string_view backend, const kernels::Entry<Dims, Args...>& entry, const Dims& dims,
            std::index_sequence<I...>) {
  const std::size_t scratch_bytes = entry.scratch_bytes ? entry.scratch_bytes(dims) : 0;
  const auto run = [kernel = entry.run, dims, scratch_bytes](const void* const* inputs, void* output) {
    const auto argument = [&]<class T, std::size_t i>() -> T {
      if constexpr (i + 1 == sizeof...(Args)) {
        return static_cast<T>(output);
      } else if constexpr (std::is_same_v<T, kernels::Scratch>) {
        return {scratch_bytes ? static_cast<float*>(const_cast<void*>(inputs[i])) : nullptr};
      } else {
        return static_cast<T>(inputs[i]);
      }
    };
    kernel(dims, argument.template operator()<Args, I>()...);
  };
  return {backend, run, scratch_bytes};
}

}  // namespace detail

/// The launch of a backend's `entry`.
template <class Dims, class... Args>
Launch launch_of(const kernels::Backend& backend, kernels::Entry<Dims, Args...> kernels::Backend::*entry,
                 const Dims& dims) {
  return detail::bind(backend.name, backend.*entry, dims, std::index_sequence_for<Args...>{});
}

/// The launch of the first backend that has `entry` for `dims`.
template <class Dims, class... Args>
Launch choose_launch(const kernels::Backends& order, kernels::Entry<Dims, Args...> kernels::Backend::*entry,
                     const Dims& dims) {
  return launch_of(kernels::choose(order, entry, dims), entry, dims);
}

/// The role of ops in which all inputs meet sample by sample: map when every batched input lines up with the
/// output's axis 0 and nothing else has a size there; see elementwise.cpp.
BatchRole samplewise_role(std::span<const Value> inputs);

/// Throws Error, which begins with the name `who`, unless x is a float32 value.
void want_floats(const char* who, Value x);

}  // namespace autodiff
