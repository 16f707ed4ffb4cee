// What compiling a graph results in: a list of stages, each a list of steps, and a place for every
// intermediate.
#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <vector>

#include "autodiff/graph/op.h"
#include "autodiff/kernels/device.h"

namespace autodiff {

/// Where a value is: an address in one of several memories. For a value with samples, sample n is `stride`
/// bytes times n further on; the partial results of a reduction are `stride` bytes apart from chunk to chunk.
struct Operand {
  static constexpr int nowhere = -1;  ///< values inside a group of steps: only its kernel has them
  static constexpr int arena = 0;     ///< values that outlive their stage
  static constexpr int scratch = 1;  ///< values inside a stage: one copy per thread, for one chunk of samples
  static constexpr int external = 2;  ///< from here on: the sources, then the outputs
  int base = arena;
  std::size_t offset = 0;
  std::size_t stride = 0;
  bool per_chunk = false;
};

/// Steps that run together, a few rows at a time: element-wise functions of arrays of the same shape.
struct Group {
  std::size_t steps = 0;  ///< so many, from the one that has the group on
  void (*run)(const kernels::PointwiseDims& dims, std::size_t rows, float* const* operands) = nullptr;
  kernels::PointwiseDims dims = {};
  std::size_t rows = 0, tail_rows = 0;  ///< of a chunk, and of the last one
  std::vector<Operand> operands = {};
};

/// One kernel call. The second launch is for a last chunk that is shorter than the others.
struct Step {
  int node = 0;
  int packs = -1;  ///< of a step that only packs this input for `node`
  std::vector<Operand> inputs = {};
  Operand output = {};
  Operand scratch = {};  ///< where the launches want scratch memory
  Launch launch = {}, tail_launch = {};
  /// Of stages without chunks, or with one: kernels that together do what `launch` does, at the same time;
  /// with scratch memory so many bytes apart.
  std::vector<Launch> parts = {};
  std::size_t part_scratch = 0;
  /// Scratch memory that they want.
  std::size_t scratch_bytes() const {
    const std::size_t whole = std::max(launch.scratch_bytes, tail_launch.scratch_bytes);
    return std::max(whole, parts.size() * part_scratch);
  }
  /// On a device: the number of a step that goes beside those after it, and of the last such step that must
  /// be done before this one. The scratch memory of the former is in the arena.
  int beside = -1, awaits = -1;
  int updating = -1;  ///< index among Plan::updatings, of a step that can update parameters
  Group group = {};   ///< of the first step of a group
  /// The group that begins with the next step needs, of each part, only what that part writes; on a device,
  /// is the only one that needs what this step writes.
  bool leads_group = false;
  /// Runs together with the next step: in a group, before one, or, on a device, as a chain that a convolution
  /// of its result may do itself. What the one reads may not lie where the other writes.
  bool with_next = false;
  /// For printing. An output that is copied to its place is a step of its own, "copy".
  struct Row {
    std::string op = {}, inputs = {};
    Shape shape = {};
    DType dtype = DType::F32;
    double flops = 0;
  };
  Row row = {};
};

/// Partial results of reductions take memory: so many chunks has a stage with one at the most.
inline constexpr int most_partials = 64;

/// output[i] = sum over chunks of partial[chunk][i], in the order of the chunks, formed in double; or what
/// the op says (Op::combine).
struct Combination {
  int node = 0;
  Operand partials = {}, output = {};
  std::size_t size = 0;
  Combine combine = {};
  std::vector<double> weights = {};  ///< the share of the samples of each chunk
};

/// The kernels of a step whose output is not stored but updates parameters: one, or several that run at the
/// same time.
struct Updating {
  std::size_t output = 0;  ///< among Plan::outputs
  std::vector<Launch> launches = {};
};

/// A chunked stage is one parallel loop over `chunks` chunks of `chunk` samples: within a chunk all steps run
/// one after the other while the data are in the cache. An unchunked stage runs its steps once, on
/// everything.
struct Stage {
  bool chunked = false;
  int samples = 0, chunk = 0, chunks = 1;
  int tail() const { return samples - (chunks - 1) * chunk; }  ///< samples of the last chunk
  std::vector<Step> steps = {};
  std::vector<Combination> combinations = {};
};

/// A source of the graph.
struct External {
  int node = 0;
  std::string name = {};
  std::size_t size = 0;  ///< elements
  DType dtype = DType::F32;
  bool parameter = false;
  const void* constant = nullptr;  ///< memory of the plan, for constants
};

/// Everything about a program that does not change when it runs; shared by its copies.
struct Plan {
  kernels::Device device = kernels::Device::cpu;
  std::vector<Stage> stages = {};
  std::size_t fixed_stages = 0;  ///< so many, from the first on, depend on parameters alone, and stay
  std::vector<External> externals = {};
  /// A requested output. Its memory has a base of its own, so that it can be redirected to memory of the
  /// caller.
  struct Output {
    Value value = {};
    Shape shape = {};
    DType dtype = DType::F32;
    Operand place = {};
    std::size_t arena_offset = 0;  ///< where it is unless redirected
  };
  std::vector<Output> outputs = {};
  std::vector<Updating> updatings = {};
  int besides = 0;  ///< steps that go beside others
  std::vector<std::shared_ptr<const Tensor>> constants = {};
  std::size_t arena_bytes = 0;    ///< everything but scratch
  std::size_t scratch_bytes = 0;  ///< for one thread
  int slots = 1;                  ///< threads with scratch of their own

  std::size_t workspace_bytes() const {
    return arena_bytes + static_cast<std::size_t>(slots) * scratch_bytes;
  }
};

}  // namespace autodiff
