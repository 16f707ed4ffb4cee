// A program: a graph compiled once, then run many times without allocation or locks.
#pragma once

#include <chrono>
#include <iosfwd>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "autodiff/graph/graph.h"
#include "autodiff/kernels/backend.h"
#include "autodiff/kernels/device.h"
#include "autodiff/kernels/parallel.h"
#include "autodiff/program/plan.h"

namespace autodiff {

using kernels::Device;

struct CompileOptions {
  /// Which backends are asked for a kernel, in this order.
  kernels::Backends backends = kernels::default_backends();
  /// Most threads that run one program at a time; each has scratch memory of its own. Results do not depend
  /// on it.
  int threads = kernels::threads();
  /// Where it saves this many bytes, cheap intermediates (element-wise functions of others) that later stages
  /// read are computed again there instead of being kept. Values are the same; sums may be cut into other
  /// chunks.
  std::size_t recompute_above = 4 << 20;
  /// True for callers who bind parameters anew whenever their elements have changed: what depends on
  /// parameters alone (filters that batch norm was folded into, say) is computed by the first run after that,
  /// and kept; on a device by every run(), or when enqueue_fixed() is called.
  bool parameters_stay = false;
  /// Where the program runs. On a device the first three options do not matter: each kernel meets all
  /// samples, and what an array gives with a row (a difference from means, say) is computed again, nothing
  /// else.
  Device device = kernels::default_device();
  /// On a device, kernels of at least so many operations whose output nobody but the caller reads (gradients
  /// of filters, say) run beside those after them, which leave a part of the device idle; and unless this is
  /// infinite also those that bring large parameters into another form for much later.
  double beside_above = 1e5;
};

namespace detail {
class OnDevice;
}

/// Time per step, summed over runs, of a program that was run with run_profiled().
struct Profile {
  std::vector<double> seconds;  ///< by step, in the order of the table
  int runs = 0;
};

/// A copy shares the plan and has a workspace and bindings of its own (none at first), so that copies can run
/// at the same time.
class Program {
 public:
  explicit Program(std::shared_ptr<const Plan> plan);
  Program(const Program& other) : Program(other.plan_) {}
  Program(Program&&) noexcept;
  Program& operator=(const Program& other) { return *this = Program(other); }
  Program& operator=(Program&&) noexcept;
  ~Program();

  /// Bytes of memory for all intermediates and outputs, known before anything runs: exactly what is
  /// allocated.
  std::size_t workspace_bytes() const { return plan_->workspace_bytes(); }
  /// Floating point operations of one run.
  double flops() const;

  /// Says where the elements of an input or a parameter are. They are not copied and must stay there while
  /// the program runs. Throws Error when the value is no source of the graph or the number of elements
  /// differs. A source that the outputs do not depend on may be bound, to no effect.
  void bind(Value source, std::span<const float> elements);
  void bind(Value source, std::span<const std::int32_t> elements);
  /// Has an output written to memory of the caller instead of the workspace. Throws Error for labels, and
  /// when the number of elements differs.
  void write_to(Value output, std::span<float> destination);

  /// Computes all outputs. Throws Error when a source has not been bound.
  void run();
  /// The same, taking the time of each step (on one thread, chunk by chunk).
  void run_profiled(Profile& profile);

  /// Has run(update) not store this output but update `parameter` by it, which is element `first` of the
  /// arrays of the update. False, and to no effect, where that cannot be: a step reads the output, or reads
  /// the parameter later; it is formed chunk by chunk, or on a device; or the kernel cannot. (On CPUs with
  /// AVX-512, and on 64-bit ARM, the row simd forms [m, n] from [k, m]^T and [k, n] so, with m >= 32, n at
  /// least 9 vectors, 64 <= k <= 512, k n <= 128 K, where each thread has as many rows.) Throws Error as
  /// value(), and unless `parameter` is a source of as many floats.
  bool update_by(Value output, Value parameter, std::size_t first);
  /// Of how many outputs run(update) does so.
  std::size_t updates() const;
  /// run() with these updates; outputs that are not stored keep what they had. Throws Error for an optimizer
  /// that divides as well.
  void run(const kernels::ParameterUpdate& update);

  /// An output of the last run.
  View<const float> value(Value output) const;
  View<const std::int32_t> labels(Value output) const;
  /// The only element of an output.
  float scalar(Value output) const;

  const Plan& plan() const { return *plan_; }

  /// Of programs for a device, for those who keep everything there: what run() would copy at every call. All
  /// addresses are on the device, and must stay the same while a recording of enqueue() is played.
  void bind_on_device(Value source, const void* elements);
  void write_on_device(Value output, float* destination);
  /// An output's address.
  const std::byte* on_device(Value output) const;
  /// Calls all kernels but those of enqueue_fixed(); inside DeviceStream::enqueue() or record(), and nothing
  /// is copied to the host. Throws Error as run().
  void enqueue();
  /// Where parameters stay, what depends on them alone is not part of enqueue() but of this, which is called
  /// before the first one and after every change of parameters.
  void enqueue_fixed();

 private:
  template <class Clock>
  void run_steps(const Stage& stage, int chunk, int slot, Clock clock);
  void run_group(const Group& group, int slot, std::size_t first, std::size_t begin, std::size_t count) const;
  void run_parts(const Stage& stage, std::size_t s, const std::vector<Launch>& parts,
                 const void* const* inputs, void* output) const;
  bool run_updating(const Stage& stage, std::size_t s, const void* const* inputs) const;
  void combine(const Stage& stage) const;
  void enqueue(std::size_t first, std::size_t last);  // stages
  void run_beside(const Stage& stage, std::size_t& s);
  void wait_for_beside(int number);
  void check_bound();
  std::byte* address(const Operand& operand, int slot, std::size_t index) const;
  void bind(Value source, const void* elements, std::size_t count, DType dtype);
  std::size_t source_index(Value source) const;
  const Plan::Output& output(Value value) const;
  const std::byte* on_host(const Plan::Output& output) const;

  std::shared_ptr<const Plan> plan_;
  AlignedBuffer<std::byte> workspace_;
  std::vector<std::byte*> bases_;             ///< arena, (scratch), externals
  std::unique_ptr<detail::OnDevice> device_;  ///< of programs for a device, whose bases are there
  /// By output: which element of the arrays its first one updates. Empty before any does.
  std::vector<std::optional<std::size_t>> updates_;
  const kernels::ParameterUpdate* update_ = nullptr;  ///< while run(update) runs
  std::vector<int> besides_;  ///< while enqueue() does: numbers of what has gone beside, by Step::beside
  bool bound_ = false;
  bool fixed_is_old_ = true;  ///< parameters were bound since the last run
};

/// Compiles the nodes that `outputs` depend on: orders them, cuts them into stages, chooses kernels and gives
/// every intermediate its place. Later additions to the graph do not matter to the program. Throws Error for
/// an empty list.
Program compile(const Graph& graph, std::span<const Value> outputs, const CompileOptions& options = {});
Program compile(const Graph& graph, std::initializer_list<Value> outputs, const CompileOptions& options = {});

/// A table: step, stage, op, shape, bytes, FLOPs, kernel, place; then sums. With a profile also the time of
/// each step.
std::ostream& operator<<(std::ostream& out, const Program& program);
std::string table(const Program& program, const Profile* profile = nullptr);

}  // namespace autodiff
