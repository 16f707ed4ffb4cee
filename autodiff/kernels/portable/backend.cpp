#include "autodiff/kernels/portable/kernels.h"

namespace autodiff::kernels {

const Backend* portable_backend() {
  // Where the definition is already as fast as plain C++ gets, the row points to it.
  static const Backend row{.name = "portable",
                           .matmul_by_element = true,
                           .matmul = {without_scratch<portable::matmul>},
                           .unary = {portable::unary},
                           .binary = {portable::binary},
                           .reduce = {portable::reduce},
                           .softmax = {softmax_reference<float>},
                           .cross_entropy = {cross_entropy_reference<float>},
                           .cross_entropy_grad = {cross_entropy_grad_reference<float>},
                           .argmax = {argmax_reference<float>},
                           .gather = {gather_reference<float>},
                           .scatter = {scatter_reference<float>},
                           .copy = {portable::copy},
                           .conv2d = {without_scratch<portable::conv2d>},
                           .conv2d_filter_grad = {without_scratch<portable::conv2d_filter_grad>},
                           .max_pool = {max_pool_reference<float>},
                           .max_pool_grad = {max_pool_grad_reference<float>},
                           .avg_pool = {avg_pool_reference<float>},
                           .avg_pool_grad = {avg_pool_grad_reference<float>},
                           .moments = {portable::moments},
                           .dropout = {portable::dropout},
                           .update = {update_reference}};
  return &row;
}

}  // namespace autodiff::kernels
