#include "autodiff/kernels/backend.h"

#include "autodiff/kernels/cpu.h"
#include "autodiff/tensor/error.h"

namespace autodiff::kernels {
namespace {

Backends& current() {
  static Backends order = enabled_backends();
  return order;
}

}  // namespace

#if !EV3_HAVE_HIGHWAY
const Backend* winograd_backend() { return nullptr; }
double measure_flops() { return 0; }
const Backend* simd_backend() { return nullptr; }
#endif
#if !EV3_HAVE_BLAS
const Backend* blas_backend() { return nullptr; }
#endif

const Backend* reference_backend() {
  static const Backend row{.name = "reference",
                           .matmul_by_element = true,
                           .matmul = {without_scratch<matmul_reference<float>>},
                           .unary = {unary_reference<float>},
                           .binary = {binary_reference<float>},
                           .reduce = {reduce_reference<float>},
                           .softmax = {softmax_reference<float>},
                           .cross_entropy = {cross_entropy_reference<float>},
                           .cross_entropy_grad = {cross_entropy_grad_reference<float>},
                           .argmax = {argmax_reference<float>},
                           .gather = {gather_reference<float>},
                           .scatter = {scatter_reference<float>},
                           .copy = {copy_reference<float>},
                           .conv2d = {without_scratch<conv2d_reference<float>>},
                           .conv2d_filter_grad = {without_scratch<conv2d_filter_grad_reference<float>>},
                           .max_pool = {max_pool_reference<float>},
                           .max_pool_grad = {max_pool_grad_reference<float>},
                           .avg_pool = {avg_pool_reference<float>},
                           .avg_pool_grad = {avg_pool_grad_reference<float>},
                           .moments = {moments_reference<float>},
                           .dropout = {dropout_reference<float>},
                           .update = {update_reference}};
  return &row;
}

const Backends& enabled_backends() {
  static const Backends all = [] {
    Backends out;
    for (const Backend* row :
         {winograd_backend(), simd_backend(), blas_backend(), portable_backend(), reference_backend()}) {
      if (row) out.push_back(row);
    }
    return out;
  }();
  return all;
}

const Backends& default_backends() { return current(); }

void set_default_backends(Backends order) {
  if (order.empty()) fail("backends: want at least one");
  current() = std::move(order);
}

Backends parse_backends(std::string_view names) {
  Backends order;
  while (!names.empty()) {
    const auto comma = names.find(',');
    const std::string_view name = names.substr(0, comma);
    names = comma == names.npos ? std::string_view{} : names.substr(comma + 1);
    const Backend* found = nullptr;
    for (const Backend* row : enabled_backends()) found = row->name == name ? row : found;
    if (!found) {
      fail("backends: '", name, "' is not one of those built in: ", describe(enabled_backends()));
    }
    order.push_back(found);
  }
  if (order.empty()) fail("backends: want one or more of ", describe(enabled_backends()));
  if (order.back() != reference_backend() && order.back() != portable_backend()) {
    order.push_back(portable_backend());
  }
  return order;
}

std::string describe(const Backends& order) {
  std::string out;
  for (const Backend* row : order) out += (out.empty() ? "" : ", ") + std::string(row->name);
  return out;
}

}  // namespace autodiff::kernels
