// The table of backends: who has which kernel, and who is asked first.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "autodiff/kernels/conv2d.h"
#include "autodiff/kernels/copy.h"
#include "autodiff/kernels/cross_entropy.h"
#include "autodiff/kernels/dropout.h"
#include "autodiff/kernels/elementwise.h"
#include "autodiff/kernels/index.h"
#include "autodiff/kernels/matmul.h"
#include "autodiff/kernels/moments.h"
#include "autodiff/kernels/pointwise.h"
#include "autodiff/kernels/pool.h"
#include "autodiff/kernels/reduce.h"
#include "autodiff/kernels/softmax.h"
#include "autodiff/kernels/update.h"
#include "autodiff/tensor/buffer.h"

namespace autodiff::kernels {

/// Memory that a kernel may use while it runs, aligned; nothing is kept in it.
struct Scratch {
  float* data;
};

/// One kernel of a backend: null where the backend has none; `supports` says no where it would be slow or
/// wrong (null: every size). Arguments are the inputs in the order of the op, then for some ops the scratch
/// memory, of which a kernel needs `scratch_bytes` (null: none), then the output.
template <class Dims, class... Args>
struct Entry {
  void (*run)(const Dims&, Args...) = nullptr;
  bool (*supports)(const Dims&) = nullptr;
  std::size_t (*scratch_bytes)(const Dims&) = nullptr;
  using dims_type = Dims;
};

/// A kernel that needs none, where the op would give it scratch memory.
template <auto kernel, class Dims>
void without_scratch(const Dims& dims, const float* a, const float* b, Scratch, float* y) {
  kernel(dims, a, b, y);
}

/// Scratch memory for one call of an entry, for those who call kernels without a program.
class ScratchFor {
 public:
  template <class Dims, class... Args>
  ScratchFor(const Entry<Dims, Args...>& entry, const Dims& dims)
      : memory_(entry.scratch_bytes ? entry.scratch_bytes(dims) : 0) {}
  operator Scratch() { return {reinterpret_cast<float*>(memory_.data())}; }

 private:
  AlignedBuffer<std::byte> memory_;
};

/// A row of the table. `reference` and `portable` are complete, all others fill in what they have won.
struct Backend {
  using Label = std::int32_t;
  std::string_view name;
  /// Whether an element of a matrix product gets the same bits in a part of the matrix as in the whole.
  bool matmul_by_element = false;
  Entry<MatmulDims, const float*, const float*, Scratch, float*> matmul{};
  /// matmul for a gradient that is not stored: the parameters, which lie as c would, are updated while it is
  /// formed. The bits are those of matmul, then update; `supports` says for which products. Not for
  /// optimizers that divide.
  Entry<MatmulDims, const float*, const float*, Scratch, const ParameterUpdate*> matmul_update{};
  Entry<UnaryDims, const float*, float*> unary{};
  Entry<BinaryDims, const float*, const float*, float*> binary{};
  Entry<ReduceDims, const float*, float*> reduce{};
  Entry<SoftmaxDims, const float*, float*> softmax{};
  Entry<CrossEntropyDims, const float*, const Label*, float*> cross_entropy{};
  Entry<CrossEntropyDims, const float*, const Label*, const float*, float*> cross_entropy_grad{};
  Entry<IndexDims, const float*, Label*> argmax{};
  Entry<IndexDims, const float*, const Label*, float*> gather{};
  Entry<IndexDims, const float*, const Label*, float*> scatter{};
  Entry<CopyDims, const float*, float*> copy{};
  Entry<Conv2dDims, const float*, const float*, Scratch, float*> conv2d{};
  Entry<Conv2dDims, const float*, const float*, Scratch, float*> conv2d_filter_grad{};
  /// conv2d in two steps, with the same bits: `conv2d_pack` brings the filters into the form in which they
  /// are read, of conv2d_packed_floats(dims) floats, and `conv2d_packed` meets images with them.
  Entry<Conv2dDims, const float*, float*> conv2d_pack{};
  Entry<PackedConv2dDims, const float*, const float*, Scratch, float*> conv2d_packed{};
  std::size_t (*conv2d_packed_floats)(const Conv2dDims&) = nullptr;
  Entry<PoolDims, const float*, const float*, float*> max_pool{};
  Entry<PoolDims, const float*, const float*, float*> max_pool_grad{};
  Entry<PoolDims, const float*, float*> avg_pool{};
  Entry<PoolDims, const float*, float*> avg_pool_grad{};
  Entry<MomentsDims, const float*, float*> moments{};
  Entry<DropoutDims, const float*, const Label*, float*> dropout{};
  Entry<UpdateDims, const UpdateScalars&, const float*, const ParameterArrays&>
      update{};  ///< with the reference's bits
  /// Runs a chain of element-wise functions; gives the bits that `unary` and `binary` of the row give.
  void (*pointwise)(const PointwiseDims& dims, std::size_t rows, float* const* operands) = nullptr;
  bool pointwise_sums = false;  ///< whether it forms sums as well, with the accuracy of `reduce`
};

/// Backends in the order in which they are asked.
using Backends = std::vector<const Backend*>;

/// All that were built in and run on this CPU, best first: winograd, simd, blas, portable, reference.
const Backends& enabled_backends();

/// What programs use unless told otherwise: enabled_backends() until changed.
const Backends& default_backends();
/// Replaces it; to be called at start-up, before threads.
void set_default_backends(Backends order);

/// "portable" or "blas,portable": the named backends in this order. Where the last one is not complete,
/// portable is added. Throws Error for an unknown name, or one that was not built in.
Backends parse_backends(std::string_view names);

/// "simd, blas, portable"
std::string describe(const Backends& order);

/// The first backend in `order` that has `entry` for these dims. The list always ends with a complete
/// backend.
template <class E>
const Backend& choose(const Backends& order, E Backend::*entry, const typename E::dims_type& dims) {
  for (const Backend* backend : order) {
    const E& e = backend->*entry;
    if (e.run && (!e.supports || e.supports(dims))) return *backend;
  }
  return *order.back();
}

/// The rows; null where the backend was not built in or this CPU cannot run it.
const Backend* reference_backend();
const Backend* portable_backend();
const Backend* winograd_backend();
const Backend* simd_backend();
const Backend* blas_backend();
/// Its kernels take addresses on the device and run inside DeviceStream::enqueue (device.h): none of
/// enabled_backends(), programs for a device use it alone.
const Backend* cuda_backend();

}  // namespace autodiff::kernels
